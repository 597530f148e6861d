import type { Target } from '../../backends/target.js';
import type { FusedAnchor } from '../../ir/graph/attributes.js';
import type { Block, Module, Operation, Value } from '../../ir/graph/graph.js';
import { opTable } from '../../ir/graph/ops/index.js';
import { equalShapes } from '../../ir/graph/types.js';
import { isRowOperation, shareLoops } from '../kernel/from-group/facts.js';
import { elementCount } from '../kernel/from-group/group.js';
import type { GraphPass } from '../pass.js';
import { Decoders } from './decoders.js';
import { Uses } from './uses.js';
import { findHeads } from './fuse-heads.js';
import { GroupBuffers } from './group-buffers.js';
import { findHostOperations } from './host-operations.js';
import { inlineFused } from './inline-fused.js';

/**
 * Groups operations into `fused` ones, each of which becomes one kernel.
 *
 * Walks a block once. An operation starts a group of its category's anchor and takes in the groups that make its operands
 * when it is their only reader, by category:
 *   map        <- map (elements are pulled, so shapes need not agree; costly work is not repeated for a broadcast)
 *   row, contraction -> pointwise of the same shape becomes the epilogue; rope joins a row (it stays inside the row)
 *   row -> quantisation of the same rows
 *   contraction -> split of the last axis: one destination a piece
 *   contraction + contraction of the same left operand, where pointwise work reads both: an accumulator each
 *   contraction <- upsample_nearest: only the addresses change
 *   contraction <- numbers of encoded rows, as its right factor: every product decodes them as it reads, however many read them
 *   map <- concatenation of repeated rows: one of its vectors is chosen for each row
 *   contraction -> norm and rope of its heads, where a workgroup has whole heads (fuse-heads.ts)
 * Every value inside a group is read inside it only, so a group can stand where its last operation stood.
 * Views, concatenations, weights, constants and host work stay outside: the plan makes them addresses.
 * Needs: decompose. Cost: linear in operations and uses.
 */
export const fuse: GraphPass = {
  name: 'fuse',
  description: 'group operations into kernels',
  run: (module: Module, target: Target): Module => ({
    weights: module.weights,
    functions: new Map(
      [...module.functions].map(([name, fn]) => {
        const body = inlineFused(fn.body);
        return [name, { ...fn, body: fuseBlock(body, target, findHostOperations(body)) }];
      }),
    ),
  }),
};

interface Group {
  readonly anchor: FusedAnchor;
  readonly operations: readonly Operation[];
  /** Those of the last operation where nothing is said. */
  readonly results?: readonly Value[];
}

const unfused: ReadonlySet<string> = new Set(['source', 'view', 'host', 'control']);
const costly: ReadonlySet<string> = new Set([
  'exp',
  'log',
  'sin',
  'cos',
  'tanh',
  'sigmoid',
  'silu',
  'gelu',
  'erf',
  'pow',
]);

function fuseBlock(block: Block, target: Target, host: ReadonlySet<Operation>): Block {
  const uses = new Uses(block);
  const buffers = new GroupBuffers(block);
  const groupOf = new Map<Value, Group>();
  const viewOf = new Map<Value, Operation>();
  const closing = new Map<Operation, Group>();
  const close = (group: Group): void => {
    const last = group.operations.at(-1) as Operation;
    closing.set(last, group);
    for (const result of last.results) groupOf.set(result, group);
  };
  const decoders = new Decoders(block);
  const inHeads = new Set<Operation>();
  for (const heads of findHeads(block, uses, target)) {
    const group: Group = { ...heads, anchor: 'contraction', operations: decoders.precede(heads.operations) };
    if (buffers.count(group.operations, heads.results) > target.maxStorageBuffers) continue;
    closing.set(group.operations.at(-1) as Operation, group);
    for (const operation of group.operations) inHeads.add(operation);
  }
  for (const operation of block.operations) {
    if (inHeads.has(operation)) continue;
    const { category } = opTable[operation.kind];
    if (category === 'view') viewOf.set(operation.results[0] as Value, operation);
    if (operation.kind === 'split') {
      const source = groupOf.get(operation.operands[0] as Value);
      if (source !== undefined && splitsLastAxis(operation) && canSplit(source, operation, { uses, buffers, target })) {
        closing.delete(source.operations.at(-1) as Operation);
        close({ anchor: source.anchor, operations: [...source.operations, operation] });
      }
      continue;
    }
    if (operation.kind === 'concat') {
      const repeats = operation.operands.map((operand) => viewOf.get(operand));
      if (repeatsRows(operation, repeats, uses)) close({ anchor: 'map', operations: [...repeats, operation] });
      continue;
    }
    if (unfused.has(category) || host.has(operation) || decoders.isOnlyFactor(operation)) continue;
    let group: Group = { anchor: anchorFor(operation), operations: decoders.precede([operation]) };
    for (const operand of new Set(operation.operands)) {
      const grown = absorb(group, operation, operand, { groupOf, viewOf, buffers, uses, target });
      if (grown === undefined) continue;
      closing.delete(grown.absorbed.operations.at(-1) as Operation);
      group = grown.group;
    }
    close(group);
  }
  const operations: Operation[] = [];
  const absorbed = new Set([...closing.values()].flatMap((group) => group.operations));
  for (const operation of block.operations) {
    const group = closing.get(operation);
    if (group !== undefined) operations.push(makeFused(group, buffers.scalars));
    else if (!absorbed.has(operation)) {
      operations.push(
        operation.kind !== 'loop' || operation.body === undefined
          ? operation
          : { ...operation, body: fuseBlock(operation.body, target, host) },
      );
    }
  }
  return { ...block, operations: dropUnread(operations, block.results) };
}

interface Surroundings {
  readonly buffers: GroupBuffers;
  readonly groupOf: ReadonlyMap<Value, Group>;
  readonly viewOf: ReadonlyMap<Value, Operation>;
  readonly uses: Uses;
  readonly target: Target;
}

/** The group with the maker of one operand taken in, when that is allowed. */
function absorb(
  group: Group,
  operation: Operation,
  operand: Value,
  { groupOf, viewOf, buffers, uses, target }: Surroundings,
): { readonly group: Group; readonly absorbed: Group } | undefined {
  const readHere = operation.operands.filter((value) => value === operand).length;
  if (uses.count(operand) !== readHere) return undefined;
  const view = viewOf.get(operand);
  const source = view === undefined ? operand : (view.operands[0] as Value);
  const maker = groupOf.get(source);
  if (maker === undefined || maker.operations.at(-1)?.results.length !== 1) return undefined;
  if (view !== undefined && (uses.count(source) !== 1 || maker.anchor !== 'map' || view.kind === 'split'))
    return undefined;
  const anchor = mergedAnchor(group, maker, operation, operand);
  if (anchor === undefined) return undefined;
  const operations = [...maker.operations, ...(view === undefined ? [] : [view]), ...group.operations];
  const merged: Group = { anchor, operations };
  const count = buffers.count(operations, resultsOf(merged));
  return count <= target.maxStorageBuffers ? { group: merged, absorbed: maker } : undefined;
}

function mergedAnchor(group: Group, maker: Group, operation: Operation, operand: Value): FusedAnchor | undefined {
  const result = operation.results[0] as Value;
  if (group.anchor === 'contraction' && maker.anchor === 'contraction') {
    const isPointwise = opTable[operation.kind].category === 'pointwise';
    const meet = isPointwise && equalShapes(operand.type.shape, result.type.shape);
    return meet && shareLoops([...maker.operations, ...group.operations]) ? 'contraction' : undefined;
  }
  if (group.anchor === 'contraction') {
    const only = maker.operations.length === 1 ? maker.operations[0] : undefined;
    return operation.kind === 'conv2d' && only?.kind === 'upsample_nearest' && operation.operands[0] === operand
      ? 'contraction'
      : undefined;
  }
  if (operation.kind === 'quantize_rows') return maker.anchor === 'row' ? 'row' : undefined;
  const { category } = opTable[operation.kind];
  if (category !== 'pointwise' && category !== 'injective') return undefined;
  // Row numbers are read from memory, and a table is read at rows that are not this element's.
  if (operation.kind === 'gather') return undefined;
  // Nothing guards the read of a row number: a padded element would look for its row outside of the numbers.
  if (operation.kind === 'pad' && maker.operations.some(({ kind }) => kind === 'gather')) return undefined;
  if (maker.anchor === 'map') {
    const grows = !elementCount(operand.type.shape).equals(elementCount(result.type.shape));
    const repeats = grows && maker.operations.some(({ kind }) => costly.has(kind));
    return repeats ? undefined : group.anchor;
  }
  if (maker.anchor !== 'row' && maker.anchor !== 'contraction') return undefined;
  if (group.anchor !== 'map') return undefined;
  const sameShape = equalShapes(operand.type.shape, result.type.shape);
  const staysInRow = maker.anchor === 'row' && operation.kind === 'rope' && operation.operands[0] === operand;
  return sameShape && (category === 'pointwise' || staysInRow) ? maker.anchor : undefined;
}

function anchorFor(operation: Operation): FusedAnchor {
  const { category } = opTable[operation.kind];
  switch (category) {
    case 'row':
      // Reductions leave the shape of a row.
      return isRowOperation(operation) ? 'row' : 'statistics';
    case 'contraction':
    case 'attention':
    case 'statistics':
      return category;
    default:
      return 'map';
  }
}

/** A concatenation of values that are each the same along it: whoever reads it chooses one, nothing is written. */
function repeatsRows(
  { attributes: { axis }, results: [result] }: Extract<Operation, { kind: 'concat' }>,
  repeats: readonly (Operation | undefined)[],
  uses: Uses,
): repeats is readonly Operation[] {
  if (uses.count(result as Value) !== 1) return false;
  return repeats.every((repeat) => {
    if (repeat?.kind !== 'broadcast' || uses.count(repeat.results[0] as Value) !== 1) return false;
    const { shape } = (repeat.operands[0] as Value).type;
    const rank = (repeat.results[0] as Value).type.shape.length;
    return (shape[axis - rank + shape.length]?.constant ?? 1) === 1;
  });
}

function splitsLastAxis(operation: Extract<Operation, { kind: 'split' }>): boolean {
  return operation.attributes.axis === (operation.operands[0] as Value).type.shape.length - 1;
}

function canSplit(
  source: Group,
  split: Operation,
  { uses, buffers, target }: Pick<Surroundings, 'uses' | 'buffers' | 'target'>,
): boolean {
  if (source.anchor !== 'contraction' || uses.count(split.operands[0] as Value) !== 1) return false;
  return buffers.count([...source.operations, split], split.results) <= target.maxStorageBuffers;
}

function resultsOf({ operations, results }: Group): readonly Value[] {
  return results ?? operations.at(-1)?.results ?? [];
}

/** The fused operation keeps the group's result values; its body is a closed copy. */
function makeFused(group: Group, constants: ReadonlyMap<Value, Operation>): Operation {
  const results = resultsOf(group);
  const copies = new Map<Value, Value>();
  const operands: Value[] = [];
  const parameters: Value[] = [];
  const body: Operation[] = [];
  const inside = new Set(group.operations.flatMap(({ results }) => results));
  const taken = new Set<string>();
  // Read from memory, constants too.
  const rowNumbers = new Set(
    group.operations.flatMap(({ kind, operands: [, ids] }) => (kind === 'gather' ? [ids] : [])),
  );
  const copy = (value: Value): Value => {
    let name = value.name;
    for (let number = 1; taken.has(name); number++) name = `${value.name}_${number}`;
    taken.add(name);
    const made: Value = { name, type: value.type };
    copies.set(value, made);
    return made;
  };
  for (const operation of group.operations) {
    for (const operand of operation.operands) {
      if (inside.has(operand) || copies.has(operand)) continue;
      const constant = rowNumbers.has(operand) ? undefined : constants.get(operand);
      if (constant !== undefined) {
        body.push({ ...constant, results: [copy(operand)] });
        continue;
      }
      operands.push(operand);
      parameters.push(copy(operand));
    }
    const renamed = operation.operands.map((operand) => copies.get(operand) as Value);
    body.push({ ...operation, operands: renamed, results: operation.results.map(copy) });
  }
  return {
    kind: 'fused',
    operands,
    attributes: { anchor: group.anchor },
    results,
    body: { parameters, operations: body, results: results.map((result) => copies.get(result) as Value) },
  };
}

/** Constants that went into the groups. */
function dropUnread(operations: readonly Operation[], results: readonly Value[]): Operation[] {
  const uses = new Uses({ parameters: [], operations, results });
  return operations.filter(({ kind, results: made }) => kind !== 'constant' || uses.count(made[0] as Value) > 0);
}

import type { Target } from '../../backends/target.js';
import { Dim } from '../../ir/dim.js';
import type { BlockBuilder } from '../../ir/graph/builder.js';
import type { Block, Module, Operation, OperationOf, Value, WeightDeclaration } from '../../ir/graph/graph.js';
import type { GraphPass } from '../pass.js';
import { findHeads, joinsGates } from './fuse-heads.js';
import { GroupBuffers } from './group-buffers.js';
import { findMeeting, waysToMeeting } from './meeting-pieces.js';
import { rewriteModule, type RewriteContext } from './rewriter.js';
import { Uses } from './uses.js';
import { weightPart } from './weight-table.js';

/** Buffers that later passes bind beside a weight's numbers, or in their place: scales, arrays of encoded rows. */
export type MoreBuffers = (weight: WeightDeclaration) => number;

/**
 * A product whose pieces are heads that are normalised, then a gate and what it is multiplied with, stays one product and becomes one
 * kernel: rows of the gate and of its partner take turns in the weight, so that they are pairs of columns, as those that rope turns, and
 * meet in a workgroup's registers (fuse-heads.ts). [q, k, v, gate, up] becomes [q, k, v, pairs of gate and up].
 *
 * The elementwise operations that both go through move to the product. Only where every use of a weight can be so, with the buffers that the
 * target binds: it is stored once, in its new order. Only for targets that take both in one kernel (`joinsGates`).
 *
 * Needs products merged and splits flattened (merge-projections, canonicalize); divide-products behind it takes what is left. Cost: linear;
 * the weight's rows are put in order while it is loaded.
 */
export function interleaveGates(moreBuffers: MoreBuffers = () => 0): GraphPass {
  return {
    name: 'interleave-gates',
    description: 'keep heads and gated pairs of one product together',
    run(module, target) {
      if (!joinsGates(target)) return module;
      for (let splits = findJointSplits(module); splits.size > 0;) {
        const joint = joinSplits(module, splits);
        const refused = findRefused(joint, splits, target, moreBuffers);
        if (refused.size === 0) return joint;
        splits = new Map([...splits].filter(([, { weight }]) => !refused.has(weight)));
      }
      return module;
    },
  };
}

function joinSplits(module: Module, splits: JointSplits): Module {
  const moved = new Set([...splits.values()].flatMap(({ meeting }) => meeting.map(({ results: [first] }) => first)));
  return rewriteModule(module, () => {
    // A weight in its new order stands where the weight stands: outside of loops that use it.
    const blocks = new Map<Value, BlockBuilder>();
    return (operation, context) => {
      const [first] = operation.results as readonly [Value];
      if (operation.kind === 'weight') blocks.set(first, context.block);
      const split = splits.get(first);
      if (split !== undefined) return emitJoint(operation as OperationOf<'split'> & Operation, split, blocks, context);
      return moved.has(first) ? operation.results : undefined;
    };
  });
}

interface JointSplit {
  readonly weight: string;
  /** Pairs of columns that a head has. */
  readonly pairs: number;
  /** What gate and partner go through on the way to where they meet, in order. */
  readonly meeting: readonly Operation[];
}

/** By the first piece of a split. */
type JointSplits = ReadonlyMap<Value, JointSplit>;

function findJointSplits(module: Module): JointSplits {
  const found = new Map<Value, JointSplit>();
  /** How often a weight is used, and how often so. */
  const uses = new Map<string, { all: number; joint: number }>();
  for (const { body } of module.functions.values()) {
    const search = new Search(body, module);
    for (const [name, count] of search.countUses()) {
      uses.set(name, { all: (uses.get(name)?.all ?? 0) + count, joint: uses.get(name)?.joint ?? 0 });
    }
    for (const [first, split] of search.findSplits()) {
      found.set(first, split);
      (uses.get(split.weight) as { joint: number }).joint++;
    }
  }
  return new Map([...found].filter(([, { weight }]) => uses.get(weight)?.all === uses.get(weight)?.joint));
}

/** Looks through a function's blocks. */
class Search {
  private readonly uses: Uses;
  private readonly definitions = new Map<Value, Operation>();

  constructor(
    body: Block,
    private readonly module: Module,
  ) {
    this.uses = new Uses(body);
    this.define(body);
  }

  /** By name of a weight. */
  countUses(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const [value, { kind, attributes }] of this.definitions) {
      if (kind !== 'weight') continue;
      counts.set(attributes.name, (counts.get(attributes.name) ?? 0) + this.uses.count(value));
    }
    return counts;
  }

  findSplits(): ReadonlyMap<Value, JointSplit> {
    const found = new Map<Value, JointSplit>();
    for (const operation of new Set(this.definitions.values())) {
      const joint = operation.kind === 'split' ? this.describe(operation) : undefined;
      if (joint !== undefined) found.set(operation.results[0] as Value, joint);
    }
    return found;
  }

  private describe({ attributes, operands, results }: OperationOf<'split'>): JointSplit | undefined {
    const product = operands[0] as Value;
    const maker = this.definitions.get(product);
    if (maker?.kind !== 'matmul' || !maker.attributes.transposeB || this.uses.count(product) !== 1) return undefined;
    const weight = this.definitions.get(maker.operands[1] as Value);
    if (attributes.axis !== product.type.shape.length - 1 || product.type.shape.length !== 3) return undefined;
    const [gate, up] = results.slice(-2) as [Value, Value];
    const meet = findMeeting(results, this.uses);
    if (weight?.kind !== 'weight' || results.length < 3 || meet.size !== 2 || !meet.has(gate) || !meet.has(up)) {
      return undefined;
    }
    const size = this.headSize(results.slice(0, -2));
    const width = gate.type.shape.at(-1)?.constant;
    const rows = this.module.weights.get(weight.attributes.name)?.type.shape[0]?.constant;
    if (size === undefined || size % 2 !== 0 || width === undefined || rows === undefined) return undefined;
    const meeting = this.meetingOf(gate, up);
    return width % (size / 2) === 0 && meeting !== undefined
      ? { weight: weight.attributes.name, pairs: size / 2, meeting }
      : undefined;
  }

  /** Columns of the heads that one of the pieces is normalised in. */
  private headSize(pieces: readonly Value[]): number | undefined {
    for (const piece of pieces) {
      const heads = this.uses.onlyUser(piece);
      const norm = heads?.kind === 'reshape' ? this.uses.onlyUser(heads.results[0] as Value) : undefined;
      if (norm?.kind === 'rms_norm') return norm.operands[0]?.type.shape.at(-1)?.constant;
    }
    return undefined;
  }

  /** Both ways up to the operation that they share; undefined where that needs anything else, which may not be there yet. */
  private meetingOf(gate: Value, up: Value): readonly Operation[] | undefined {
    const meeting = waysToMeeting([gate, up], this.uses);
    const own = new Set([gate, up, ...(meeting ?? []).flatMap(({ results }) => results)]);
    return meeting?.every(({ operands }) => operands.every((operand) => own.has(operand))) ? meeting : undefined;
  }

  private define(block: Block): void {
    for (const operation of block.operations) {
      for (const result of operation.results) this.definitions.set(result, operation);
      if (operation.kind === 'loop' && operation.body !== undefined) this.define(operation.body);
    }
  }
}

function emitJoint(
  split: OperationOf<'split'> & Operation,
  { pairs: inHead, meeting }: JointSplit,
  blocks: ReadonlyMap<Value, BlockBuilder>,
  context: RewriteContext,
): readonly Value[] {
  const product = split.operands[0] as Value;
  const { operands, attributes } = context.definitionOf(product, 'matmul') as OperationOf<'matmul'>;
  const [x, whole] = operands as readonly [Value, Value];
  const declaration = context.weights.get(context.definitionOf(whole, 'weight')?.attributes.name ?? '');
  if (declaration === undefined) throw new Error(`internal: %${whole.name} is no weight`);
  const { axis, sizes } = split.attributes;
  const width = sizes.at(-1) as Dim;
  const weight = emitInTurn(declaration, width.constant as number, blocks.get(whole) ?? context.block, context);
  const joint = context.emitOne('matmul', [x, weight], attributes, `${product.name}.joint`);
  const pieces = context.emit('split', [joint], { axis, sizes: [...sizes.slice(0, -2), width.mul(2)] }, [
    ...split.results.slice(0, -2).map(({ name }) => name),
    `${product.name}.pairs`,
  ]);
  const pairs = pieces.at(-1) as Value;
  const [gate, up] = split.results.slice(-2) as [Value, Value];
  const leading = gate.type.shape.slice(0, -1);
  const shape = [...leading, width.divideExactly(inHead) as Dim, Dim.of(inHead), Dim.of(2)];
  const inHeads = context.emitOne('reshape', [pairs], { shape }, `${pairs.name}.heads`);
  const halves = context.emit('split', [inHeads], { axis: shape.length - 1, sizes: [Dim.of(1), Dim.of(1)] }, [
    `${gate.name}.columns`,
    `${up.name}.columns`,
  ]);
  [gate, up].forEach((value, at) => {
    context.define([value], 'reshape', [halves[at] as Value], { shape: value.type.shape });
  });
  for (const operation of meeting) context.append(operation);
  return [...pieces.slice(0, -1), gate, up];
}

/** The weight with the rows of its last two pieces, `width` each, in turn. */
function emitInTurn(
  declaration: WeightDeclaration,
  width: number,
  block: BlockBuilder,
  context: RewriteContext,
): Value {
  const of = weightPart(declaration);
  const [rows = 0, ...rowShape] = of.shape;
  const first = rows - 2 * width;
  const cut = (start: number, count: number) =>
    ({ shape: [count, ...rowShape], source: { kind: 'slice_rows', of, start } }) as const;
  const pairs = {
    shape: [2 * width, ...rowShape],
    source: { kind: 'interleave_rows', group: 1, parts: [cut(first, width), cut(first + width, width)] },
  } as const;
  const source = { kind: 'concat_rows', parts: [cut(0, first), pairs] } as const;
  const name = context.weights.declare(`${declaration.name}.in_turn`, declaration.type, source);
  return context.emitAround(block, 'weight', [], { name }, [`@${name}`])[0] as Value;
}

/** The weights of splits that `fuse` would not make one kernel of, with the buffers that the target binds. */
function findRefused(
  module: Module,
  splits: JointSplits,
  target: Target,
  moreBuffers: MoreBuffers,
): ReadonlySet<string> {
  const left = new Map([...splits.values()].map(({ meeting, weight }) => [meeting.at(-1)?.results[0], weight]));
  const check = (block: Block, weights: ReadonlyMap<Value, WeightDeclaration>): void => {
    const known = new Map(weights);
    for (const { kind, attributes, results } of block.operations) {
      const weight = kind === 'weight' ? module.weights.get(attributes.name) : undefined;
      if (weight !== undefined) known.set(results[0] as Value, weight);
    }
    const buffers = new GroupBuffers(block);
    for (const { operations, results } of findHeads(block, new Uses(block), target)) {
      const end = results.find((result) => left.has(result));
      const right = operations.find(({ kind }) => kind === 'matmul')?.operands[1];
      const weight = right && known.get(right);
      const more = weight === undefined ? 0 : moreBuffers(weight);
      if (end !== undefined && buffers.count(operations, results) + more <= target.maxStorageBuffers) left.delete(end);
    }
    for (const { body } of block.operations) if (body !== undefined) check(body, known);
  };
  for (const { body } of module.functions.values()) check(body, new Map());
  return new Set(left.values());
}

import type { Target } from '../../backends/target.js';
import { Dim } from '../../ir/dim.js';
import type { BlockBuilder } from '../../ir/graph/builder.js';
import type { Block, Module, Operation, Value, WeightDeclaration } from '../../ir/graph/graph.js';
import type { GraphPass } from '../pass.js';
import { Uses } from './uses.js';
import { findHeads } from './fuse-heads.js';
import { GroupBuffers } from './group-buffers.js';
import { rewriteModule, type RewriteContext } from './rewriter.js';
import { weightPart } from './weight-table.js';

/**
 * Norms of one product's heads have their weights in one vector, where the kernel that `fuse` would make of them binds one buffer more
 * than the target has: queries' and keys' scales are one binding then, at two offsets.
 *
 * Weights are merged when they have one element type, are in no other such kernel with other ones, and nothing but norms uses them, all of
 * which then read the merged one: none is stored twice. Right before fuse. Cost: linear.
 */
export const mergeNormWeights: GraphPass = {
  name: 'merge-norm-weights',
  description: 'put the weights of norms of one product into one vector where buffers are short',
  run(module, target) {
    const merged = findMerged(module, target);
    if (merged.size === 0) return module;
    return rewriteModule(module, () => {
      // A merged vector stands where the vectors stand: outside of loops that use it.
      const blocks = new Map<Value, BlockBuilder>();
      const wholes = new Map<BlockBuilder, Map<string, Value>>();
      return (operation, context) => {
        if (operation.kind === 'weight') blocks.set(operation.results[0] as Value, context.block);
        if (operation.kind !== 'rms_norm') return undefined;
        const [x, scale] = operation.operands as readonly [Value, Value];
        const block = blocks.get(scale);
        const weight = context.definitionOf(scale, 'weight');
        const place = weight === undefined ? undefined : merged.get(weight.attributes.name);
        if (block === undefined || place === undefined) return undefined;
        const known = wholes.get(block) ?? new Map<string, Value>();
        wholes.set(block, known);
        const [first] = place.members as readonly [WeightDeclaration];
        const whole = known.get(first.name) ?? emitWhole(place.members, block, context);
        known.set(first.name, whole);
        const slice = { axis: 0, start: place.start, size: scale.type.shape[0] as Dim };
        const part = context.emitOne('slice', [whole], slice, `${scale.name}.part`);
        return context.become(operation, 'rms_norm', [x, part], operation.attributes);
      };
    });
  },
};

function emitWhole(members: readonly WeightDeclaration[], block: BlockBuilder, context: RewriteContext): Value {
  const [first] = members as readonly [WeightDeclaration];
  const total = members.reduce((sum, { type }) => sum.add(type.shape[0] as Dim), Dim.of(0));
  const name = context.weights.declare(
    `${first.name}.and_${members.length - 1}_more`,
    { dtype: first.type.dtype, shape: [total] },
    { kind: 'concat_rows', parts: members.map(weightPart) },
  );
  return context.emitAround(block, 'weight', [], { name }, [`@${name}`])[0] as Value;
}

/** A vector's place among those that it is merged with. */
interface Place {
  readonly members: readonly WeightDeclaration[];
  readonly start: Dim;
}

function findMerged(module: Module, target: Target): ReadonlyMap<string, Place> {
  // By weight, in which companies it is merged, or what else uses it.
  const companies = new Map<string, Set<string>>();
  const wanted = new Map<string, readonly string[]>();
  for (const { body } of module.functions.values())
    visitBlock(body, { target, companies, wanted, weightOf: new Map() });
  const places = new Map<string, Place>();
  for (const [key, names] of wanted) {
    const members = names.map((name) => module.weights.get(name) as WeightDeclaration);
    const isOne = members.every(({ type }) => type.dtype === members[0]?.type.dtype);
    const isAlone = names.every((name) => companies.get(name)?.size === 1 && companies.get(name)?.has(key) === true);
    if (!isOne || !isAlone) continue;
    let start = Dim.of(0);
    for (const { name, type } of members) {
      places.set(name, { members, start });
      start = start.add(type.shape[0] as Dim);
    }
  }
  return places;
}

interface Search {
  readonly target: Target;
  readonly companies: Map<string, Set<string>>;
  /** Names of weights to merge, by all of them. */
  readonly wanted: Map<string, readonly string[]>;
  /** Weights of this block and those around it. */
  readonly weightOf: Map<Value, string>;
}

function visitBlock(block: Block, search: Search): void {
  const { target, companies, wanted, weightOf } = search;
  for (const { kind, attributes, results } of block.operations) {
    if (kind === 'weight') weightOf.set(results[0] as Value, attributes.name);
  }
  const buffers = new GroupBuffers(block);
  const inCompany = new Map<Operation, string>();
  for (const { operations, results } of findHeads(block, new Uses(block), target)) {
    const norms = operations.filter(({ kind }) => kind === 'rms_norm');
    const names = [...new Set(norms.flatMap(({ operands: [, scale] }) => weightOf.get(scale as Value) ?? []))];
    const key = names.join();
    const excess = buffers.count(operations, results) - target.maxStorageBuffers;
    if (excess <= 0 || excess >= names.length) continue;
    wanted.set(key, names);
    for (const norm of norms) inCompany.set(norm, key);
  }
  for (const operation of block.operations) {
    for (const [at, operand] of operation.operands.entries()) {
      const name = weightOf.get(operand);
      const isScale = operation.kind === 'rms_norm' && at === 1;
      const company = isScale ? inCompany.get(operation) : `another ${operation.kind}`;
      if (name === undefined || company === undefined) continue;
      companies.set(name, (companies.get(name) ?? new Set<string>()).add(company));
    }
    if (operation.body !== undefined) visitBlock(operation.body, search);
  }
}

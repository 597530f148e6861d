import type { Target } from '../../backends/target.js';
import { Dim } from '../../ir/dim.js';
import { byteSize } from '../../ir/dtype.js';
import type {
  GraphFunction,
  Module,
  Operation,
  OperationOf,
  Value,
  WeightDeclaration,
  WeightPart,
} from '../../ir/graph/graph.js';
import type { GraphPass } from '../pass.js';
import { type EncodingOf, encodingOfWeight } from './encode-weights.js';
import { rewriteModule, type RewriteContext } from './rewriter.js';
import { weightPart } from './weight-table.js';

/**
 * Linear layers over the same input become one product: their weights' rows one after another (`concat_rows`), the
 * result split. q, k and v, gate and up, and the modulations of all blocks (they all read silu(vec)) are found this
 * way, whether the checkpoint stores them apart or in one tensor. Convolutions over the same input go the same way.
 *
 * Weights are merged when they have the same element type, encoding (`encodingOf`, none by default) and row shape and are used by the same products wherever the
 * module uses them (so a weight is never stored twice), as far as the packed weight fits a buffer of the target.
 *
 * Needs linear layers as `matmul` with `transposeB` of a `weight` (canonicalize, fold-constants) and equal inputs as
 * one value (eliminate-common-subexpressions). Cost: linear; a copy of the merged weights, made once at loading.
 */
export function mergeProjections(encodingOf: EncodingOf = () => undefined): GraphPass {
  return {
    name: 'merge-projections',
    description: 'make one product of linear layers over the same input',
    run(module, target) {
      const groups = findGroups(module, target, encodingOf);
      if (groups.size === 0) return module;
      return rewriteModule(module, () => (operation, context) => {
        const group = groups.get(operation.results[0] as Value);
        if (group === undefined) return undefined;
        if (!group.emitted) emitMerged(operation as Projection, group, context);
        group.emitted = true;
        return operation.results;
      });
    },
  };
}

type Projection = OperationOf<'matmul'> | OperationOf<'conv2d'>;

/** A product and its weight. */
interface Member {
  readonly product: Projection;
  readonly weight: WeightDeclaration;
}

/** Members in the order of their rows in the packed weight. */
interface Group {
  readonly members: readonly Member[];
  emitted: boolean;
}

/** Products that become one, by the results of each. */
function findGroups(module: Module, target: Target, encodingOf: EncodingOf): ReadonlyMap<Value, Group> {
  const companies = [...module.functions.values()].flatMap((graphFunction) =>
    collectCompanies(graphFunction, module, encodingOf),
  );
  // By weight, the companies it is in. Map order is that of first appearance, which is the order of rows.
  const memberships = new Map<string, number[]>();
  companies.forEach(({ weights }, index) => {
    for (const { name } of weights) memberships.set(name, [...(memberships.get(name) ?? []), index]);
  });
  const rank = new Map([...memberships.keys()].map((name, index) => [name, index]));
  const groups = new Map<Value, Group>();
  for (const { members } of companies) {
    const classes = new Map<string, Member[]>();
    for (const member of members) {
      const key = (memberships.get(member.weight.name) ?? []).join();
      classes.set(key, [...(classes.get(key) ?? []), member]);
    }
    for (const alike of classes.values()) {
      alike.sort((a, b) => (rank.get(a.weight.name) ?? 0) - (rank.get(b.weight.name) ?? 0));
      for (const part of cutToSize(alike, target.maxBufferBytes)) {
        const group = { members: part, emitted: false };
        if (part.length > 1) for (const { product } of part) groups.set(product.results[0] as Value, group);
      }
    }
  }
  return groups;
}

/** Runs of members whose weights together fit a buffer. */
function cutToSize(members: readonly Member[], maximumBytes: number): readonly Member[][] {
  const parts: Member[][] = [];
  let bytes = Infinity;
  for (const member of members) {
    const more = countBytes(member.weight);
    if (bytes + more > maximumBytes) {
      parts.push([]);
      bytes = 0;
    }
    parts.at(-1)?.push(member);
    bytes += more;
  }
  return parts;
}

/** The weights that are used together: products over one input, of one form. A weight used in another way is on its own. */
interface Company {
  readonly weights: readonly WeightDeclaration[];
  readonly members: readonly Member[];
}

function collectCompanies(graphFunction: GraphFunction, module: Module, encodingOf: EncodingOf): readonly Company[] {
  const weightOf = new Map<Value, WeightDeclaration>();
  const companies: { readonly weights: WeightDeclaration[]; readonly members: Member[] }[] = [];
  const visit = (operations: readonly Operation[]): void => {
    const open = new Map<Value, Map<string, (typeof companies)[number]>>();
    for (const operation of operations) {
      if (operation.kind === 'weight') {
        const declaration = module.weights.get(operation.attributes.name);
        if (declaration !== undefined) weightOf.set(operation.results[0] as Value, declaration);
      }
      const product = isProjection(operation) ? operation : undefined;
      for (const [at, operand] of operation.operands.entries()) {
        const weight = weightOf.get(operand);
        if (weight === undefined) continue;
        if (product === undefined || at !== 1) {
          companies.push({ weights: [weight], members: [] });
          continue;
        }
        const [x] = product.operands as readonly [Value];
        const ofInput = open.get(x) ?? new Map<string, (typeof companies)[number]>();
        open.set(x, ofInput);
        const form = describeForm(product, weight, encodingOf);
        let company = ofInput.get(form);
        if (company === undefined || company.weights.includes(weight)) {
          company = { weights: [], members: [] };
          companies.push(company);
          ofInput.set(form, company);
        }
        company.weights.push(weight);
        company.members.push({ product, weight });
      }
      if (operation.body !== undefined) visit(operation.body.operations);
    }
  };
  visit(graphFunction.body.operations);
  return companies;
}

/** A product whose second operand's rows are the result's columns. */
function isProjection(operation: Operation): operation is Operation & Projection {
  if (operation.kind === 'conv2d') return true;
  if (operation.kind !== 'matmul') return false;
  return operation.attributes.transposeB && (operation.operands[1] as Value).type.shape.length === 2;
}

/** What must agree for two products over one input to be one: all but the number of rows. */
function describeForm(operation: Projection, weight: WeightDeclaration, encodingOf: EncodingOf): string {
  const encoding = encodingOfWeight(weight, encodingOf)?.text;
  return JSON.stringify([
    operation.kind,
    operation.attributes,
    weight.type.dtype,
    encoding,
    weight.type.shape.slice(1),
  ]);
}

function countBytes(weight: WeightDeclaration): number {
  const count = weight.type.shape.reduce((product, dim) => product.mul(dim), Dim.of(1));
  return count.evaluate({}) * byteSize(weight.type.dtype);
}

/** The packed weight, the product and its split, whose pieces are the members' results. */
function emitMerged(first: Projection, { members }: Group, context: RewriteContext): void {
  const weights = members.map((member) => member.weight);
  const rows = weights.map((weight) => weight.type.shape[0] as Dim);
  const total = rows.reduce((sum, size) => sum.add(size), Dim.of(0));
  const { type } = weights[0] as WeightDeclaration;
  const name = context.weights.declare(
    nameMerged(weights.map((weight) => weight.name)),
    { dtype: type.dtype, shape: [total, ...type.shape.slice(1)] },
    { kind: 'concat_rows', parts: weights.flatMap(listParts) },
  );
  const weight = context.emitOne('weight', [], { name }, `@${name}`);
  const operands = [first.operands[0] as Value, weight];
  const resultName = `${(first.results[0] as Value).name}.merged`;
  const product =
    first.kind === 'matmul'
      ? context.emitOne('matmul', operands, first.attributes, resultName)
      : context.emitOne('conv2d', operands, first.attributes, resultName);
  context.append({
    kind: 'split',
    operands: [product],
    attributes: { axis: product.type.shape.length - 1, sizes: rows },
    results: members.flatMap((member) => member.product.results),
  });
}

function listParts(weight: WeightDeclaration): readonly WeightPart[] {
  return weight.source.kind === 'concat_rows' ? weight.source.parts : [weightPart(weight)];
}

/** `a.to_q.weight` and `a.to_k.weight` give `a.to_q.to_k.weight`; of more than four names the first stands for all. */
function nameMerged(names: readonly string[]): string {
  const first = (names[0] as string).split('.');
  const others = names.slice(1).map((name) => name.split('.'));
  if (others.length > 3) return `${first.join('.')}.and_${others.length}_more`;
  const agrees = (at: number): boolean => others.every((other) => other.at(at) === first.at(at));
  let start = 0;
  while (start < first.length && agrees(start)) start++;
  let end = 0;
  while (end < first.length - start && others.every((other) => other.length - end > start) && agrees(-1 - end)) end++;
  const middle = [first, ...others].flatMap((parts) => parts.slice(start, parts.length - end));
  return [...first.slice(0, start), ...middle, ...first.slice(first.length - end)].join('.');
}

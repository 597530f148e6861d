import { Dim } from '../../../ir/dim.js';
import { Flux2cError } from '../../../ir/diagnostics.js';
import { type Encoding, parseEncoding } from '../../../ir/encoding.js';
import { byteSize } from '../../../ir/dtype.js';
import { bytesOfVector, mostProductsOfBytes } from '../../../ir/kernel/bytes.js';
import { reduceKinds } from '../../../ir/graph/attributes.js';
import type { ReduceKind } from '../../../ir/graph/attributes.js';
import type { Operation, OperationOf, Value } from '../../../ir/graph/graph.js';
import type { Axis } from '../../../ir/kernel/tile.js';
import { elementCount, lastDim, leadingCount, sameShape } from './group.js';
import type { KernelGroup } from './group.js';

/** An axis before a schedule gives it a tile. */
export type AxisFacts = Omit<Axis, 'tile'>;

/** Kernels whose loops are alike: what a group is around, and of statistics which. */
export type KernelFamily =
  Exclude<KernelGroup['anchor'], 'statistics'> | 'heads' | 'moments' | 'combination' | 'reduction';

/** What choosing a schedule may look at: the family and the axes with their extents. */
export interface KernelFacts {
  readonly family: KernelFamily;
  readonly axes: readonly AxisFacts[];
  /** Of a contraction: the products that are made in one go, each with its accumulators. */
  readonly products?: number;
  /** Of a contraction: bytes of a number of the factors in memory: 1 where both are floats of 8 bits, else 2. */
  readonly factorBytes?: 1 | 2;
  /** Of a contraction: its right factor has fewer bits in memory than in registers, its left one as many. */
  readonly widensRight?: true;
  /** Of a contraction: the factors are bytes, whose products are added up in integers. */
  readonly inBytes?: true;
  /** Of a contraction: how the right factor is encoded in memory. */
  readonly encoding?: Encoding;
  /** Of a contraction: rows of the right factor run along the result's columns, so that lanes do too. */
  readonly rightRows?: true;
  /** Of a convolution with several taps: the part of the contracted axis that one of them is. */
  readonly section?: Dim;
  /** Of an attention: keys are masked one by one. */
  readonly isMasked?: boolean;
}

const rowKinds: ReadonlySet<Operation['kind']> = new Set(['layer_norm', 'rms_norm', 'softmax', 'quantize_rows']);
type StatisticsKind = 'group_moments' | 'combine_moments' | ReduceKind;
export type StatisticsOperation = Extract<Operation, { kind: StatisticsKind }>;
const statisticsKinds: readonly StatisticsKind[] = ['group_moments', 'combine_moments', ...reduceKinds];

export function isRowOperation(operation: Operation): boolean {
  return rowKinds.has(operation.kind);
}

/** The one operation of a contraction, attention or statistics group that decides its loops. */
export function anchorOf<K extends Operation['kind']>(
  group: KernelGroup,
  kinds: readonly K[],
): Extract<Operation, { kind: K }> {
  const found = group.body.operations.filter((operation): operation is Extract<Operation, { kind: K }> =>
    (kinds as readonly string[]).includes(operation.kind),
  );
  if (found.length !== 1) {
    throw new Flux2cError(
      'F2C302',
      `a ${group.anchor} kernel needs exactly one of ${kinds.join(', ')}, found ${found.length}`,
    );
  }
  return found[0] as Extract<Operation, { kind: K }>;
}

export type ProductOperation = Extract<Operation, { kind: 'matmul' | 'conv2d' }>;

/** The products of a contraction group: one, or several of one left operand with the same loops. */
export function productsOf(operations: readonly Operation[]): readonly [ProductOperation, ...ProductOperation[]] {
  const [first, ...others] = operations.filter(
    (operation): operation is ProductOperation => operation.kind === 'matmul' || operation.kind === 'conv2d',
  );
  if (first === undefined) throw new Flux2cError('F2C302', 'a contraction kernel needs a matmul or a conv2d');
  return [first, ...others];
}

/** Batch, height and width of a convolution's result, in blocks where it has phases. */
export function blocksOf({ results, attributes }: OperationOf<'conv2d'>): readonly Dim[] {
  const [batch, height, width] = (results[0] as Value).type.shape as readonly [Dim, Dim, Dim, Dim];
  const { phases } = attributes;
  if (phases === undefined) return [batch, height, width];
  return [batch, height.divideExactly(phases) as Dim, width.divideExactly(phases) as Dim];
}

/** Whether all products among the operations multiply the rows of one operand with matrices of one shape, rounded alike. */
export function shareLoops(operations: readonly Operation[]): boolean {
  const [first, ...others] = productsOf(operations);
  return [first, ...others].every(
    (product) =>
      product.kind === 'matmul' &&
      first.kind === 'matmul' &&
      product.operands[0] === first.operands[0] &&
      product.operands[1] !== product.operands[0] &&
      product.operands[1]?.type.shape.length === 2 &&
      product.attributes.transposeB === first.attributes.transposeB &&
      product.attributes.factors === first.attributes.factors &&
      sameShape(product.operands[1].type.shape, (first.operands[1] as Value).type.shape),
  );
}

/** Whether the group normalises heads of a product's columns. */
export function hasHeads(group: KernelGroup): boolean {
  return group.anchor === 'contraction' && group.body.operations.some(isRowOperation);
}

/** Columns of a head, where the group has heads. */
export function headSizeOf(group: KernelGroup): Dim {
  const norm = group.body.operations.find(isRowOperation);
  if (norm === undefined) throw new Error('internal: a kernel of heads normalises none');
  return lastDim(norm.operands[0] as Value);
}

/** Whether there are pairs of a gate and what it is multiplied with among the heads. */
export function hasPairs({ body }: KernelGroup): boolean {
  return body.operations.some(({ kind, operands }) => kind === 'split' && operands[0]?.type.shape.length === 5);
}

export function statisticsAnchor(group: KernelGroup): StatisticsOperation {
  return anchorOf(group, statisticsKinds);
}

/**
 * The last two dimensions of rows do not lie one behind the other in some operand or result, as where tokens' heads become
 * heads' tokens: then each has a grid axis, addresses are affine in both, and a launch can be cut by either.
 */
export function keepsRowsApart(group: KernelGroup): boolean {
  const { shape } = (group.body.results[0] as Value).type;
  if (shape.length < 3) return false;
  return [...group.operands, ...group.results].some((layout) => {
    const [outer, inner] = layout.strides.slice(-3, -1) as [Dim, Dim];
    return sameShape(layout.shape, shape) && !outer.equals(inner.mul(shape.at(-2) as Dim));
  });
}

export function describeGroup(group: KernelGroup): KernelFacts {
  const first = group.body.results[0] as Value;
  switch (group.anchor) {
    case 'map':
      return {
        family: 'map',
        axes: [
          { name: 'm', kind: 'grid_y', extent: leadingCount(first) },
          { name: 'n', kind: 'grid_x', extent: lastDim(first) },
        ],
      };
    case 'row': {
      const { shape } = first.type;
      const rows: readonly AxisFacts[] = keepsRowsApart(group)
        ? [
            { name: 'm', kind: 'grid_x', extent: elementCount(shape.slice(0, -2)) },
            { name: 'h', kind: 'grid_y', extent: shape.at(-2) as Dim },
          ]
        : [{ name: 'm', kind: 'grid_x', extent: leadingCount(first) }];
      return { family: 'row', axes: [...rows, { name: 'c', kind: 'loop', extent: lastDim(first) }] };
    }
    case 'contraction': {
      if (hasHeads(group)) return describeHeads(group);
      const products = productsOf(group.body.operations);
      const [anchor] = products;
      const result = anchor.results[0] as Value;
      const [left, right] = anchor.operands as readonly [Value, Value];
      const isBatched = anchor.kind === 'matmul' && right.type.shape.length > 2;
      const phases = anchor.kind === 'conv2d' ? anchor.attributes.phases : undefined;
      const rows = isBatched
        ? (result.type.shape.at(-2) as Dim)
        : anchor.kind === 'conv2d'
          ? elementCount(blocksOf(anchor))
          : leadingCount(result);
      const batches = isBatched ? elementCount(result.type.shape.slice(0, -2)) : Dim.of((phases ?? 1) ** 2);
      const depth = anchor.kind === 'matmul' ? lastDim(left) : elementCount(right.type.shape.slice(1));
      return {
        family: 'contraction',
        ...(products.length > 1 && { products: products.length }),
        ...factorBytesOf(anchor),
        ...(multipliesBytes(group) && { inBytes: true }),
        ...(anchor.kind === 'matmul' && !anchor.attributes.transposeB && { rightRows: true }),
        ...(byteSize(right.type.dtype) < 4 && byteSize(left.type.dtype) === 4 && { widensRight: true }),
        ...encodingOf(group, right),
        ...(anchor.kind === 'conv2d' && { section: lastDim(right) }),
        axes: [
          // Rows first: workgroups that run together share columns of the weight, which is the larger operand.
          { name: 'm', kind: 'grid_x', extent: rows },
          { name: 'n', kind: 'grid_y', extent: lastDim(result) },
          ...(isBatched || phases !== undefined ? [{ name: 'z', kind: 'grid_z', extent: batches } as const] : []),
          { name: 'k', kind: 'loop', extent: depth },
        ],
      };
    }
    case 'attention': {
      const anchor = anchorOf(group, ['attention']);
      const [query, key] = anchor.operands as readonly [Value, Value];
      const [batch, heads, queries, size] = query.type.shape as readonly [Dim, Dim, Dim, Dim];
      return {
        family: 'attention',
        isMasked: anchor.operands.length > 3,
        axes: [
          { name: 'm', kind: 'grid_x', extent: queries },
          // Apart, so that a launch can be cut by heads and by pictures: addresses are affine in both.
          { name: 'h', kind: 'grid_y', extent: heads },
          { name: 'z', kind: 'grid_z', extent: batch },
          { name: 'd', kind: 'whole', extent: size },
          { name: 'j', kind: 'loop', extent: key.type.shape[2] as Dim },
        ],
      };
    }
    case 'statistics':
      return describeStatistics(statisticsAnchor(group));
  }
}

function factorBytesOf({ operands }: ProductOperation): Pick<KernelFacts, 'factorBytes'> {
  return operands.slice(0, 2).every(({ type }) => type.dtype === 'f8e4m3') ? { factorBytes: 1 } : {};
}

/** Whether the factors of all of a group's products lie in memory as bytes, 16 neighbours along the contracted axis at a time. */
export function multipliesBytes({ body, operands }: KernelGroup): boolean {
  return productsOf(body.operations).every((product) => {
    if (product.kind !== 'matmul' || !product.attributes.transposeB) return false;
    const depth = lastDim(product.operands[0] as Value);
    if (!depth.isMultipleOf(bytesOfVector) || !((depth.constant ?? Infinity) <= mostProductsOfBytes)) return false;
    return product.operands.every((factor) => {
      const layout = operands[body.parameters.indexOf(factor)];
      if (layout?.storage !== 'i8' || layout.alignment % bytesOfVector !== 0) return false;
      return layout.shape.every((size, axis) => {
        const stride = layout.strides[axis] as Dim;
        if (axis === layout.shape.length - 1) return size.equals(depth) && stride.constant === 1;
        return size.constant === 1 || stride.isMultipleOf(bytesOfVector);
      });
    });
  });
}

/** The numbers of an encoded factor are widened as those of any narrow one are. */
function encodingOf({ body }: KernelGroup, right: Value): Pick<KernelFacts, 'encoding' | 'widensRight'> {
  const maker = body.operations.find(({ results }) => results[0] === right);
  return maker?.kind === 'dequantize' ? { encoding: parseEncoding(maker.attributes.encoding), widensRight: true } : {};
}

function describeHeads(group: KernelGroup): KernelFacts {
  const [product] = productsOf(group.body.operations);
  const result = product.results[0] as Value;
  const size = headSizeOf(group);
  const isPaired = hasPairs(group);
  return {
    family: 'heads',
    ...(isPaired && { products: 2 }),
    ...factorBytesOf(product),
    ...(multipliesBytes(group) && { inBytes: true }),
    ...encodingOf(group, product.operands[1] as Value),
    axes: [
      // Rows first, as in other products.
      { name: 'm', kind: 'grid_x', extent: leadingCount(result) },
      // A workgroup has whole heads of one kind, so what is done with them is decided once for it.
      { name: 'h', kind: 'grid_y', extent: lastDim(result).divideExactly(size) as Dim },
      // The two of a pair have an accumulator each.
      { name: 'd', kind: 'whole', extent: isPaired ? (size.divideExactly(2) as Dim) : size },
      { name: 'k', kind: 'loop', extent: lastDim(product.operands[0] as Value) },
    ],
  };
}

/** Depths are products of extents, not quotients of element counts: a size may be 0. */
function describeStatistics(anchor: StatisticsOperation): KernelFacts {
  const source = anchor.operands[0] as Value;
  const result = anchor.results[0] as Value;
  const { shape } = source.type;
  switch (anchor.kind) {
    case 'group_moments': {
      const [batch, rows, groups] = result.type.shape as readonly [Dim, Dim, Dim, Dim];
      const size = lastDim(source).divideExactly(groups) as Dim;
      return {
        family: 'moments',
        axes: [
          // Apart from the groups, so that a launch can be cut by rows: addresses are affine in both.
          { name: 'm', kind: 'grid_y', extent: batch.mul(rows) },
          { name: 'g', kind: 'grid_x', extent: groups },
          { name: 'r', kind: 'loop', extent: elementCount(shape.slice(2, -1)).mul(size) },
        ],
      };
    }
    case 'combine_moments': {
      const [batch, rows, groups] = shape as readonly [Dim, Dim, Dim, Dim];
      return {
        family: 'combination',
        axes: [
          { name: 'm', kind: 'grid_x', extent: batch.mul(groups) },
          { name: 'r', kind: 'loop', extent: rows },
        ],
      };
    }
    case 'reduce_sum':
    case 'reduce_mean':
    case 'reduce_max': {
      const depth = elementCount(anchor.attributes.axes.map((axis) => shape.at(axis) as Dim));
      return {
        family: 'reduction',
        axes: [
          { name: 'm', kind: 'grid_x', extent: elementCount(result.type.shape) },
          { name: 'r', kind: 'loop', extent: depth },
        ],
      };
    }
  }
}

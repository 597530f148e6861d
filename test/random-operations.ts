import { encodedFields, parseEncoding } from '../ir/encoding.js';
import { Dim } from '../ir/dim.js';
import { type DType, isFloat } from '../ir/dtype.js';
import type { BinaryKind, CompareKind, OpAttributes, ReduceKind, UnaryKind } from '../ir/graph/attributes.js';
import type { PlainOpKind } from '../ir/graph/builder.js';
import type { Value } from '../ir/graph/graph.js';
import type { GraphGenerator } from './random-graph.js';

/** Operands and attributes that may fit; the generator asks `infer` and the reference semantics. */
export interface Candidate<K extends PlainOpKind> {
  readonly operands: readonly Value[];
  readonly attributes: OpAttributes[K];
}

type Propose<K extends PlainOpKind> = (generator: GraphGenerator) => Candidate<K> | undefined;

/** The candidate when all operands are there. */
function propose<K extends PlainOpKind>(
  operands: readonly (Value | undefined)[],
  attributes: OpAttributes[K],
): Candidate<K> | undefined {
  return operands.every((operand) => operand !== undefined) ? { operands, attributes } : undefined;
}

function rankOf(value: Value): number {
  return value.type.shape.length;
}

function lastOf(value: Value): Dim {
  return value.type.shape.at(-1) as Dim;
}

/** A float of the pool of that rank, or a new one. */
function floatOfRank(g: GraphGenerator, rank: number): Value | undefined {
  const known = g.pickFloat((value) => rankOf(value) === rank);
  if (known !== undefined && g.random.chance(0.8)) return known;
  return g.newOperand(
    'f32',
    Array.from({ length: rank }, () => g.newDim()),
  );
}

/** A positive float: |x| + 0.5. */
function positive(g: GraphGenerator, x: Value | undefined): Value | undefined {
  const magnitude = x === undefined ? undefined : g.tryEmit('abs', [x], {})?.[0];
  const half = x === undefined ? undefined : g.tryEmit('constant', [], { dtype: x.type.dtype, shape: [], values: [0.5] })?.[0]; // prettier-ignore
  return magnitude === undefined || half === undefined ? undefined : g.tryEmit('add', [magnitude, half], {})?.[0];
}

function unary<K extends UnaryKind>(kind: K): Propose<K> {
  return (g) => {
    const x = g.pickFloat();
    const needsPositive = kind === 'log' || kind === 'sqrt' || kind === 'rsqrt';
    return propose<UnaryKind>([needsPositive ? positive(g, x) : x], {}) as Candidate<K> | undefined;
  };
}

/** A tensor that broadcasts with `beside`: of the pool, or new with some axes dropped or 1. */
function partner(g: GraphGenerator, beside: Value): Value | undefined {
  const { shape, dtype } = beside.type;
  const known = g.pickValue((value) => {
    const other = value.type.shape;
    const axes = Math.min(shape.length, other.length);
    if (value.type.dtype !== dtype && !(isFloat(dtype) && isFloat(value.type.dtype))) return false;
    return Array.from({ length: axes }, (_, back) => [shape.at(-1 - back), other.at(-1 - back)] as const).every(
      ([a, b]) => a?.equals(b as Dim) === true || a?.constant === 1 || b?.constant === 1,
    );
  });
  if (known !== undefined && g.random.chance(0.6)) return known;
  const dropped = g.random.chance(0.3) ? g.random.integer(0, shape.length) : 0;
  return g.newOperand(dtype, shape.slice(dropped).map((dim) => (g.random.chance(0.2) ? Dim.of(1) : dim))); // prettier-ignore
}

function pair(g: GraphGenerator, fits: (dtype: DType) => boolean): readonly (Value | undefined)[] {
  const a = g.pickValue((value) => fits(value.type.dtype));
  const b = a === undefined ? undefined : partner(g, a);
  return g.random.chance(0.5) ? [a, b] : [b, a];
}

function binary<K extends BinaryKind>(kind: K): Propose<K> {
  return (g) => {
    const [a, b] = pair(g, (dtype) => isFloat(dtype) || (dtype === 'i32' && kind !== 'pow'));
    if (kind === 'div' && b?.type.dtype === 'i32' && g.tensorOf(b).data.includes(0)) return undefined;
    const float = b !== undefined && isFloat(b.type.dtype);
    const operands = kind === 'pow' ? [positive(g, a), b] : kind === 'div' && float ? [a, positive(g, b)] : [a, b];
    return propose<BinaryKind>(operands, {}) as Candidate<K> | undefined;
  };
}

function compare<K extends CompareKind>(kind: K): Propose<K> {
  return (g) => {
    const operands = pair(g, (dtype) => dtype !== 'bool' || kind === 'equal');
    return propose<CompareKind>(operands, {}) as Candidate<K> | undefined;
  };
}

function reduce<K extends ReduceKind>(): Propose<K> {
  return (g) => {
    const x = g.pickFloat((value) => rankOf(value) > 0);
    if (x === undefined) return undefined;
    const axes = g.random.shuffle([...x.type.shape.keys()]).slice(0, g.random.integer(1, rankOf(x)));
    const attributes = { axes, keepDims: g.random.chance(0.5) };
    return propose<ReduceKind>([x], attributes) as Candidate<K> | undefined;
  };
}

function withAxis(g: GraphGenerator): { readonly x: Value; readonly axis: number; readonly dim: Dim } | undefined {
  const x = g.pickValue((value) => rankOf(value) > 0);
  if (x === undefined) return undefined;
  const axis = g.random.integer(0, rankOf(x) - 1);
  return { x, axis, dim: x.type.shape[axis] as Dim };
}

/** x[B, ..., C] with a constant C, and a divisor of it. */
interface Grouped {
  readonly x: Value;
  readonly groups: number;
  readonly channels: Dim;
}

function withGroups(g: GraphGenerator): Grouped | undefined {
  const fits = (value: Value): boolean => rankOf(value) >= 2 && lastOf(value).constant !== undefined;
  const x = g.pickFloat(fits) ?? g.newOperand('f32', [g.newDim(), g.newDim(), Dim.of(4)]);
  if (x === undefined) return undefined;
  const channels = lastOf(x);
  const divisors = [1, 2, 3, 4].filter((groups) => channels.isMultipleOf(groups));
  return { x, groups: g.random.pick(divisors), channels };
}

/** Of an f32 tensor, made here: variances are never negative. */
function momentsOf(g: GraphGenerator, found: Grouped | undefined): Value | undefined {
  return found && g.tryEmit('group_moments', [found.x], { groups: found.groups })?.[0];
}

function newShape(g: GraphGenerator, shape: readonly Dim[]): readonly Dim[] {
  const { random } = g;
  const axis = random.integer(0, Math.max(0, shape.length - 1));
  const at = shape[axis];
  switch (random.integer(0, 3)) {
    case 0:
      return [shape.reduce((product, dim) => product.mul(dim), Dim.of(1))];
    case 1:
      return shape.toSpliced(random.integer(0, shape.length), 0, Dim.of(1));
    case 2: {
      const next = shape[axis + 1];
      return at === undefined || next === undefined ? shape : shape.toSpliced(axis, 2, at.mul(next));
    }
    default: {
      const factor =
        at === undefined ? undefined : [2, 3, 'n', 'm'].find((size) => at.divideExactly(size) !== undefined);
      if (at === undefined || factor === undefined) return shape;
      const parts = [Dim.of(factor), at.divideExactly(factor) as Dim];
      return shape.toSpliced(axis, 1, ...random.shuffle(parts));
    }
  }
}

/** Pieces of an axis: two of a constant, the terms of a sum, otherwise the whole. */
function piecesOf(g: GraphGenerator, dim: Dim): readonly Dim[] {
  if (dim.constant !== undefined && dim.constant > 1) {
    const first = g.random.integer(1, dim.constant - 1);
    return [Dim.of(first), Dim.of(dim.constant - first)];
  }
  return dim
    .monomials()
    .map(({ symbols, coefficient }) => symbols.reduce((product, name) => product.mul(name), Dim.of(coefficient)));
}

/** Tables for x[B, S, H, D] from ids of one or two axes. */
function ropeOperands(g: GraphGenerator): readonly (Value | undefined)[] {
  const x = floatOfRank(g, 4);
  const size = x === undefined ? undefined : lastOf(x).constant;
  if (x === undefined || size === undefined || size % 2 !== 0) return [undefined];
  const positions = x.type.shape[1] as Dim;
  if (g.random.chance(0.5)) {
    const half = [positions, Dim.of(size / 2)];
    return [x, g.newOperand('f32', half), g.newOperand('f32', half)];
  }
  const axisSizes = size > 2 ? [2, size - 2] : [size];
  const ids = g.newOperand('i32', [positions, Dim.of(axisSizes.length)]);
  const tables = ids === undefined ? undefined : g.tryEmit('rope_table', [ids], { theta: 100, axisSizes });
  return [x, tables?.[0], tables?.[1]];
}

/** How to come by one operation of each kind. */
export const candidates: { readonly [K in PlainOpKind]: Propose<K> } = {
  neg: unary('neg'),
  abs: unary('abs'),
  exp: unary('exp'),
  log: unary('log'),
  sqrt: unary('sqrt'),
  rsqrt: unary('rsqrt'),
  sin: unary('sin'),
  cos: unary('cos'),
  tanh: unary('tanh'),
  sigmoid: unary('sigmoid'),
  silu: unary('silu'),
  gelu: unary('gelu'),
  erf: unary('erf'),
  floor: unary('floor'),
  add: binary('add'),
  sub: binary('sub'),
  mul: binary('mul'),
  div: binary('div'),
  min: binary('min'),
  max: binary('max'),
  pow: binary('pow'),
  equal: compare('equal'),
  less: compare('less'),
  less_equal: compare('less_equal'),
  reduce_sum: reduce(),
  reduce_mean: reduce(),
  reduce_max: reduce(),
  weight: (g) => {
    const value = g.newOperand('f32', [Dim.of(g.random.integer(1, 6)), Dim.of(4)]);
    if (value !== undefined) g.frame.pool.push(value);
    return undefined;
  },
  constant: (g) => {
    const shape = g.random.pick([[], [Dim.of(4)], [Dim.of('n'), Dim.of(2)]]);
    const splat = shape.length === 0 || g.random.chance(0.5) || shape[0]?.constant === undefined;
    const values = Array.from({ length: splat ? 1 : 4 }, () => g.random.integer(-8, 8) / 4);
    return propose<'constant'>([], { dtype: g.random.pick(g.dtypes), shape, values });
  },
  iota: (g) => propose<'iota'>([], { size: g.newDim() }),
  cast: (g) => {
    const dtype = g.random.pick<DType>([...g.dtypes, 'i32']);
    return propose<'cast'>([g.pickValue((value) => value.type.dtype !== dtype)], { dtype });
  },
  select: (g) => {
    const [a, b] = pair(g, (dtype) => dtype !== 'bool');
    if (a === undefined || b === undefined) return undefined;
    const { shape } = rankOf(a) > rankOf(b) ? a.type : b.type;
    const known = g.pickValue((value) => value.type.dtype === 'bool');
    return propose<'select'>(
      [known !== undefined && g.random.chance(0.5) ? known : g.newOperand('bool', shape), a, b],
      {},
    );
  },
  matmul: (g) => {
    const a = g.pickFloat((value) => rankOf(value) >= 2) ?? floatOfRank(g, 2);
    if (a === undefined) return undefined;
    const known = g.pickFloat((value) => rankOf(value) >= 2 && lastOf(value).equals(lastOf(a)));
    if (known !== undefined && g.random.chance(0.4)) return propose<'matmul'>([a, known], { transposeB: true });
    const transposeB = g.random.chance(0.7);
    const matrix = transposeB ? [g.newDim(), lastOf(a)] : [lastOf(a), g.newDim()];
    const leading = g.random.chance(0.3) ? a.type.shape.slice(0, -2) : [];
    return propose<'matmul'>([a, g.newOperand('f32', [...leading, ...matrix])], { transposeB });
  },
  conv2d: (g) => {
    const x = floatOfRank(g, 4);
    if (x === undefined) return undefined;
    const size = (): Dim => Dim.of(g.random.integer(1, 3));
    const kernel = g.newOperand('f32', [Dim.of(g.random.integer(1, 4)), size(), size(), lastOf(x)]);
    const side = (): number => g.random.integer(0, 1);
    return propose<'conv2d'>([x, kernel], {
      stride: g.random.integer(1, 2),
      padding: [side(), side(), side(), side()],
    });
  },
  attention: (g) => {
    const q = floatOfRank(g, 4);
    if (q === undefined) return undefined;
    const [batch, heads, , size] = q.type.shape as [Dim, Dim, Dim, Dim];
    const keyHeads = heads.isMultipleOf(2) && g.random.chance(0.5) ? (heads.divideExactly(2) as Dim) : heads;
    const shape = [batch, keyHeads, g.newDim(), size];
    const mask = g.random.chance(0.5) ? [g.newOperand('bool', [batch, shape[2] as Dim])] : [];
    const operands = [q, g.newOperand('f32', shape), g.newOperand('f32', shape), ...mask];
    return propose<'attention'>(operands, { scale: g.random.pick([0.25, 1]), causal: g.random.chance(0.3) });
  },
  layer_norm: (g) =>
    propose<'layer_norm'>([g.pickFloat((value) => rankOf(value) > 0)], { eps: g.random.pick([1e-6, 0.01]) }),
  rms_norm: (g) => {
    const x = g.pickFloat((value) => rankOf(value) > 0);
    const weight = x === undefined ? undefined : g.newOperand('f32', [lastOf(x)]);
    return propose<'rms_norm'>([x, weight], { eps: g.random.pick([1e-6, 0.01]) });
  },
  softmax: (g) => propose<'softmax'>([g.pickFloat((value) => rankOf(value) > 0)], {}),
  quantize_rows: (g) => {
    const x = g.pickFloat((value) => rankOf(value) > 0);
    return propose<'quantize_rows'>([x], { dtype: x !== undefined && lastOf(x).isMultipleOf(2) ? 'i8' : 'f8e4m3' });
  },
  dequantize: (g) => {
    const encoding = parseEncoding(g.random.pick(['int8', 'f8e5m2', 'q4_0', 'q5_1', 'nf4:16']));
    const rows = g.newDim();
    const fields = encodedFields(encoding, encoding.group === undefined ? 4 * g.random.integer(1, 3) : 32);
    return propose<'dequantize'>(fields.map(({ dtype, columns }) => g.newOperand(dtype, [rows, Dim.of(columns)])), { encoding: encoding.text }); // prettier-ignore
  },
  group_norm: (g) => {
    const found = withGroups(g);
    if (found === undefined) return undefined;
    const { x, groups, channels } = found;
    const affine = [g.newOperand('f32', [channels]), g.newOperand('f32', [channels])];
    return propose<'group_norm'>([x, ...affine], { groups, eps: 0.01 });
  },
  group_moments: (g) => {
    const found = withGroups(g);
    return found && propose<'group_moments'>([found.x], { groups: found.groups });
  },
  combine_moments: (g) => propose<'combine_moments'>([momentsOf(g, withGroups(g))], { eps: 0.01 }),
  group_apply: (g) => {
    const found = withGroups(g);
    if (found === undefined) return undefined;
    const { x, groups, channels } = found;
    const moments = momentsOf(g, found);
    const statistics = moments && g.tryEmit('combine_moments', [moments], { eps: 0.01 })?.[0];
    const affine = [g.newOperand('f32', [channels]), g.newOperand('f32', [channels])];
    return propose<'group_apply'>([x, statistics, ...affine], { groups });
  },
  rope: (g) => propose<'rope'>(ropeOperands(g), { style: g.random.pick(['interleaved', 'half']) }),
  rope_table: (g) => {
    const axisSizes = g.random.pick([[4], [2, 4], [2, 2, 2]]);
    const ids = g.newOperand('i32', [g.newDim(), Dim.of(axisSizes.length)]);
    return propose<'rope_table'>([ids], { theta: g.random.pick([100, 2000]), axisSizes });
  },
  timestep_embedding: (g) => {
    const known = g.pickValue((value) => value.type.dtype === 'f32' && rankOf(value) === 1);
    const t = known !== undefined && g.random.chance(0.5) ? known : g.newInput('f32', [g.newDim()]);
    return propose<'timestep_embedding'>([t], {
      size: g.random.pick([2, 6, 8]),
      maxPeriod: 100,
      scale: g.random.pick([1, 4]),
    });
  },
  reshape: (g) => {
    const x = g.pickValue(() => true);
    return x && propose<'reshape'>([x], { shape: newShape(g, x.type.shape) });
  },
  transpose: (g) => {
    const x = g.pickValue((value) => rankOf(value) > 1);
    return x && propose<'transpose'>([x], { permutation: g.random.shuffle([...x.type.shape.keys()]) });
  },
  slice: (g) => {
    const found = withAxis(g);
    if (found === undefined) return undefined;
    const { x, axis, dim } = found;
    const { loop } = g.frame;
    const room = g.sizeOf(dim);
    if (loop !== undefined && loop.count <= room && g.random.chance(0.7)) {
      return propose<'slice'>([x], { axis, start: Dim.of(loop.symbol), size: Dim.of(1) });
    }
    const start = g.random.integer(0, room - 1);
    // A constant size may not be more than the smallest value of a symbol; a rest that is symbolic always fits.
    const size = dim.constant === undefined ? dim.sub(start) : Dim.of(g.random.integer(1, room - start));
    return propose<'slice'>([x], { axis, start: Dim.of(start), size });
  },
  split: (g) => {
    const found = withAxis(g);
    return found && propose<'split'>([found.x], { axis: found.axis, sizes: piecesOf(g, found.dim) });
  },
  concat: (g) => {
    const found = withAxis(g);
    if (found === undefined) return undefined;
    const { x, axis } = found;
    const fits = ({ type }: Value): boolean =>
      type.dtype === x.type.dtype &&
      type.shape.length === rankOf(x) &&
      type.shape.every((dim, at) => at === axis || dim.equals(x.type.shape[at] as Dim));
    const fresh = g.random.chance(0.3) ? g.newOperand(x.type.dtype, x.type.shape.with(axis, g.newDim())) : undefined;
    return propose<'concat'>(g.random.shuffle([x, fresh ?? g.pickValue(fits)]), { axis });
  },
  broadcast: (g) => {
    const x = g.pickValue(() => true);
    if (x === undefined) return undefined;
    const grown = x.type.shape.map((dim) => (dim.constant === 1 && g.random.chance(0.7) ? g.newDim() : dim));
    return propose<'broadcast'>([x], { shape: g.random.chance(0.5) ? [g.newDim(), ...grown] : grown });
  },
  pad: (g) => {
    const x = g.pickValue((value) => rankOf(value) > 0 && value.type.dtype !== 'bool');
    const sizes = (): readonly number[] => (x?.type.shape ?? []).map(() => (g.random.chance(0.5) ? g.random.integer(1, 2) : 0)); // prettier-ignore
    return propose<'pad'>([x], { low: sizes(), high: sizes(), value: g.random.integer(0, 1) });
  },
  upsample_nearest: (g) => propose<'upsample_nearest'>([floatOfRank(g, 4)], { factor: g.random.integer(1, 3) }),
  gather: (g) => {
    const known = g.pickFloat((value) => rankOf(value) > 0 && g.sizeOf(value.type.shape[0] as Dim) >= 5);
    const table = known ?? g.newOperand('f32', [Dim.of(5), g.newDim()]);
    const ids = g.pickValue(({ type }) => type.dtype === 'i32' && type.shape.length < 3);
    return propose<'gather'>([table, ids ?? g.newOperand('i32', [g.newDim()])], {});
  },
};

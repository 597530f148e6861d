import { describe, expect, it } from 'vitest';
import { opKinds } from '../ir/graph/attribute-forms.js';
import { printModule } from '../ir/graph/print.js';
import { findProblems } from '../ir/graph/verify.js';
import * as api from './index.js';
import {
  add,
  attention,
  broadcast,
  cast,
  combineMoments,
  concat,
  conv2d,
  createModule,
  Dim,
  equal,
  Flux2cError,
  gather,
  graph,
  groupApply,
  groupMoments,
  groupNorm,
  layerNorm,
  less,
  linear,
  matmul,
  mul,
  pad,
  pow,
  reduceMax,
  reduceMean,
  reduceSum,
  reshape,
  rmsNorm,
  rope,
  ropeTable,
  select,
  silu,
  slice,
  softmax,
  split,
  sub,
  type Tensor,
  timestepEmbedding,
  transpose,
  upsampleNearest,
} from './index.js';

/** Compiles only when the tensor's element type and rank are exactly D and R. */
type Exactly<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;
function expectType<D extends api.DType, R extends number>() {
  return <A extends api.DType, S extends number>(
    tensor: Tensor<A, S>,
    ..._: Exactly<[A, S], [D, R]> extends true ? [] : ['another type']
  ): void => {
    expect(tensor.rank).toBe(tensor.shape.length);
  };
}

/** The error that building throws. */
function errorOf(build: () => unknown): Flux2cError {
  try {
    build();
  } catch (error) {
    if (error instanceof Flux2cError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('the graph API', () => {
  it('builds the module of its own example', () => {
    const g = graph('mlp');
    const x = g.input('x', 'f32', ['tokens', 256]);
    const w = g.weight('fc.weight', 'bf16', [1024, 256]);
    g.output({ y: silu(linear(x, w)) });
    expect(printModule(g.build())).toBe(`weight @fc.weight : bf16[1024, 256] = tensor "fc.weight"

func @mlp(%x: f32[tokens, 256]) -> (y: %silu) {
  %matmul = matmul(%x, @fc.weight) {transposeB = true} : f32[tokens, 1024]
  %silu = silu(%matmul) : f32[tokens, 1024]
}
`);
  });

  it('has a function for every operation', () => {
    const names: Readonly<Record<string, string>> = { min: 'minimum', max: 'maximum', conv2d: 'conv2d' };
    const methods = new Set(['weight', 'constant', 'iota', 'loop']);
    const camel = (kind: string): string => kind.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
    // Fused operations are what passes make, never what a model says.
    const missing = opKinds.filter((kind) => {
      if (kind === 'fused') return false;
      const name = names[kind] ?? camel(kind);
      return !(methods.has(kind) ? name in graph('f') : name in api);
    });
    expect(missing).toEqual([]);
  });

  it('knows element types and ranks', () => {
    const g = graph('types');
    const x = g.input('x', 'f32', ['n', 8]);
    const half = g.input('half', 'f16', ['n', 8]);
    const image = g.input('image', 'bf16', [1, '2*h', '2*w', 8]);
    const ids = g.input('ids', 'i32', ['n']);
    const weight = g.weight('weight', 'bf16', [16, 8]);
    const channels = g.weight('channels', 'bf16', [8]);
    expectType<'f32', 2>()(x);
    expectType<'f32', 2>()(linear(x, weight));
    expectType<'bf16', 4>()(linear(image, weight, g.weight('bias', 'bf16', [16])));
    expectType<'f32', 2>()(add(half, channels));
    expectType<'f16', 2>()(add(half, 1));
    expectType<'f32', 4>()(mul(image, g.scalar('f32', 2)));
    expectType<'bool', 2>()(less(x, 0));
    expectType<'bool', 1>()(equal(ids, 0));
    expectType<'f32', 2>()(select(less(x, 0), 0, x));
    expectType<'f32', 3>()(reshape(x, ['n', 2, 4]));
    expectType<'f32', 2>()(transpose(x, [1, 0]));
    expectType<'f32', 1>()(reduceSum(x, [-1]));
    expectType<'f32', 2>()(reduceMean(x, [-1], { keepDims: true }));
    expectType<'f32', 0>()(reduceMax(x, [0, 1]));
    expectType<'f32', 2>()(gather(x, ids));
    expectType<'bf16', 3>()(gather(weight, g.input('more', 'i32', ['n', 2])));
    expectType<'i32', 1>()(g.iota('n'));
    expectType<'f16', 2>()(cast(x, 'f16'));
    const [a, b] = split(x, -1, [2, 6]);
    expectType<'f32', 2>()(a);
    expectType<'f32', 2>()(b);
    const [cos, sin] = ropeTable(g.input('positions', 'i32', ['n', 1]), { theta: 100, axisSizes: [8] });
    expectType<'f32', 2>()(cos);
    const q = g.input('q', 'f32', [1, 'n', 2, 8]);
    expectType<'f32', 4>()(rope(q, cos, sin));
    expectType<'f32', 4>()(attention(q, q, q));
    expectType<'bf16', 4>()(conv2d(image, g.weight('kernel', 'bf16', [4, 3, 3, 8]), { padding: 1 }));
    expectType<'bf16', 4>()(groupNorm(image, channels, channels, { groups: 2, eps: 1e-6 }));
    const moments = groupMoments(image, { groups: 2 });
    expectType<'f32', 4>()(moments);
    const statistics = combineMoments(moments, { eps: 1e-6 });
    expectType<'f32', 3>()(statistics);
    expectType<'bf16', 4>()(groupApply(image, statistics, channels, channels, { groups: 2 }));
    expectType<'f32', 2>()(rmsNorm(x, channels, { eps: 1e-6 }));
    expectType<'f32', 2>()(layerNorm(x, { eps: 1e-6, weight: x.graph.weight('scale', 'f32', [8]) }));
    expectType<'f32', 2>()(timestepEmbedding(g.input('t', 'f32', ['n']), { size: 6 }));
    expectType<'bf16', 4>()(upsampleNearest(image, 2));
    expectType<'f32', 3>()(broadcast(x, [2, 'n', 8]));
    expectType<'f32', 2>()(pad(x, { low: [0, 1], high: [0, 0] }));
    const stored = g.weight<'f16' | 'bf16' | 'f32', readonly [8, 8]>('stored', 'f16', [8, 8]);
    expectType<'f32', 2>()(matmul(x, stored));
    g.output({ softmax: softmax(x) });
    expect(findProblems(g.build())).toEqual([]);
  });

  it('refuses wrong element types and ranks, in TypeScript and when it runs', () => {
    const g = graph('f');
    const x = g.input('x', 'f32', ['n', 8]);
    const ids = g.input('ids', 'i32', ['n']);
    const cube = g.weight('cube', 'bf16', [2, 2, 8]);
    // @ts-expect-error a linear layer's weight is a matrix
    expect(linear(x, cube).shape.length).toBe(3);
    // @ts-expect-error ids are no floats
    expect(errorOf(() => silu(ids)).code).toBe('F2C112');
    // @ts-expect-error floats and ids do not add up
    expect(errorOf(() => add(x, ids)).code).toBe('F2C112');
    // @ts-expect-error a product is of floats
    expect(errorOf(() => matmul(x, ids)).code).toBe('F2C111');
    // @ts-expect-error attention wants [B, H, S, D]
    expect(errorOf(() => attention(x, x, x)).code).toBe('F2C111');
    // @ts-expect-error one axis is missing
    expect(errorOf(() => transpose(x, [0])).code).toBe('F2C114');
    // @ts-expect-error positions are i32
    expect(errorOf(() => ropeTable(x, { theta: 100, axisSizes: [8] })).code).toBe('F2C112');
    // @ts-expect-error the condition is bool
    expect(errorOf(() => select(x, x, x)).code).toBe('F2C112');
    // @ts-expect-error a table is gathered by i32
    expect(errorOf(() => gather(x, x)).code).toBe('F2C112');
    // @ts-expect-error there is no such element type
    expect(() => g.input('odd', 'f33', [1])).not.toThrow();
    const takeMatrix = (matrix: Tensor<'f32', 2>): number => matrix.rank;
    // @ts-expect-error one dimension too many
    expect(takeMatrix(reshape(x, ['n', 2, 4]))).toBe(3);
    expect(pow(x, 2).rank).toBe(2);
  });

  it('keeps ranks and types that are known at run time only', () => {
    const g = graph('f');
    const shape: readonly number[] = [2, 3];
    const loose = g.input('loose', 'f32', shape);
    const x: Tensor<'f32', 2> = loose.withRank(2);
    expect(x.withDType('f32').size(-1).text).toBe('3');
    expect(errorOf(() => loose.withRank(3)).code).toBe('F2C128');
    expect(errorOf(() => loose.withDType('bf16')).code).toBe('F2C128');
    expect(errorOf(() => loose.size(2)).code).toBe('F2C128');
  });

  it('builds loops whose symbol is a dimension inside', () => {
    const g = graph('denoise');
    const noise = g.input('noise', 'f32', ['img', 4]);
    const sigmas = g.input('sigmas', 'f32', ['steps', 1]);
    const [image, total] = g.loop({ count: 'steps', symbol: 'step' }, [noise, g.scalar('f32', 0)], ([x, sum]) => {
      expectType<'f32', 2>()(x);
      const sigma = slice(sigmas, 0, 'step', 1);
      return [add(x, mul(sigma, x)), add(sum, 1)];
    });
    expectType<'f32', 2>()(image);
    expectType<'f32', 0>()(total);
    g.output({ image, total });
    expect(findProblems(g.build())).toEqual([]);
    // @ts-expect-error the body must give back what it was given
    expect(errorOf(() => graph('g').loop({ count: 1, symbol: 's' }, [noise], ([x]) => [reshape(x, ['4*img'])])).code).toBe('F2C121'); // prettier-ignore
  });

  it('says where a mistake is', () => {
    const g = graph('net');
    const x = g.input('x', 'f32', ['n', 8]);
    const error = errorOf(() => g.scope('block.0', () => linear(x, g.weight('block.0.weight', 'bf16', [4, 9]))));
    expect(error.code).toBe('F2C113');
    expect(error.detail.where?.slice(0, 2)).toEqual([
      "function 'net'",
      '%block.0.matmul = matmul(%x: f32[n, 8], @block.0.weight: bf16[4, 9])',
    ]);
    const inLoop = errorOf(() => g.loop({ count: 2, symbol: 'i' }, [x], ([c]) => [sub(c, g.weight('w', 'f32', [7]))]));
    expect(inLoop.detail.where?.slice(0, 2)).toEqual(["function 'net'", 'loop i']);
  });

  it('refuses what belongs to another function or loop, and names taken', () => {
    const module = createModule();
    const [f, g] = [module.function('f'), module.function('g')];
    const [x, y] = [f.input('x', 'f32', [4]), g.input('y', 'f32', [4])];
    expect(errorOf(() => add(x, y)).code).toBe('F2C129');
    expect(errorOf(() => f.output({ y })).code).toBe('F2C129');
    expect(errorOf(() => f.input('x', 'f32', [4])).code).toBe('F2C126');
    expect(errorOf(() => module.function('f')).code).toBe('F2C126');
    let inner = x;
    f.loop({ count: 2, symbol: 'i' }, [x], ([c]) => [(inner = add(c, 1))]);
    expect(errorOf(() => f.output({ inner })).code).toBe('F2C121');
    expect(errorOf(() => module.build()).code).toBe('F2C127');
    f.weight('w', 'f32', [4]);
    g.weight('w', 'f32', [4]);
    expect(errorOf(() => g.weight('w', 'bf16', [4])).code).toBe('F2C124');
    expect(errorOf(() => g.weight('w', 'f32', [4], { kind: 'tensor', tensor: 'other' })).code).toBe('F2C124');
    expect(errorOf(() => concat([], 0)).code).toBe('F2C128');
    expect(errorOf(() => attention(...heads(f)))).toMatchObject({ code: 'F2C128' });
  });

  it('adds dimensions up', () => {
    const g = graph('f');
    const tokens = Dim.of('img').add('txt');
    const joined = concat([g.input('a', 'f32', ['img', 4]), g.input('b', 'f32', ['txt', 4])], 0);
    expect(joined.size(0).equals(tokens)).toBe(true);
  });
});

/** Heads of a size that is no constant. */
function heads(f: api.FunctionGraph): [Tensor<'f32', 4>, Tensor<'f32', 4>, Tensor<'f32', 4>] {
  const q = f.input('q', 'f32', [1, 2, 'n', 'd']);
  return [q, q, q];
}

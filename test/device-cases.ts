import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from '../ir/dtype.js';
import {
  binary,
  builtin,
  convert,
  f32,
  float,
  i32,
  integer,
  parameter,
  register,
  typeOf,
  unary,
  vectorOf,
} from '../ir/kernel/expressions.js';
import type { BufferParameter, Expression, RegisterType, Statement, ThreadKernel } from '../ir/kernel/thread.js';

/**
 * Kernels written by hand with inputs and the results computed in
 * f64: what every device must reproduce.
 */
export interface DeviceCase {
  readonly kernel: ThreadKernel;
  /** Initial bytes of each buffer. */
  readonly buffers: readonly Uint8Array[];
  readonly parameters: Int32Array;
  readonly workgroups: readonly [number, number, number];
  /** Index of the buffer with the result. */
  readonly output: number;
  readonly expected: Float64Array;
  readonly decode: (bytes: Uint8Array) => ArrayLike<number>;
  /** Largest |found - expected| / max(1, |expected|). */
  readonly tolerance: number;
}

const f32x4: RegisterType = vectorOf('f32', 4);

export const load = (buffer: string, index: Expression, type: RegisterType = f32): Expression => ({
  kind: 'load',
  buffer,
  index,
  type,
});
export const letIn = (name: string, value: Expression): Statement => ({
  kind: 'let',
  name,
  type: typeOf(value),
  value,
});
export const store = (buffer: string, index: Expression, value: Expression): Statement => ({
  kind: 'store',
  buffer,
  index,
  value,
});
export const loop = (variable: string, end: Expression, body: readonly Statement[], step = 1): Statement => ({
  kind: 'for',
  variable,
  start: integer(0),
  end,
  step,
  body,
});
export const buffer = (
  name: string,
  storage: BufferParameter['storage'],
  lanes: BufferParameter['lanes'] = 1,
  access: BufferParameter['access'] = 'read',
): BufferParameter => ({ name, storage, lanes, access });

/** Evenly distributed numbers in -1..1, the same on every run. */
export function pseudoRandom(count: number, seed: number): Float32Array {
  let state = seed >>> 0;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

export const bytesOf = (values: ArrayBufferView): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength).slice();
export const asF32 = (bytes: Uint8Array): Float32Array =>
  new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);

const globalIndex = (size: number): Expression =>
  binary('add', binary('mul', builtin('workgroup_x'), integer(size)), builtin('local_index'));

/** out = a + scale · b over `count` elements, guarded. */
export function vectorAdd(): DeviceCase {
  const count = 1000;
  const a = pseudoRandom(count, 1);
  const b = pseudoRandom(count, 2);
  const kernel: ThreadKernel = {
    phase: 'thread',
    name: 'vector_add',
    buffers: [buffer('a', 'f32'), buffer('b', 'f32'), buffer('out', 'f32', 1, 'write')],
    parameters: ['count', 'scale'],
    workgroupSize: 64,
    shared: [],
    body: [
      letIn('i', globalIndex(64)),
      {
        kind: 'if',
        condition: binary('less', register('i', i32), parameter('count')),
        then: [
          store(
            'out',
            register('i', i32),
            binary(
              'add',
              load('a', register('i', i32)),
              binary('mul', convert(parameter('scale'), 'f32'), load('b', register('i', i32))),
            ),
          ),
        ],
      },
    ],
  };

  return {
    kernel,
    buffers: [bytesOf(a), bytesOf(b), new Uint8Array(count * 4)],
    parameters: Int32Array.of(count, 3),
    workgroups: [Math.ceil(count / 64), 1, 1],
    output: 2,
    expected: Float64Array.from(a, (value, index) => value + 3 * (b[index] ?? 0)),
    decode: asF32,
    tolerance: 2 ** -22,
  };
}

/** out[m][n] = sum over k of a[m][k] · w[n][k]; w in bf16, vectors along k, guards on m and n. */
export function smallProduct(): DeviceCase {
  const [rows, columns, depth] = [13, 21, 40];
  const a = pseudoRandom(rows * depth, 3);
  const w = Uint16Array.from(pseudoRandom(columns * depth, 4), f32ToBf16);
  const at = (row: string, of: string): Expression =>
    binary('add', binary('mul', register(row, i32), binary('div', parameter(of), integer(4))), register('k', i32));
  const kernel: ThreadKernel = {
    phase: 'thread',
    name: 'small_product',
    buffers: [buffer('a', 'f32', 4), buffer('w', 'bf16', 4), buffer('out', 'f32', 1, 'write')],
    parameters: ['rows', 'columns', 'depth'],
    workgroupSize: 8,
    shared: [],
    body: [
      letIn('n', globalIndex(8)),
      letIn('m', builtin('workgroup_y')),
      {
        kind: 'if',
        condition: binary(
          'and',
          binary('less', register('m', i32), parameter('rows')),
          binary('less', register('n', i32), parameter('columns')),
        ),
        then: [
          { kind: 'var', name: 'sum', type: f32, value: float(0) },
          loop('k', binary('div', parameter('depth'), integer(4)), [
            {
              kind: 'assign',
              name: 'sum',
              value: binary('add', register('sum', f32), {
                kind: 'dot',
                a: load('a', at('m', 'depth'), f32x4),
                b: load('w', at('n', 'depth'), f32x4),
              }),
            },
          ]),
          store(
            'out',
            binary('add', binary('mul', register('m', i32), parameter('columns')), register('n', i32)),
            register('sum', f32),
          ),
        ],
      },
    ],
  };

  const expected = Float64Array.from({ length: rows * columns }, (_, index) => {
    const m = Math.floor(index / columns);
    const n = index % columns;
    let sum = 0;
    for (let k = 0; k < depth; k++) sum += (a[m * depth + k] ?? 0) * bf16ToF32(w[n * depth + k] ?? 0);
    return sum;
  });
  return {
    kernel,
    buffers: [bytesOf(a), bytesOf(w), new Uint8Array(rows * columns * 4)],
    parameters: Int32Array.of(rows, columns, depth),
    workgroups: [Math.ceil(columns / 8), rows, 1],
    output: 2,
    expected,
    decode: asF32,
    tolerance: 1e-5,
  };
}

/** Softmax of each row: one invocation a row, three loops. */
export function rowSoftmax(): DeviceCase {
  const [rows, columns] = [37, 50];
  const x = pseudoRandom(rows * columns, 5).map((value) => value * 30);
  const element = binary('add', binary('mul', register('row', i32), parameter('columns')), register('j', i32));
  const shifted = unary('exp', binary('sub', load('x', element), register('largest', f32)));
  const kernel: ThreadKernel = {
    phase: 'thread',
    name: 'row_softmax',
    buffers: [buffer('x', 'f32'), buffer('out', 'f32', 1, 'write')],
    parameters: ['rows', 'columns'],
    workgroupSize: 32,
    shared: [],
    body: [
      letIn('row', globalIndex(32)),
      {
        kind: 'if',
        condition: binary('less', register('row', i32), parameter('rows')),
        then: [
          { kind: 'var', name: 'largest', type: f32, value: float(-3.4e38) },
          loop('j', parameter('columns'), [
            { kind: 'assign', name: 'largest', value: binary('max', register('largest', f32), load('x', element)) },
          ]),
          { kind: 'var', name: 'sum', type: f32, value: float(0) },
          loop('j', parameter('columns'), [
            { kind: 'assign', name: 'sum', value: binary('add', register('sum', f32), shifted) },
          ]),
          loop('j', parameter('columns'), [store('out', element, binary('div', shifted, register('sum', f32)))]),
        ],
      },
    ],
  };

  const expected = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    const values = x.subarray(row * columns, (row + 1) * columns);
    const largest = Math.max(...values);
    const sum = values.reduce((total, value) => total + Math.exp(value - largest), 0);
    values.forEach((value, index) => (expected[row * columns + index] = Math.exp(value - largest) / sum));
  }
  return {
    kernel,
    buffers: [bytesOf(x), new Uint8Array(rows * columns * 4)],
    parameters: Int32Array.of(rows, columns),
    workgroups: [Math.ceil(rows / 32), 1, 1],
    output: 1,
    expected,
    decode: asF32,
    tolerance: 2e-6,
  };
}

/** out[i] = table[ids[i]]: rows of four f16 gathered and stored as bf16. */
export function gatherRows(): DeviceCase {
  const [rows, count] = [17, 64];
  const table = Uint16Array.from(pseudoRandom(rows * 4, 6), f32ToF16);
  const ids = Int32Array.from({ length: count }, (_, index) => (index * 7) % rows);
  const kernel: ThreadKernel = {
    phase: 'thread',
    name: 'gather_rows',
    buffers: [buffer('table', 'f16', 4), buffer('ids', 'i32'), buffer('out', 'bf16', 4, 'write')],
    parameters: [],
    workgroupSize: 16,
    shared: [],
    body: [
      letIn('i', globalIndex(16)),
      store('out', register('i', i32), load('table', load('ids', register('i', i32), i32), f32x4)),
    ],
  };

  const expected = new Float64Array(count * 4);
  ids.forEach((id, index) => {
    for (let lane = 0; lane < 4; lane++)
      expected[index * 4 + lane] = bf16ToF32(f32ToBf16(f16ToF32(table[id * 4 + lane] ?? 0)));
  });
  return {
    kernel,
    buffers: [bytesOf(table), bytesOf(ids), new Uint8Array(count * 8)],
    parameters: new Int32Array(0),
    workgroups: [count / 16, 1, 1],
    output: 2,
    expected,
    decode: (bytes) => Float32Array.from(new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2), bf16ToF32),
    tolerance: 0,
  };
}

export const deviceCases: readonly (() => DeviceCase)[] = [vectorAdd, smallProduct, rowSoftmax, gatherRows];

/** Largest |found - expected| / max(1, |expected|); NaN counts as infinite. */
export function worstError(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  let worst = found.length === expected.length ? 0 : Infinity;
  for (let index = 0; index < expected.length; index++) {
    const value = expected[index] ?? NaN;
    const error = Math.abs((found[index] ?? NaN) - value) / Math.max(1, Math.abs(value));
    worst = Number.isNaN(error) ? Infinity : Math.max(worst, error);
  }
  return worst;
}

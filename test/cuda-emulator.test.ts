/** What kernels compute in CUDA C++, on the emulator: the interpreter's numbers. */
import { afterAll, describe, expect, it } from 'vitest';
import { printCuda } from '../backends/cuda/cuda.js';
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from '../ir/dtype.js';
import {
  add,
  binary,
  builtin,
  constant,
  convert,
  f32,
  float,
  i32,
  integer,
  lane,
  multiply,
  register,
  select,
  subtract,
  unary,
  vectorOf,
} from '../ir/kernel/expressions.js';
import { runThreadKernel } from '../ir/kernel/thread-interpret.js';
import type { Expression, RegisterType, Statement, StorageType, ThreadKernel } from '../ir/kernel/thread.js';
import { f8e4m3Inputs, f8e4m3Values, nearestF8e4m3 } from './f8e4m3-cases.js';
import { openEmulator, emulate } from './cuda-tools.js';
import { asF32, buffer, bytesOf, deviceCases, letIn, load, store, worstError } from './device-cases.js';
import { randomKernelInputs, randomThreadKernel } from './random-kernel.js';
import { runCase } from './run-device-case.js';

const i = register('i', i32);
const defineIndex = letIn('i', add(multiply(builtin('workgroup_x'), integer(32)), builtin('local_index')));

function kernelOf(
  name: string,
  buffers: ThreadKernel['buffers'],
  body: readonly Statement[],
  parts: Partial<ThreadKernel> = {},
): ThreadKernel {
  return {
    phase: 'thread',
    name,
    buffers,
    parameters: [],
    workgroupSize: 32,
    shared: [],
    body: [defineIndex, ...body],
    ...parts,
  };
}

/** y[i * values + at] = value: what expressions of i compute. */
function tabulate(name: string, values: readonly Expression[], reads: ThreadKernel['buffers'] = []): ThreadKernel {
  return kernelOf(
    name,
    [...reads, buffer('y', 'f32', 1, 'write')],
    values.map((value, at) => store('y', add(multiply(i, integer(values.length)), integer(at)), value)),
  );
}

const device = await openEmulator('kernels on the CUDA emulator');
if (device !== undefined) {
  describe('kernels on the CUDA emulator', () => {
    afterAll(() => device.destroy());

    it.each(deviceCases.map((make) => make()))('computes $kernel.name', async (test) => {
      expect(worstError(await runCase(device, test), test.expected)).toBeLessThanOrEqual(test.tolerance);
    });

    it('gives the bits of the interpreter for random kernels', async () => {
      const kernels = Array.from({ length: 48 }, (_, seed) => ({
        ...randomThreadKernel(seed),
        name: `random_${seed}`,
      }));
      await device.loadKernels(kernels.map((kernel) => ({ name: kernel.name, kernel, source: printCuda(kernel) })));
      for (const [seed, kernel] of kernels.entries()) {
        const { parameters, numbers, integers, result } = randomKernelInputs(seed);
        const workgroups = [2, 1, 1] as const;
        const buffers = [numbers, integers, result].map(bytesOf);
        const got = asF32((await emulate(device, { kernel, buffers, parameters, workgroups }))[2] as Uint8Array);
        runThreadKernel(kernel, { numbers, integers, result }, parameters, workgroups);
        const differing = got.findIndex((value, at) => !Object.is(value, result[at]));
        expect(differing, `seed ${seed}: ${got[differing]} instead of ${result[differing]}`).toBe(-1);
      }
    });

    it('copies every storage type at every width bit for bit', async () => {
      const cases: readonly (readonly [StorageType, RegisterType['scalar'], number])[] = [
        ['f32', 'f32', 4],
        ['i32', 'i32', 4],
        ['u32', 'u32', 4],
        ['bf16', 'f32', 2],
        ['f16', 'f32', 2],
        ['u8', 'i32', 1],
        ['bool', 'bool', 1],
      ];
      const launches = cases.flatMap(([storage, type, size]) =>
        ([1, 2, 4] as const).map((lanes) => {
          const x = Uint8Array.from({ length: 64 * lanes * size }, (_, byte) => {
            // A 0x3. exponent byte keeps the floats normal and finite.
            const isTop = byte % size === size - 1 && size > 1;
            return storage === 'bool' ? (byte >> 1) & 1 : isTop ? 0x30 + ((byte * 5) % 8) : (byte * 37 + 11) % 256;
          });
          const buffers = [buffer('x', storage, lanes), buffer('y', storage, lanes, 'write')];
          const body = [store('y', i, load('x', i, vectorOf(type, lanes)))];
          return { x, kernel: kernelOf(`copy_${storage}_${lanes}`, buffers, body) };
        }),
      );
      await device.loadKernels(
        launches.map(({ kernel }) => ({ name: kernel.name, kernel, source: printCuda(kernel) })),
      );
      for (const { kernel, x } of launches) {
        const [, y] = await emulate(device, { kernel, buffers: [x, new Uint8Array(x.length)], workgroups: [2, 1, 1] });
        expect(y, kernel.name).toEqual(x);
      }
    });

    it('rounds 16-bit stores to nearest even, keeps infinities and NaN', async () => {
      const values = [
        1.00390625, 1.01171875, 65519.9, 65520, 1e6, -1e30, Infinity, -Infinity, NaN, 3.0e-5, -0, 1.5, 2049, 2051, 0.1,
        -3.3e38, 6e-8, 2.98e-8, 2.99e-8, 8.9e-8, 6.1e-5, 6.097e-5, 1e-40, 65504, 3.4e38, 2 ** -14, 2 ** -24, 2 ** -25,
        3 * 2 ** -25, -6.1e-5, 1, -1,
      ].map(Math.fround); // prettier-ignore
      const x = bytesOf(Float32Array.from(values));
      for (const [storage, narrow, widen] of [
        ['bf16', f32ToBf16, bf16ToF32],
        ['f16', f32ToF16, f16ToF32],
      ] as const) {
        const buffers = [buffer('x', 'f32'), buffer('y', storage, 1, 'write'), buffer('z', 'f32', 1, 'write')];
        const half = register('half', vectorOf('f16', 1));
        const kernel = kernelOf(`round_${storage}`, buffers, [
          store('y', i, load('x', i)),
          letIn('half', convert(load('x', i), 'f16')),
          store('z', i, convert(half, 'f32')),
        ]);
        const [, y, z] = await emulate(device, { kernel, buffers: [x, new Uint8Array(64), new Uint8Array(128)] });
        const bits = new Uint16Array((y as Uint8Array).buffer);
        values.forEach((value, at) => {
          const name = `${storage} of ${value}`;
          if (Number.isNaN(value)) expect(widen(bits[at] as number), name).toBeNaN();
          else expect(bits[at], name).toBe(narrow(value));
          expect(asF32(z as Uint8Array)[at], `f16 register of ${value}`).toBe(f16ToF32(f32ToF16(value)));
        });
      }
    });

    it('widens and rounds f8e4m3 at every width', async () => {
      const codes = Uint8Array.from({ length: 256 }, (_, code) => code);
      const cases = ([1, 2, 4] as const).map((lanes) => {
        const type = vectorOf('f32', lanes);
        const copy = (name: string, from: StorageType, to: StorageType): ThreadKernel =>
          kernelOf(`${name}_${lanes}`, [buffer('x', from, lanes), buffer('y', to, lanes, 'write')], [
            store('y', i, load('x', i, type)),
          ]); // prettier-ignore
        return { lanes, widen: copy('widen', 'f8e4m3', 'f32'), narrow: copy('narrow', 'f32', 'f8e4m3') };
      });
      await device.loadKernels(
        cases.flatMap(({ widen, narrow }) =>
          [widen, narrow].map((kernel) => ({ name: kernel.name, kernel, source: printCuda(kernel) })),
        ),
      );
      for (const { lanes, widen, narrow } of cases) {
        const workgroups = (kernel: ThreadKernel, count: number) =>
          [count / lanes / kernel.workgroupSize, 1, 1] as const;
        const wide = [codes, new Uint8Array(4 * 256)];
        const [, values] = await emulate(device, { kernel: widen, buffers: wide, workgroups: workgroups(widen, 256) });
        expect([...asF32(values as Uint8Array)]).toEqual(f8e4m3Values);
        const count = f8e4m3Inputs.length;
        const buffers = [bytesOf(f8e4m3Inputs), new Uint8Array(count)];
        const [, bits] = await emulate(device, { kernel: narrow, buffers, workgroups: workgroups(narrow, count) });
        expect([...(bits as Uint8Array)]).toEqual([...f8e4m3Inputs].map(nearestF8e4m3));
      }
    });

    it('has the interpreter’s functions, conversions and comparisons', async () => {
      const x = load('x', i);
      const y = binary('sub', float(1.5), x);
      const vector: Expression = { kind: 'vector', parts: [x, y] };
      const values: readonly Expression[] = [
        ...(['neg', 'abs', 'exp', 'log', 'sqrt', 'rsqrt', 'sin', 'cos', 'tanh', 'floor'] as const).map((operator) =>
          unary(operator, x),
        ),
        ...(['add', 'sub', 'mul', 'div', 'mod', 'min', 'max', 'pow'] as const).map((operator) =>
          binary(operator, x, y),
        ),
        ...(['equal', 'less', 'less_equal'] as const).map((operator) =>
          select(binary(operator, x, y), float(1), float(2)),
        ),
        ...(['i32', 'u32', 'f16', 'bool'] as const).map((to) => convert(convert(x, to), 'f32')),
        convert({ kind: 'bitcast', to: 'i32', operand: x }, 'f32'),
        { kind: 'dot', a: vector, b: { kind: 'shuffle', operand: vector, lanes: [0, 1] } },
        float(-Infinity),
        binary('max', float(NaN), x),
        binary('min', x, float(NaN)),
        select(binary('equal', float(NaN), float(NaN)), float(1), float(2)),
        convert(binary('shift_right', integer(-8), i), 'f32'),
        convert(binary('shift_left', integer(3), add(i, integer(29))), 'f32'),
        convert(integer(-(2 ** 31)), 'f32'),
        convert(constant(2 ** 32 - 1, vectorOf('u32', 1)), 'f32'),
        convert(binary('div', integer(-7), subtract(i, integer(40))), 'f32'),
        convert(binary('mod', integer(-7), subtract(i, integer(40))), 'f32'),
        lane(unary('exp', vector), 1),
        select(lane(binary('less', vector, vector), 0), float(1), float(2)),
      ];
      const inputs = Float32Array.from([
        ...[0, -0, 1, -1, 0.5, 2, 3.25, -2.5, 10, 88, 89, -104, 1e-3, 1e-40, 1e10, -1e10, 2.2e9, 4.3e9, 3e38, -3e38],
        ...[Infinity, -Infinity, NaN, 1.5, 0.75, 65504, 65520, 7e-8, 100, -0.001, 1e5, 3],
      ]);
      const kernel = tabulate('functions', values, [buffer('x', 'f32')]);
      const want = new Float32Array(32 * values.length);
      runThreadKernel(kernel, { x: inputs, y: want }, {}, [1, 1, 1]);
      const [, bytes] = await emulate(device, {
        kernel,
        buffers: [bytesOf(inputs), new Uint8Array(want.byteLength)],
      });
      const got = asF32(bytes as Uint8Array);
      want.forEach((exact, at) => {
        const value = got[at] as number;
        const name = `expression ${at % values.length} of ${inputs[Math.floor(at / values.length)]}`;
        if (Number.isFinite(exact)) expect(Math.abs(value - exact) / ulp(exact), name).toBeLessThanOrEqual(1);
        else expect(value, name).toBe(exact);
        // Zero has a sign.
        if (exact === 0) expect(Object.is(value, exact), name).toBe(true);
      });
    });

    it('runs subgroup operations on vectors and integers', async () => {
      const v = register('v', vectorOf('f32', 2));
      const values: readonly Expression[] = [
        lane({ kind: 'subgroup_broadcast', operand: v, source: 5 }, 1),
        lane({ kind: 'subgroup_reduce', operator: 'max', operand: v }, 0),
        lane({ kind: 'subgroup_reduce', operator: 'add', operand: v }, 1),
        convert({ kind: 'subgroup_reduce', operator: 'add', operand: i }, 'f32'),
        { kind: 'subgroup_reduce', operator: 'max', operand: unary('neg', convert(i, 'f32')) },
        convert(builtin('subgroup_lane'), 'f32'),
      ];
      const { buffers, body } = tabulate('subgroups', values);
      const kernel: ThreadKernel = {
        ...kernelOf('subgroups', buffers, []),
        workgroupSize: 64,
        subgroupSize: 32,
        body: [
          letIn('i', add(multiply(builtin('workgroup_x'), integer(64)), builtin('local_index'))),
          letIn('v', { kind: 'vector', parts: [convert(i, 'f32'), multiply(convert(i, 'f32'), float(2))] }),
          ...body.slice(1),
        ],
      };
      const want = new Float32Array(128 * values.length);
      runThreadKernel(kernel, { y: want }, {}, [2, 1, 1]);
      const [y] = await emulate(device, {
        kernel,
        buffers: [new Uint8Array(want.byteLength)],
        workgroups: [2, 1, 1],
      });
      expect(asF32(y as Uint8Array)).toEqual(want);
    });

    it('starts workgroups at the origin and keeps more than 48 KiB of shared memory', async () => {
      const length = 32 * 1024;
      const at = multiply(builtin('local_index'), integer(length / 32));
      const kernel: ThreadKernel = {
        ...kernelOf('large', [buffer('y', 'f32', 1, 'write')], []),
        parameters: ['origin_x', 'origin_y'],
        shared: [
          { name: 'flags', type: vectorOf('bool', 1), length: 32 },
          { name: 'halves', type: vectorOf('f16', 1), length: 32 },
          { name: 'numbers', type: f32, length },
        ],
        body: [
          { kind: 'store_shared', array: 'flags', index: builtin('local_index'), value: binary('less', builtin('local_index'), integer(7)) },
          { kind: 'store_shared', array: 'halves', index: builtin('local_index'), value: convert(builtin('local_index'), 'f16') },
          { kind: 'store_shared', array: 'numbers', index: at, value: convert(builtin('workgroup_y'), 'f32') },
          { kind: 'barrier' },
          letIn('other', binary('xor', builtin('local_index'), integer(3))),
          letIn('flag', { kind: 'load_shared', array: 'flags', index: register('other', i32), type: vectorOf('bool', 1) }),
          letIn('half', { kind: 'load_shared', array: 'halves', index: register('other', i32), type: vectorOf('f16', 1) }),
          letIn('number', { kind: 'load_shared', array: 'numbers', index: multiply(register('other', i32), integer(length / 32)), type: f32 }),
          store(
            'y',
            add(multiply(subtract(builtin('workgroup_x'), integer(7)), integer(32)), builtin('local_index')),
            add(
              add(convert(register('half', vectorOf('f16', 1)), 'f32'), register('number', f32)),
              select(register('flag', vectorOf('bool', 1)), float(1000), float(0)),
            ),
          ),
        ],
      }; // prettier-ignore
      const want = new Float32Array(64);
      const parameters = { origin_x: 7, origin_y: 100 };
      runThreadKernel(kernel, { y: want }, parameters, [2, 1, 1]);
      const buffers = [new Uint8Array(256)];
      const [y] = await emulate(device, { kernel, buffers, parameters, workgroups: [2, 1, 1] });
      expect(asF32(y as Uint8Array)).toEqual(want);
      expect(want[0]).toBe(1103);
    });
  });
}

/** The distance of neighbouring f32 numbers at `value`. */
function ulp(value: number): number {
  return 2 ** Math.max(-149, Math.floor(Math.log2(Math.abs(value))) - 23);
}

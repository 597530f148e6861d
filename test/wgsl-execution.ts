import { describe, expect, it } from 'vitest';
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from '../ir/dtype.js';
import { f8e4m3Inputs, f8e4m3Values, nearestF8e4m3 } from './f8e4m3-cases.js';
import {
  add,
  binary,
  builtin,
  constant,
  convert,
  divide,
  f32,
  float,
  i32,
  integer,
  modulo,
  multiply,
  register,
  select,
  subtract,
  unary,
  vectorOf,
} from '../ir/kernel/expressions.js';
import type { Expression, Statement, StorageType, ThreadKernel, UnaryOperator } from '../ir/kernel/thread.js';
import { runThreadKernel } from '../ir/kernel/thread-interpret.js';
import { byteDots, byteDotsGroups, byteDotsInputs, byteDotsResult } from './byte-dots.js';
import { openDawn } from './dawn.js';
import type { DriverName } from './dawn.js';
import { randomKernelInputs, randomThreadKernel } from './random-kernel.js';
import { printWgsl } from '../backends/webgpu/wgsl.js';

const index = register('i', i32);
const defineIndex: Statement = {
  kind: 'let',
  name: 'i',
  type: i32,
  value: add(multiply(builtin('workgroup_x'), integer(8)), builtin('local_index')),
};

function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer.slice(array.byteOffset, array.byteOffset + array.byteLength));
}

/** Prints kernels and executes them on a Vulkan driver; skipped where the driver is not installed. */
export async function describeWgslExecution(driver: DriverName): Promise<void> {
  const dawn = await openDawn(driver);
  describe(`WGSL on ${driver}`, () => {
    const copyKernel = (
      storage: StorageType,
      loadLanes: 1 | 2 | 4,
      storeLanes: 1 | 2 | 4,
      type: 'f32' | 'i32' | 'u32' | 'bool',
    ): ThreadKernel => {
      const perStore = storeLanes / loadLanes;
      const loads = Array.from({ length: perStore }, (_, part): Expression => ({
        kind: 'load',
        buffer: 'x',
        index: add(multiply(index, integer(perStore)), integer(part)),
        type: vectorOf(type, loadLanes),
      }));
      const value = loads.length === 1 ? (loads[0] as Expression) : ({ kind: 'vector', parts: loads } as const);
      return {
        phase: 'thread',
        name: `copy_${storage}`,
        buffers: [
          { name: 'x', storage, lanes: loadLanes, access: 'read' },
          { name: 'y', storage, lanes: storeLanes, access: 'write' },
        ],
        parameters: ['origin_x'],
        workgroupSize: 8,
        shared: [],
        body: [defineIndex, { kind: 'store', buffer: 'y', index, value }],
      };
    };

    it.runIf(dawn !== undefined)('copies every storage type at every width bit for bit', async () => {
      const cases = [
        ['f32', 'f32', 4],
        ['i32', 'i32', 4],
        ['u32', 'u32', 4],
        ['bf16', 'f32', 2],
        ['f16', 'f32', 2],
        ['i8', 'i32', 1],
        ['u8', 'i32', 1],
        ['bool', 'bool', 1],
      ] as const;
      for (const [storage, type, size] of cases) {
        for (const loadLanes of [1, 2, 4] as const) {
          for (const storeLanes of [1, 2, 4] as const) {
            if (storeLanes < loadLanes || storeLanes * size < 4) continue;
            const x = new Uint8Array(16 * storeLanes * size);
            for (let byte = 0; byte < x.length; byte++) {
              // A 0x3. exponent byte keeps the floats normal and finite.
              const isTop = byte % size === size - 1 && size > 1;
              x[byte] =
                storage === 'bool' ? ((byte * 7) % 3) & 1 : isTop ? 0x30 + ((byte * 5) % 8) : (byte * 37 + 11) % 256;
            }
            const kernel = copyKernel(storage, loadLanes, storeLanes, type);
            const got = await dawn?.run(printWgsl(kernel), kernel, { x, y: new Uint8Array(x.length) }, {}, [2, 1, 1]);
            expect(got?.['y'], `${storage} ${loadLanes} -> ${storeLanes}`).toEqual(x);
          }
        }
      }
    });

    it.runIf(dawn !== undefined)('adds up products of packed bytes', async () => {
      const { a, b } = byteDotsInputs();
      const want = byteDotsResult();
      const out = new Uint8Array(4 * want.length);
      const got = await dawn?.run(printWgsl(byteDots), byteDots, { a: bytesOf(a), b: bytesOf(b), out }, {}, [byteDotsGroups, 1, 1]); // prettier-ignore
      expect([...new Int32Array(got!['out']!.buffer)]).toEqual([...want]);
    });

    it.runIf(dawn !== undefined)('rounds 16-bit stores to nearest even, keeps infinities and NaN', async () => {
      const values = [
        1.00390625,
        1.01171875,
        65519.9,
        65520,
        1e6,
        -1e30,
        Infinity,
        -Infinity,
        NaN,
        3.0e-5,
        -0,
        1.5,
        2049,
        2051,
        0.1,
        -3.3e38,
      ].map(Math.fround);
      const x = bytesOf(Float32Array.from(values));
      for (const [storage, narrow, widen] of [
        ['bf16', f32ToBf16, bf16ToF32],
        ['f16', f32ToF16, f16ToF32],
      ] as const) {
        for (const lanes of [2, 4] as const) {
          const kernel: ThreadKernel = {
            ...copyKernel('f32', lanes, lanes, 'f32'),
            buffers: [
              { name: 'x', storage: 'f32', lanes, access: 'read' },
              { name: 'y', storage, lanes, access: 'write' },
            ],
          };
          const bytes = new Uint8Array(Math.max(32, (16 / lanes) * 2 * lanes));
          const got = await dawn?.run(printWgsl(kernel), kernel, { x, y: bytes }, {}, [1, 1, 1]);
          const bits = new Uint16Array((got?.['y'] as Uint8Array).buffer);
          const count = Math.min(values.length, 8 * lanes);
          for (let at = 0; at < count; at++) {
            const want = widen(narrow(values[at] as number));
            expect(widen(bits[at] as number), `${storage} of ${values[at]}`).toBe(want);
          }
        }
      }
    });

    it.runIf(dawn !== undefined)('widens and rounds f8e4m3', async () => {
      const run = async (from: StorageType, to: StorageType, lanes: 1 | 2 | 4, x: Uint8Array, y: Uint8Array) => {
        const kernel: ThreadKernel = {
          ...copyKernel('f32', lanes, lanes, 'f32'),
          buffers: [
            { name: 'x', storage: from, lanes, access: 'read' },
            { name: 'y', storage: to, lanes, access: 'write' },
          ],
        };
        const elements = to === 'f32' ? y.length / 4 : y.length;
        const got = await dawn?.run(printWgsl(kernel), kernel, { x, y }, {}, [elements / lanes / 8, 1, 1]);
        return got?.['y'] as Uint8Array;
      };
      for (const lanes of [1, 2, 4] as const) {
        const codes = Uint8Array.from({ length: 256 }, (_, code) => code);
        const wide = await run('f8e4m3', 'f32', lanes, codes, new Uint8Array(1024));
        expect([...new Float32Array(wide.buffer, wide.byteOffset, 256)]).toEqual(f8e4m3Values);
      }
      const bits = await run('f32', 'f8e4m3', 4, bytesOf(f8e4m3Inputs), new Uint8Array(f8e4m3Inputs.length));
      expect([...bits]).toEqual([...f8e4m3Inputs].map(nearestF8e4m3));
    });

    it.runIf(dawn !== undefined)('computes functions within the accuracy WGSL promises', async () => {
      const values = Float32Array.from({ length: 64 }, (_, at) => (at - 31.5) * 0.37);
      const positive = values.map((value) => Math.abs(value) + 0.01);
      // Units in the last place, WGSL specification, "Accuracy of concrete floating point expressions"; absolute for the rest.
      const cases: readonly (readonly [
        UnaryOperator,
        (value: number) => number,
        Float32Array,
        (value: number, exact: number) => number,
      ])[] = [
        ['exp', Math.exp, values, (value, exact) => (3 + 2 * Math.abs(value)) * ulp(exact)],
        ['exp2', (value) => 2 ** value, values, (value, exact) => (3 + 2 * Math.abs(value)) * ulp(exact)],
        ['reciprocal', (value) => 1 / value, positive, (_, exact) => 3 * ulp(exact)],
        ['log', Math.log, positive, (_, exact) => Math.max(3 * ulp(exact), 2 ** -21)],
        ['sqrt', Math.sqrt, positive, (_, exact) => 3 * ulp(exact)],
        ['rsqrt', (value) => 1 / Math.sqrt(value), positive, (_, exact) => 2 * ulp(exact)],
        ['sin', Math.sin, values.map((value) => value / 4), () => 2 ** -11],
        ['cos', Math.cos, values.map((value) => value / 4), () => 2 ** -11],
        ['tanh', Math.tanh, values.map((value) => value * 20), () => 1e-6],
        ['floor', Math.floor, values, () => 0],
        ['abs', Math.abs, values, () => 0],
      ];
      for (const [operator, exactly, inputs, tolerance] of cases) {
        const kernel: ThreadKernel = {
          ...copyKernel('f32', 1, 1, 'f32'),
          body: [
            defineIndex,
            {
              kind: 'store',
              buffer: 'y',
              index,
              value: unary(operator, { kind: 'load', buffer: 'x', index, type: f32 }),
            },
          ],
        };
        const x = bytesOf(inputs);
        const got = await dawn?.run(printWgsl(kernel), kernel, { x, y: new Uint8Array(x.length) }, {}, [8, 1, 1]);
        const y = new Float32Array((got?.['y'] as Uint8Array).buffer);
        inputs.forEach((value, at) => {
          const exact = exactly(value);
          expect(Math.abs((y[at] as number) - exact), `${operator}(${value})`).toBeLessThanOrEqual(
            tolerance(value, exact),
          );
        });
      }
    });

    it.runIf(dawn !== undefined)('has infinities, NaN, integers and selections at run time', async () => {
      const values: readonly Expression[] = [
        float(-Infinity),
        binary('max', float(-Infinity), convert(index, 'f32')),
        unary('exp', subtract(float(-Infinity), convert(index, 'f32'))),
        select(binary('equal', float(NaN), float(NaN)), float(1), float(2)),
        convert(divide(add(index, integer(7)), integer(3)), 'f32'),
        convert(modulo(add(index, integer(7)), integer(3)), 'f32'),
        convert(binary('shift_right', integer(-8), constant(1, i32)), 'f32'),
        { kind: 'bitcast', to: 'f32', operand: integer(0x3f800000) },
      ];
      const kernel: ThreadKernel = {
        ...copyKernel('f32', 1, 1, 'f32'),
        body: [
          defineIndex,
          ...values.map((value, at): Statement => ({
            kind: 'store',
            buffer: 'y',
            index: add(multiply(index, integer(8)), integer(at)),
            value,
          })),
        ],
      };
      const got = await dawn?.run(
        printWgsl(kernel),
        kernel,
        { x: new Uint8Array(16), y: new Uint8Array(8 * 8 * 4) },
        {},
        [1, 1, 1],
      );
      const y = new Float32Array((got?.['y'] as Uint8Array).buffer);
      expect([...y.slice(0, 8)]).toEqual([-Infinity, 0, 0, 2, 2, 1, -4, 1]);
      expect([...y.slice(40, 48)]).toEqual([-Infinity, 5, 0, 2, 4, 0, -4, 1]);
    });

    it.runIf(dawn !== undefined)('gives the bits of the interpreter for random kernels', async () => {
      for (let seed = 0; seed < 40; seed++) {
        const kernel = randomThreadKernel(seed);
        const { parameters, ...buffers } = randomKernelInputs(seed);
        const { numbers, integers, result } = buffers;
        const source = printWgsl(kernel);
        const inputs = { numbers: bytesOf(numbers), integers: bytesOf(integers), result: bytesOf(result) };
        const got = await dawn?.run(source, kernel, inputs, parameters, [2, 1, 1]);
        runThreadKernel(kernel, buffers, parameters, [2, 1, 1]);
        const bits = new Float32Array((got?.['result'] as Uint8Array).buffer);
        // Adding zero makes the two zeros one: devices may drop the sign.
        const differing = bits.findIndex((value, at) => value + 0 !== (result[at] as number) + 0);
        expect(differing, `seed ${seed}: ${bits[differing]} instead of ${result[differing]}\n${source}`).toBe(-1);
      }
    });

    it.runIf(dawn?.features.has('subgroups') === true)('runs subgroup operations', async () => {
      const kernel: ThreadKernel = {
        ...copyKernel('f32', 1, 1, 'f32'),
        subgroupSize: dawn?.subgroupSize ?? 0,
        body: [
          defineIndex,
          { kind: 'let', name: 'v', type: f32, value: { kind: 'load', buffer: 'x', index, type: f32 } },
          {
            kind: 'store',
            buffer: 'y',
            index,
            value: add(
              { kind: 'subgroup_broadcast', operand: register('v', f32), source: 2 },
              multiply({ kind: 'subgroup_reduce', operator: 'max', operand: register('v', f32) }, float(100)),
            ),
          },
        ],
      };
      const x = bytesOf(Float32Array.from({ length: 16 }, (_, at) => at));
      const got = await dawn?.run(printWgsl(kernel), kernel, { x, y: new Uint8Array(64) }, {}, [2, 1, 1]);
      const size = Math.min(8, dawn?.subgroupSize ?? 0);
      const want = Array.from({ length: 16 }, (_, at) => {
        const first = Math.floor(at / size) * size;
        return first + 2 + (first + size - 1) * 100;
      });
      expect([...new Float32Array((got?.['y'] as Uint8Array).buffer)]).toEqual(want);
    });
  });
}

/** The distance of neighbouring f32 numbers at `value`. */
function ulp(value: number): number {
  return 2 ** Math.max(-149, Math.floor(Math.log2(Math.abs(value))) - 23);
}

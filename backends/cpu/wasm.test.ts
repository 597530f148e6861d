import { describe, expect, it } from 'vitest';
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from '../../ir/dtype.js';
import { f8e4m3Inputs, f8e4m3Values, nearestF8e4m3 } from '../../test/f8e4m3-cases.js';
import {
  add,
  binary,
  builtin,
  convert,
  f32,
  float,
  i32,
  integer,
  multiply,
  parameter,
  register,
  splat,
  typeOf,
  unary,
  vectorOf,
} from '../../ir/kernel/expressions.js';
import { forEachStatement } from '../../ir/kernel/statements.js';
import { runThreadKernel } from '../../ir/kernel/thread-interpret.js';
import type { BufferParameter, Expression, StorageType, ThreadKernel, UnaryOperator } from '../../ir/kernel/thread.js';
import {
  buffer,
  bytesOf,
  deviceCases,
  letIn,
  load,
  loop,
  pseudoRandom,
  store,
  worstError,
} from '../../test/device-cases.js';
import { randomKernelInputs, randomThreadKernel } from '../../test/random-kernel.js';
import { runWasm } from '../../test/run-wasm.js';
import { compileWasm, supportsRelaxedMultiplyAdd } from './wasm.js';

const element = register('i', i32);

function kernelOf(
  buffers: readonly BufferParameter[],
  body: ThreadKernel['body'],
  parameters: readonly string[] = [],
): ThreadKernel {
  const start = letIn('i', add(multiply(builtin('workgroup_x'), integer(8)), builtin('local_index')));
  return {
    phase: 'thread',
    name: 'test',
    buffers,
    parameters,
    workgroupSize: 8,
    shared: [],
    body: [start, ...body],
  };
}

/** Values of `expression` in x (f32 of so many lanes) for all of `inputs`. */
function evaluate(inputs: Float32Array, lanes: 1 | 2 | 4, make: (x: Expression) => Expression): Float32Array {
  const value = make(load('x', element, vectorOf('f32', lanes)));
  const kernel = kernelOf(
    [buffer('x', 'f32', lanes), buffer('y', typeOf(value).scalar === 'f32' ? 'f32' : 'i32', lanes, 'write')],
    [store('y', element, value)],
  );
  const groups = Math.ceil(inputs.length / (8 * lanes));
  const padded = new Float32Array(groups * 8 * lanes);
  padded.set(inputs);
  const output = new Float32Array(padded.length);
  const bytes = new Uint8Array(output.buffer);
  runWasm(kernel, [bytesOf(padded), bytes], new Int32Array(0), [groups, 1, 1]);
  return output.subarray(0, inputs.length);
}

/** Largest distance in units of the last place of the expected f32. */
function worstUlps(found: Float32Array, inputs: Float32Array, exact: (x: number) => number): number {
  let worst = 0;
  inputs.forEach((input, index) => {
    const expected = exact(input);
    const exponent = Math.max(-126, Math.floor(Math.log2(Math.abs(Math.fround(expected)))));
    const ulp = 2 ** (exponent - 23);
    worst = Math.max(worst, Math.abs((found[index] ?? NaN) - expected) / ulp);
  });
  return worst;
}

const grid = (low: number, high: number, count: number): Float32Array =>
  Float32Array.from({ length: count }, (_, index) => low + ((high - low) * index) / (count - 1));

describe('mathematical functions', () => {
  it('computes exp within 2 ulp from underflow to overflow, scalars as vectors', () => {
    const inputs = grid(-87, 88.7, 100_001);
    const vectors = evaluate(inputs, 4, (x) => unary('exp', x));
    expect(worstUlps(vectors, inputs, Math.exp)).toBeLessThan(2);
    const fine = grid(-1, 1, 20_001);
    expect(
      worstUlps(
        evaluate(fine, 4, (x) => unary('exp', x)),
        fine,
        Math.exp,
      ),
    ).toBeLessThan(2);
    expect(evaluate(inputs.subarray(0, 100), 1, (x) => unary('exp', x))).toEqual(vectors.slice(0, 100));
    const special = Float32Array.of(-Infinity, -200, -103, 0, 88.8, 1000, Infinity, NaN);
    const found = evaluate(special, 4, (x) => unary('exp', x));
    expect([...found]).toEqual([0, 0, Math.fround(Math.exp(-103)), 1, Infinity, Infinity, Infinity, NaN]);
  });

  it('computes exp2 within 2 ulp where it is normal, exactly for whole numbers, and 0 below', () => {
    const inputs = grid(-126, 127.99, 100_001);
    const found = evaluate(inputs, 4, (x) => unary('exp2', x));
    expect(worstUlps(found, inputs, (value) => 2 ** value)).toBeLessThan(2);
    const special = Float32Array.of(-Infinity, -1e30, -150, -126, -1, 0, 10, 127, 128, 1e30, Infinity, NaN);
    const exact = Array.from(special, (value) => Math.fround(2 ** value));
    expect([...evaluate(special, 4, (x) => unary('exp2', x))]).toEqual(exact);
    const subnormal = grid(-149, -126.01, 64);
    expect(new Set(evaluate(subnormal, 4, (x) => unary('exp2', x)))).toEqual(new Set([0]));
  });

  it('computes tanh within 3 ulp', () => {
    const inputs = Float32Array.from([...grid(-12, 12, 40_001), ...grid(-0.6, 0.6, 40_001), 1e-20, -1e-30]);
    expect(
      worstUlps(
        evaluate(inputs, 4, (x) => unary('tanh', x)),
        inputs,
        Math.tanh,
      ),
    ).toBeLessThan(3);
    const special = evaluate(Float32Array.of(-Infinity, Infinity, 0, NaN), 2, (x) => unary('tanh', x));
    expect([...special]).toEqual([-1, 1, 0, NaN]);
  });

  it.each<[UnaryOperator, (x: number) => number]>([
    ['log', Math.log],
    ['sin', Math.sin],
    ['cos', Math.cos],
    ['sqrt', Math.sqrt],
    ['rsqrt', (x) => 1 / Math.sqrt(x)],
    ['floor', Math.floor],
    ['abs', Math.abs],
    ['neg', (x) => -x],
  ])('computes %s', (operator, exact) => {
    const inputs = grid(0.01, 900, 1001);
    for (const lanes of [1, 2, 4] as const)
      expect(
        worstUlps(
          evaluate(inputs, lanes, (x) => unary(operator, x)),
          inputs,
          exact,
        ),
      ).toBeLessThan(1.6);
  });

  it('computes pow and mod of floats lane by lane', () => {
    const inputs = grid(0.1, 20, 301);
    for (const lanes of [1, 2, 4] as const) {
      const power = evaluate(inputs, lanes, (x) => binary('pow', x, float(1.7, lanes)));
      expect(worstUlps(power, inputs, (x) => Math.pow(x, Math.fround(1.7)))).toBeLessThan(1);
      const rest = evaluate(inputs, lanes, (x) => binary('mod', x, float(3, lanes)));
      expect(
        worstError(
          rest,
          Float64Array.from(inputs, (x) => x % 3),
        ),
      ).toBeLessThan(1e-5);
    }
  });
});

describe('storage', () => {
  const copy = (storage: StorageType, lanes: 1 | 2 | 4, scalar: 'f32' | 'i32' | 'u32' | 'bool'): ThreadKernel =>
    kernelOf(
      [buffer('x', storage, lanes), buffer('y', storage, lanes, 'write')],
      [store('y', element, load('x', element, vectorOf(scalar, lanes)))],
    );

  it.each<[StorageType, 'f32' | 'i32' | 'u32' | 'bool', number]>([
    ['f32', 'f32', 4],
    ['i32', 'i32', 4],
    ['u32', 'u32', 4],
    ['bf16', 'f32', 2],
    ['f16', 'f32', 2],
    ['i8', 'i32', 1],
    ['u8', 'i32', 1],
    ['bool', 'bool', 1],
  ])('copies %s bit for bit at every width', (storage, scalar, size) => {
    // All 16-bit patterns but NaN, whose payload may change.
    const count = size === 2 ? 65536 : 4096;
    const input = new Uint8Array(count * size);
    if (size === 2) {
      const exponent = storage === 'f16' ? 0x7c00 : 0x7f80;
      const halves = new Uint16Array(input.buffer);
      halves.forEach((_, index) => {
        const isNan = (index & exponent) === exponent && (index & ~exponent & 0x7fff) !== 0;
        halves[index] = isNan ? 0 : index;
      });
    } else if (scalar === 'f32') new Float32Array(input.buffer).set(pseudoRandom(count, 9));
    else input.forEach((_, index) => (input[index] = scalar === 'bool' ? index % 2 : (index * 37) % 251));
    for (const lanes of [1, 2, 4] as const) {
      const output = new Uint8Array(input.length);
      runWasm(copy(storage, lanes, scalar), [input.slice(), output], new Int32Array(0), [count / lanes / 8, 1, 1]);
      expect(Buffer.compare(output, input)).toBe(0);
    }
  });

  it('widens and rounds f8e4m3 at every width', () => {
    for (const lanes of [1, 2, 4] as const) {
      const kernel = (from: StorageType, to: StorageType): ThreadKernel =>
        kernelOf(
          [buffer('x', from, lanes), buffer('y', to, lanes, 'write')],
          [store('y', element, load('x', element, vectorOf('f32', lanes)))],
        );
      const run = (one: ThreadKernel, x: Uint8Array, y: Uint8Array, count: number): void =>
        void runWasm(one, [x, y], new Int32Array(0), [count / lanes / 8, 1, 1]);
      const codes = Uint8Array.from({ length: 256 }, (_, code) => code);
      const wide = new Float32Array(256);
      run(kernel('f8e4m3', 'f32'), codes, new Uint8Array(wide.buffer), 256);
      expect([...wide]).toEqual(f8e4m3Values);
      const narrow = new Uint8Array(f8e4m3Inputs.length);
      run(kernel('f32', 'f8e4m3'), bytesOf(f8e4m3Inputs), narrow, f8e4m3Inputs.length);
      expect([...narrow]).toEqual([...f8e4m3Inputs].map(nearestF8e4m3));
    }
  });

  it.each<['f16' | 'bf16', (x: number) => number, (bits: number) => number]>([
    ['f16', f32ToF16, f16ToF32],
    ['bf16', f32ToBf16, bf16ToF32],
  ])('rounds f32 to %s to nearest even', (storage, round, widen) => {
    const special = [0, -0, 1e-8, -6e-8, 2.9e-8, 2.98e-8, 65504, 65519, 65520, -7e4, 1e38, 3.39e38, Infinity, NaN];
    const halfway = Array.from({ length: 512 }, (_, index) => (1 + (2 * index + 1) / 4096) * 2 ** ((index % 40) - 20));
    const values = [...special, ...halfway, ...pseudoRandom(2042, 10).map((x) => x * 2 ** -13)];
    const inputs = new Float32Array(Math.ceil(values.length / 32) * 32);
    inputs.set(values);
    for (const lanes of [1, 2, 4] as const) {
      const kernel = kernelOf(
        [buffer('x', 'f32', lanes), buffer('y', storage, lanes, 'write')],
        [store('y', element, load('x', element, vectorOf('f32', lanes)))],
      );
      const output = new Uint16Array(inputs.length);
      runWasm(kernel, [bytesOf(inputs), new Uint8Array(output.buffer)], new Int32Array(0), [
        inputs.length / lanes / 8,
        1,
        1,
      ]);
      expect([...output].map(widen)).toEqual([...inputs].map((x) => widen(round(x))));
    }
  });
});

describe('kernels', () => {
  it.each(deviceCases.map((make) => make()))('computes $kernel.name', (test) => {
    const buffers = test.buffers.map((bytes) => bytes.slice());
    runWasm(test.kernel, buffers, test.parameters, test.workgroups);
    const found = test.decode(buffers[test.output] ?? new Uint8Array());
    expect(worstError(found, test.expected)).toBeLessThanOrEqual(test.tolerance);
  });

  it('gives the bits of the interpreter for random kernels', () => {
    let compared = 0;
    for (let seed = 0; seed < 200; seed++) {
      const kernel = randomThreadKernel(seed);
      let usesBarrier = false;
      forEachStatement(kernel.body, (statement) => (usesBarrier ||= statement.kind === 'barrier'));
      if (usesBarrier) continue;
      compared++;
      const { numbers, integers, result, parameters } = randomKernelInputs(seed);
      const found = new Uint8Array(result.byteLength);
      runWasm(
        { ...kernel, shared: [] },
        [bytesOf(numbers), bytesOf(integers), found],
        Int32Array.from(kernel.parameters, (name) => parameters[name] ?? 0),
        [2, 1, 1],
      );
      runThreadKernel(kernel, { numbers, integers, result }, parameters, [2, 1, 1]);
      // Zeros of both signs are equal: pmin and pmax choose another one than Math.min and Math.max.
      const plain = (value: number): number => value + 0;
      expect([...new Float32Array(found.buffer)].map(plain), `seed ${seed}`).toEqual([...result].map(plain));
    }
    expect(compared).toBeGreaterThan(60);
  });

  it('adds the origin of a cut launch and loops over y and z', () => {
    const kernel: ThreadKernel = {
      ...kernelOf([buffer('y', 'i32', 1, 'write')], [], ['origin_x', 'width']),
      body: [
        letIn(
          'at',
          add(
            multiply(add(multiply(builtin('workgroup_z'), integer(3)), builtin('workgroup_y')), parameter('width')),
            add(multiply(builtin('workgroup_x'), integer(8)), builtin('local_index')),
          ),
        ),
        store('y', register('at', i32), register('at', i32)),
      ],
    };
    const output = new Int32Array(2 * 3 * 32);
    runWasm(kernel, [new Uint8Array(output.buffer)], Int32Array.of(2, 32), [2, 3, 2]);
    expect([...output]).toEqual(Array.from({ length: 192 }, (_, at) => (at % 32 >= 16 ? at : 0)));
  });

  it('moves nothing out of a loop that the loop changes, and uses names anew', () => {
    const sum = register('sum', i32);
    const kernel = kernelOf(
      [buffer('y', 'i32', 1, 'write')],
      [
        { kind: 'var', name: 'sum', type: i32, value: integer(1) },
        loop('a', integer(3), [
          letIn('double', add(sum, sum)),
          loop('b', add(register('a', i32), integer(1)), [
            { kind: 'assign', name: 'sum', value: add(register('double', i32), register('b', i32)) },
          ]),
          letIn('index', add(element, multiply(register('a', i32), integer(8)))),
          loop('a', integer(1), [store('y', register('index', i32), sum)]),
        ]),
      ],
    );
    const output = new Int32Array(24);
    runWasm(kernel, [new Uint8Array(output.buffer)], new Int32Array(0), [1, 1, 1]);
    // 1 -> 2 + 0; 2 -> 4 + 1; 5 -> 10 + 2
    expect([...output]).toEqual([2, 5, 12].flatMap((value) => new Array<number>(8).fill(value)));
  });

  it('reads nothing for the arm of a select that is not taken', () => {
    const far = multiply(element, integer(2 ** 27));
    const kernel = kernelOf(
      [buffer('x', 'f32'), buffer('y', 'f32', 1, 'write')],
      [
        store('y', element, {
          kind: 'select',
          condition: binary('less', element, integer(1)),
          yes: load('x', far),
          no: float(7),
        }),
      ],
    );
    const output = new Float32Array(8);
    runWasm(kernel, [bytesOf(Float32Array.of(3)), new Uint8Array(output.buffer)], new Int32Array(0), [1, 1, 1]);
    expect([...output]).toEqual([3, 7, 7, 7, 7, 7, 7, 7]);
  });

  it('refuses what the CPU has not', () => {
    const y = buffer('y', 'f32', 1, 'write');
    const broadcast: Expression = { kind: 'subgroup_broadcast', operand: float(1), source: 0 };
    for (const kernel of [
      kernelOf([y], [{ kind: 'barrier' }]),
      kernelOf([y], [store('y', element, broadcast)]),
      kernelOf([y], [store('y', element, convert(splat(convert(element, 'f16'), 1), 'f32'))]),
      { ...kernelOf([y], []), shared: [{ name: 'tile', type: f32, length: 4 }] },
    ])
      expect(() => compileWasm(kernel)).toThrowError(expect.objectContaining({ code: 'F2C215' }) as Error);
    expect(() => compileWasm(kernelOf([y], [store('y', element, register('nothing', f32))]))).toThrowError(
      expect.objectContaining({ code: 'F2C216' }) as Error,
    );
  });

  it.runIf(supportsRelaxedMultiplyAdd())('fuses multiply and add where the engine can', () => {
    const x = load('x', element, vectorOf('f32', 4));
    const kernel = kernelOf(
      [buffer('x', 'f32', 4), buffer('y', 'f32', 4, 'write')],
      [store('y', element, { kind: 'fma', a: x, b: x, c: x })],
    );
    const inputs = pseudoRandom(32, 11);
    const output = new Float32Array(32);
    const bytes = [bytesOf(inputs), new Uint8Array(output.buffer)];
    runWasm(kernel, bytes, new Int32Array(0), [1, 1, 1], { relaxedMultiplyAdd: true });
    expect(
      worstError(
        output,
        Float64Array.from(inputs, (value) => value * value + value),
      ),
    ).toBeLessThan(2e-7);
  });
});

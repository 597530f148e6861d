import { describe, expect, it } from 'vitest';
import { hostTensor, inferError, inferTypes, runOperation } from '../../../test/run-operation.js';
import type { DType } from '../../dtype.js';
import type { HostTensor } from '../../host-tensor.js';
import type { BinaryKind, CompareKind, UnaryKind } from '../attributes.js';
import { erf } from './error-function.js';

const numbers = (tensors: readonly HostTensor[]): number[] => [...(tensors[0] as HostTensor).data];

function unary(
  kind: UnaryKind,
  values: readonly number[],
  precision: 'f32' | 'f64' = 'f64',
  dtype: DType = 'f32',
): number[] {
  return numbers(runOperation(kind, [hostTensor(dtype, [values.length], values)], {}, { precision }));
}

function binary(
  kind: BinaryKind | CompareKind,
  a: readonly number[],
  b: readonly number[],
  dtype: DType = 'f32',
): number[] {
  return numbers(runOperation(kind, [hostTensor(dtype, [a.length], a), hostTensor(dtype, [b.length], b)], {}));
}

describe('unary', () => {
  // The decimals are from tables, not from this implementation.
  it.each([
    ['neg', 1.5, -1.5],
    ['abs', -1.5, 1.5],
    ['exp', 1, 2.718281828459045],
    ['log', 10, 2.302585092994046],
    ['sqrt', 2, 1.4142135623730951],
    ['rsqrt', 4, 0.5],
    ['sin', 1, 0.8414709848078965],
    ['cos', 1, 0.5403023058681398],
    ['tanh', 0.5, 0.46211715726000976],
    ['sigmoid', 1, 0.7310585786300049],
    ['silu', 1, 0.7310585786300049],
    ['silu', -2, -0.2384058440442351],
    ['gelu', 1, 0.8411919906082768],
    ['gelu', -3, -0.0036373920817729943],
    ['erf', 0.5, 0.5204998778130465],
    ['floor', -1.5, -2],
  ] as const)('%s(%d) = %d', (kind, x, y) => {
    expect(unary(kind, [x])[0]).toBeCloseTo(y, 14);
  });

  it('silu and sigmoid stay finite far out', () => {
    expect(unary('silu', [-800, 800])).toEqual([-0, 800]);
    expect(unary('sigmoid', [-800, 800])).toEqual([0, 1]);
  });

  it('rounds once in f32, to the type in bf16 and f16, and not at all in f64', () => {
    const third = Math.exp(Math.fround(1 / 3));
    expect(unary('exp', [Math.fround(1 / 3)], 'f32')).toEqual([Math.fround(third)]);
    expect(unary('exp', [Math.fround(1 / 3)], 'f64', 'bf16')).toEqual([third]);
    // 1.39561... lies between 178/128 = 1.390625 and 179/128 = 1.3984375.
    expect(unary('exp', [Math.fround(1 / 3)], 'f32', 'bf16')).toEqual([1.3984375]);
    // Between 1429/1024 = 1.3955078 and 1430/1024.
    expect(unary('exp', [Math.fround(1 / 3)], 'f32', 'f16')).toEqual([1429 / 1024]);
  });

  it('keeps the type, takes empty tensors and refuses integers', () => {
    expect(inferTypes('silu', [['bf16', ['img', 4]]], {})).toEqual(['bf16[img, 4]']);
    expect(unary('exp', [])).toEqual([]);
    expect(inferError('exp', [['i32', [2]]], {})).toMatchObject({
      code: 'F2C112',
      detail: { where: ['exp', 'x'], found: 'i32[2]', hint: 'Insert a cast.' },
    });
    expect(inferError('exp', [], {})).toMatchObject({ code: 'F2C110', detail: { expected: '1 (x)', found: '0' } });
  });
});

describe('erf', () => {
  // Values of Abramowitz and Stegun, table 7.1, and of 1 - erfc for the larger ones.
  it.each([
    [0, 0],
    [0.1, 0.1124629160182849],
    [1, 0.8427007929497149],
    [2, 0.9953222650189527],
    [2.4999999, 0.9995930479],
    [2.5, 0.999593047982555],
    [3, 0.9999779095030014],
    [4, 0.9999999845827421],
    [7, 1],
  ])('erf(%d) = %d and is odd', (x, y) => {
    expect(erf(x)).toBeCloseTo(y, x === 2.4999999 ? 9 : 15);
    expect(erf(-x) + erf(x)).toBe(0);
  });

  it('goes through 2.5 without a step', () => {
    const below = 2.5 - 2 ** -40;
    const slope = (2 / Math.sqrt(Math.PI)) * Math.exp(-6.25);
    expect(Math.abs(erf(2.5) - erf(below) - slope * 2 ** -40)).toBeLessThan(3e-16);
    expect(erf(NaN)).toBeNaN();
  });
});

describe('binary', () => {
  it('computes floats', () => {
    expect(binary('sub', [1, 2], [3, 5])).toEqual([-2, -3]);
    expect(binary('div', [1, -1, 0], [4, 0, 0])).toEqual([0.25, -Infinity, NaN]);
    expect(binary('pow', [2, 9], [10, 0.5])).toEqual([1024, 3]);
    expect(binary('min', [1, NaN], [2, 1])).toEqual([1, NaN]);
    expect(binary('max', [1, -5], [2, -7])).toEqual([2, -5]);
  });

  it('wraps integers', () => {
    expect(binary('add', [2 ** 31 - 1], [1], 'i32')).toEqual([-(2 ** 31)]);
    expect(binary('mul', [123456789], [987654321], 'i32')).toEqual([
      Number(BigInt.asIntN(32, 123456789n * 987654321n)),
    ]);
    expect(binary('mul', [4000000000], [3], 'u32')).toEqual([Number(BigInt.asUintN(32, 12000000000n))]);
    expect(binary('sub', [0], [1], 'u8')).toEqual([255]);
    expect(binary('add', [100], [100], 'i8')).toEqual([-56]);
    expect(binary('div', [-7, 7, 5], [2, -2, 0], 'i32')).toEqual([-3, -3, 5]);
  });

  it('broadcasts from the last axis', () => {
    const a = hostTensor('f32', [2, 1, 3], [1, 2, 3, 4, 5, 6]);
    const b = hostTensor('f32', [2, 1], [10, 20]);
    const [sum] = runOperation('add', [a, b], {});
    expect(sum?.shape).toEqual([2, 2, 3]);
    expect([...(sum as HostTensor).data]).toEqual([11, 12, 13, 21, 22, 23, 14, 15, 16, 24, 25, 26]);
    expect(numbers(runOperation('mul', [hostTensor('f32', [], [2]), a], {}))).toEqual([2, 4, 6, 8, 10, 12]);
    expect(runOperation('add', [hostTensor('f32', [0, 3], []), hostTensor('f32', [3], 1)], {})[0]?.shape).toEqual([
      0, 3,
    ]);
  });

  it('broadcasts a long row over many', () => {
    const [sum] = runOperation(
      'add',
      [
        hostTensor('f32', [3, 40], 0),
        hostTensor(
          'f32',
          [40],
          Array.from({ length: 40 }, (_, i) => i),
        ),
      ],
      {},
    );
    expect([...(sum as HostTensor).data]).toEqual(Array.from({ length: 120 }, (_, i) => i % 40));
  });

  it('widens floats', () => {
    const pairs = [['f32', 'bf16', 'f32'], ['bf16', 'bf16', 'bf16'], ['f16', 'bf16', 'f32'], ['f64', 'f16', 'f64']] as const; // prettier-ignore
    for (const [a, b, c] of pairs)
      expect(
        inferTypes(
          'add',
          [
            [a, [2]],
            [b, [2]],
          ],
          {},
        ),
      ).toEqual([`${c}[2]`]);
  });

  it('broadcasts symbols only when equal or against 1', () => {
    expect(
      inferTypes(
        'add',
        [
          ['f32', [1, 'img', 8]],
          ['f32', ['b', 1, 8]],
        ],
        {},
      ),
    ).toEqual(['f32[b, img, 8]']);
    expect(
      inferTypes(
        'add',
        [
          ['f32', ['txt+img']],
          ['f32', ['img+txt']],
        ],
        {},
      ),
    ).toEqual(['f32[img+txt]']);
    expect(
      inferError(
        'add',
        [
          ['f32', ['img']],
          ['f32', ['txt']],
        ],
        {},
      ),
    ).toMatchObject({
      code: 'F2C113',
      detail: { found: '[img] with [txt] (img against txt)' },
    });
    expect(
      inferError(
        'add',
        [
          ['f32', [2]],
          ['f32', [3]],
        ],
        {},
      ).code,
    ).toBe('F2C113');
  });

  it('refuses mixed and unfit types', () => {
    expect(
      inferError(
        'add',
        [
          ['f32', [2]],
          ['i32', [2]],
        ],
        {},
      ).code,
    ).toBe('F2C112');
    expect(
      inferError(
        'add',
        [
          ['i32', [2]],
          ['u32', [2]],
        ],
        {},
      ).code,
    ).toBe('F2C112');
    expect(
      inferError(
        'add',
        [
          ['bool', [2]],
          ['bool', [2]],
        ],
        {},
      ).code,
    ).toBe('F2C112');
    expect(
      inferError(
        'pow',
        [
          ['i32', [2]],
          ['i32', [2]],
        ],
        {},
      ).code,
    ).toBe('F2C112');
  });
});

describe('compare and select', () => {
  it('compares, also with NaN', () => {
    expect(binary('equal', [1, NaN, 2], [1, NaN, 3])).toEqual([1, 0, 0]);
    expect(binary('less', [1, 2, NaN], [2, 2, 2])).toEqual([1, 0, 0]);
    expect(binary('less_equal', [1, 2, 3], [2, 2, 2])).toEqual([1, 1, 0]);
    expect(
      inferTypes(
        'less',
        [
          ['f32', ['img', 1]],
          ['bf16', [4]],
        ],
        {},
      ),
    ).toEqual(['bool[img, 4]']);
    expect(
      inferTypes(
        'equal',
        [
          ['bool', [2]],
          ['bool', [2]],
        ],
        {},
      ),
    ).toEqual(['bool[2]']);
    expect(
      inferError(
        'less',
        [
          ['bool', [2]],
          ['bool', [2]],
        ],
        {},
      ).code,
    ).toBe('F2C112');
  });

  it('selects with broadcasting', () => {
    const condition = hostTensor('bool', [2, 1], [1, 0]);
    const [got] = runOperation(
      'select',
      [condition, hostTensor('f32', [3], [1, 2, 3]), hostTensor('f32', [], [-1])],
      {},
    );
    expect([...(got as HostTensor).data]).toEqual([1, 2, 3, -1, -1, -1]);
    expect(
      inferError(
        'select',
        [
          ['f32', [2]],
          ['f32', [2]],
          ['f32', [2]],
        ],
        {},
      ).detail.where,
    ).toEqual(['select', 'condition']);
    expect(
      inferError(
        'select',
        [
          ['bool', [2]],
          ['f32', [2]],
        ],
        {},
      ).code,
    ).toBe('F2C110');
  });
});

describe('cast', () => {
  const cast = (from: DType, to: DType, values: readonly number[]): number[] =>
    numbers(runOperation('cast', [hostTensor(from, [values.length], values)], { dtype: to }, { precision: 'f32' }));

  it('rounds to float types', () => {
    expect(cast('f32', 'bf16', [1 + 2 ** -8, 1 + 3 * 2 ** -8])).toEqual([1, 1 + 2 ** -6]);
    expect(cast('f32', 'f16', [65504, 65520, 1e-8])).toEqual([65504, Infinity, 0]);
    expect(cast('i32', 'f32', [16777217])).toEqual([16777216]);
    expect(cast('bool', 'f32', [1, 0])).toEqual([1, 0]);
  });

  it('truncates and saturates floats to integers, wraps integers', () => {
    expect(cast('f32', 'i32', [-1.9, 1.9, 3e9, -3e9, NaN, Infinity])).toEqual([
      -1,
      1,
      2 ** 31 - 1,
      -(2 ** 31),
      0,
      2 ** 31 - 1,
    ]);
    expect(cast('f32', 'u8', [-0.5, 300, 17.5])).toEqual([0, 255, 17]);
    expect(cast('i32', 'u8', [-1, 300])).toEqual([255, 44]);
    expect(cast('i64', 'i32', [2 ** 32 + 5])).toEqual([5]);
    expect(cast('f32', 'bool', [0, 0.1, NaN])).toEqual([0, 1, 1]);
    expect(cast('i32', 'bool', [0, -4])).toEqual([0, 1]);
  });
});

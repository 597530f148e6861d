import { describe, expect, it } from 'vitest';
import { randomThreadKernel } from '../../test/random-kernel.js';
import { Flux2cError } from '../diagnostics.js';
import { binary, constant, f32, float, integer, register, unary, vectorOf } from './expressions.js';
import type { Expression } from './thread.js';
import { parseThreadKernel } from './thread-parse.js';
import { printThreadKernel } from './thread-print.js';
import { verifyThreadKernel } from './thread-verify.js';

const example = `kernel @blocks.0.scale workgroup(8) subgroup(4) params(origin_x, count)
  buffer x: read bf16 x4
  buffer y: read_write f32 x1
  shared tile: f32x4[16]
{
  let i: i32 = workgroup_x * 8 + local_index
  var acc: f32x4 = 0.0:f32x4
  for k = 0 to count step 2 {
    acc = fma(x[k], splat4(0.1), acc)
  }
  tile[i & 15] = acc.yxwz
  barrier
  let top: f32 = subgroup_max(max(acc.x, -inf))
  if i < count {
    y[i] = select(top == nan, 1e-7, dot(acc, tile[(i + 1) % 8]))
  } else {
    y[i] = subgroup_broadcast(top, 3) - (top - -1.5)
    y[0] = lookup(7:u32, [0.0, -1.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, -0.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 1e-7])
  }
}
`;

describe('text form', () => {
  it('prints what it parsed', () => {
    expect(printThreadKernel(parseThreadKernel(example))).toBe(example);
  });

  it('reads back every generated kernel as the same kernel, and the verifier accepts it', () => {
    for (let seed = 0; seed < 300; seed++) {
      const kernel = randomThreadKernel(seed);
      verifyThreadKernel(kernel);
      expect(parseThreadKernel(printThreadKernel(kernel)), `seed ${seed}`).toEqual(kernel);
    }
  });

  it('reads back constants and signs that look alike', () => {
    const r = register('r', f32);
    const values: readonly Expression[] = [
      float(-0),
      float(Infinity),
      float(1e21),
      float(1),
      constant(3, vectorOf('u32', 1)),
      constant(-2, vectorOf('i32', 4)),
      float(NaN, 2),
      constant(1, vectorOf('bool', 4)),
      unary('neg', float(2)),
      unary('neg', unary('neg', r)),
      unary('not', unary('not', constant(0, vectorOf('bool', 1)))),
      { kind: 'lane', operand: float(-0.5, 4), lane: 3 },
      { kind: 'lane', operand: unary('neg', register('r', f32)), lane: 0 },
      binary('sub', r, unary('neg', r)),
      binary('equal', binary('less', r, r), binary('less_equal', r, r)),
      { kind: 'convert', to: 'f16', operand: integer(-3) },
      { kind: 'bitcast', to: 'u32', operand: r },
    ];
    for (const value of values) {
      const kernel = {
        ...randomThreadKernel(0),
        body: [
          { kind: 'let', name: 'r', type: f32, value: float(0) },
          { kind: 'let', name: 'v', type: f32, value },
        ] as const,
      };
      expect(parseThreadKernel(printThreadKernel(kernel))).toEqual(kernel);
    }
  });

  it('names line and column of a syntax error', () => {
    const broken = example.replace('step 2 {', 'step x {');
    expect(() => parseThreadKernel(broken)).toThrow(Flux2cError);
    try {
      parseThreadKernel(broken);
    } catch (error) {
      expect(error).toMatchObject({
        code: 'F2C210',
        detail: { where: ['line 8, column 27'], expected: 'a step', found: "'x'" },
      });
    }
    expect(() => parseThreadKernel(`${example}?`)).toThrow(Flux2cError);
    expect(() => parseThreadKernel(example.replace('dot(', 'dolt('))).toThrow(Flux2cError);
  });
});

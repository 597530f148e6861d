import { describe, expect, it } from 'vitest';
import { readSafetensors } from '../../test/read-safetensors.js';
import { TorchGenerator, torchRandn, type NoiseDType } from './noise.js';

const golden = readSafetensors('test/golden/torch-randn.safetensors');
const single = /^seed(\d+)\.(f32|f64|bf16|f16)\.n(\d+)$/;

function largestDifference(got: ArrayLike<number>, want: Float64Array): number {
  expect(got.length).toBe(want.length);
  return want.reduce((worst, value, i) => Math.max(worst, Math.abs(got[i]! - value)), 0);
}

describe('torchRandn', () => {
  const names = golden.names.filter((name) => single.test(name));

  it('has the whole golden set before it', () => {
    expect(names.length).toBe(golden.names.length - 2);
    expect(names.length).toBe(84);
  });

  it.each(names)('%s', (name) => {
    const [, seed, dtype, count] = single.exec(name)!;
    const got = torchRandn(BigInt(seed!), Number(count), dtype as NoiseDType);
    expect(largestDifference(got, golden.tensor(name).values)).toBeLessThan(1e-6);
  });

  it('continues over two draws from one generator', () => {
    const generator = new TorchGenerator(7);
    const first = generator.randn(15, 'f32');
    const second = generator.randn(2048, 'f32');
    expect(largestDifference(first, golden.tensor('seed7.f32.first_3x5').values)).toBeLessThan(1e-6);
    expect(largestDifference(second, golden.tensor('seed7.f32.second_1x128x4x4').values)).toBeLessThan(1e-6);
  });

  it('keeps the second value of a pair for the next single draw', () => {
    const pieces = new TorchGenerator(42);
    const got = [...pieces.randn(1, 'f64'), ...pieces.randn(4, 'f64')];
    expect(got).toEqual([...torchRandn(42, 5, 'f64')]);
  });

  it('takes the seed modulo 2^32, as the 64-bit seed only feeds its low word', () => {
    expect(torchRandn(2n ** 32n + 5n, 20, 'f32')).toEqual(torchRandn(5, 20, 'f32'));
    expect(torchRandn(-1, 20, 'f32')).toEqual(torchRandn(0xffffffff, 20, 'f32'));
  });

  it('refuses a seed that is not an integer', () => {
    expect(() => torchRandn(1.5, 4, 'f32')).toThrowError(/seed is not an integer/);
  });
});

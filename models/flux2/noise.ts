/**
 * The noise of `torch.randn` on PyTorch's CPU generator, so that a seed gives the picture it gives in the reference
 * pipelines. They draw the initial latents so, as `[B, C, h, w]` in the element type of the prompt embeddings.
 */
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from '../../ir/dtype.js';
import { Flux2cError, unreachable } from '../../ir/diagnostics.js';

export type NoiseDType = 'f32' | 'f64' | 'bf16' | 'f16';

/** Tensors of fewer elements are drawn value by value; larger ones in blocks of 16 (`normal_fill`). */
const BLOCK = 16;

/**
 * A CPU generator in PyTorch's state after `manual_seed(seed)`. Draws advance it: two draws from one generator differ
 * from two draws from two generators.
 */
export class TorchGenerator {
  private readonly engine: MersenneTwister;
  /** The sine half of the last Box-Muller pair, left over by a draw of an odd number of single values. */
  private cachedNormal: number | undefined;

  /** `seed` is taken modulo 2^64 as PyTorch does (negative seeds wrap); it must be an integer, else F2C601. */
  constructor(seed: number | bigint) {
    if (typeof seed === 'number' && !Number.isSafeInteger(seed)) {
      throw new Flux2cError('F2C601', 'the seed is not an integer', {
        expected: 'an integer up to 2^53, or a bigint',
        found: String(seed),
      });
    }
    // The engine is seeded by the low 32 bits of PyTorch's 64-bit seed.
    this.engine = new MersenneTwister(Number(BigInt.asUintN(32, BigInt(seed))));
  }

  /**
   * What `torch.randn(count, dtype=dtype, generator=self)` returns, flat; values of the 16-bit types are widened.
   * The result is a `Float64Array` for `f64` and a `Float32Array` otherwise.
   */
  randn(count: number, dtype: 'f64'): Float64Array;
  randn(count: number, dtype: Exclude<NoiseDType, 'f64'>): Float32Array;
  randn(count: number, dtype: NoiseDType): Float32Array | Float64Array;
  randn(count: number, dtype: NoiseDType): Float32Array | Float64Array {
    const data = dtype === 'f64' ? new Float64Array(count) : new Float32Array(count);
    const arithmetic = arithmeticOf(dtype);
    if (count < BLOCK) {
      for (let i = 0; i < count; i++) data[i] = arithmetic.round(this.nextNormal());
      return data;
    }
    this.fillUniform(data, 0, count, dtype);
    for (let start = 0; start + BLOCK <= count; start += BLOCK) boxMullerBlock(data, start, arithmetic);
    if (count % BLOCK !== 0) {
      // The tail is not padded: the last 16 values are drawn again, over values already done.
      this.fillUniform(data, count - BLOCK, count, dtype);
      boxMullerBlock(data, count - BLOCK, arithmetic);
    }
    return data;
  }

  private fillUniform(data: Float32Array | Float64Array, start: number, end: number, dtype: NoiseDType): void {
    for (let i = start; i < end; i++) data[i] = this.nextUniform(dtype);
  }

  /** Uniform in [0, 1) with as many bits as the type's significand has. */
  private nextUniform(dtype: NoiseDType): number {
    switch (dtype) {
      case 'f64':
        return this.nextUniform64();
      case 'f32':
        return (this.engine.next() & 0xffffff) / 2 ** 24;
      case 'f16':
        return (this.engine.next() & 0x7ff) / 2 ** 11;
      case 'bf16':
        return (this.engine.next() & 0xff) / 2 ** 8;
      default:
        return unreachable(dtype, 'noise type');
    }
  }

  private nextUniform64(): number {
    // 53 of 64 bits: the first 32-bit draw is the high word.
    const high = this.engine.next() & 0x1fffff;
    return (high * 2 ** 32 + this.engine.next()) / 2 ** 53;
  }

  private nextNormal(): number {
    if (this.cachedNormal !== undefined) {
      const cached = this.cachedNormal;
      this.cachedNormal = undefined;
      return cached;
    }
    const angle = 2 * Math.PI * this.nextUniform64();
    const radius = Math.sqrt(-2 * Math.log1p(-this.nextUniform64()));
    this.cachedNormal = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }
}

/** `torch.manual_seed(seed); torch.randn(count, dtype=dtype)`: the first draw of a fresh generator, flat. */
export function torchRandn(seed: number | bigint, count: number, dtype: 'f64'): Float64Array;
export function torchRandn(seed: number | bigint, count: number, dtype: Exclude<NoiseDType, 'f64'>): Float32Array;
export function torchRandn(seed: number | bigint, count: number, dtype: NoiseDType): Float32Array | Float64Array;
export function torchRandn(seed: number | bigint, count: number, dtype: NoiseDType): Float32Array | Float64Array {
  return new TorchGenerator(seed).randn(count, dtype);
}

/** Where PyTorch rounds inside one Box-Muller pair. */
interface Arithmetic {
  /** Rounding of the element type: of u1, the radius, the angle and the result. */
  readonly round: (value: number) => number;
  /** Rounding of the logarithm, the cosine and the product: bfloat16 has overloads of these, half computes in f32. */
  readonly roundInner: (value: number) => number;
  readonly twoPi: number;
}

function arithmeticOf(dtype: NoiseDType): Arithmetic {
  switch (dtype) {
    case 'f64':
      return { round: (value) => value, roundInner: (value) => value, twoPi: 2 * Math.PI };
    case 'f32':
      return { round: Math.fround, roundInner: Math.fround, twoPi: Math.fround(2 * Math.PI) };
    case 'f16':
      return { round: roundF16, roundInner: Math.fround, twoPi: 2 * Math.PI };
    case 'bf16':
      return { round: roundBf16, roundInner: roundBf16, twoPi: 2 * Math.PI };
    default:
      return unreachable(dtype, 'noise type');
  }
}

/** Turns 16 uniform values at `start` into normal ones: the first eight give radii, the other eight angles. */
function boxMullerBlock(data: Float32Array | Float64Array, start: number, arithmetic: Arithmetic): void {
  const { round, roundInner, twoPi } = arithmetic;
  const half = BLOCK / 2;
  for (let j = start; j < start + half; j++) {
    const u1 = round(1 - data[j]!);
    const radius = round(Math.sqrt(roundInner(-2 * roundInner(Math.log(u1)))));
    const angle = round(twoPi * data[j + half]!);
    data[j] = round(roundInner(radius * roundInner(Math.cos(angle))));
    data[j + half] = round(roundInner(radius * roundInner(Math.sin(angle))));
  }
}

function roundBf16(value: number): number {
  return bf16ToF32(f32ToBf16(Math.fround(value)));
}

function roundF16(value: number): number {
  return f16ToF32(f32ToF16(Math.fround(value)));
}

/** MT19937 (Matsumoto and Nishimura 1998), with the seeding of 2002. */
class MersenneTwister {
  private readonly state = new Uint32Array(624);
  private index = 624;

  constructor(seed: number) {
    this.state[0] = seed;
    for (let i = 1; i < 624; i++) {
      const previous = this.state[i - 1]!;
      this.state[i] = Math.imul(1812433253, previous ^ (previous >>> 30)) + i;
    }
  }

  /** The next 32 random bits, as an unsigned integer. */
  next(): number {
    if (this.index === 624) this.twist();
    let bits = this.state[this.index++]!;
    bits ^= bits >>> 11;
    bits ^= (bits << 7) & 0x9d2c5680;
    bits ^= (bits << 15) & 0xefc60000;
    bits ^= bits >>> 18;
    return bits >>> 0;
  }

  private twist(): void {
    const state = this.state;
    for (let i = 0; i < 624; i++) {
      const mixed = (state[i]! & 0x80000000) | (state[(i + 1) % 624]! & 0x7fffffff);
      state[i] = state[(i + 397) % 624]! ^ (mixed >>> 1) ^ (mixed & 1 ? 0x9908b0df : 0);
    }
    this.index = 0;
  }
}

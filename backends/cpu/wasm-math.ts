import { FunctionWriter, type ImportedFunction } from './wasm-binary.js';

/**
 * Functions that a module carries when its kernel needs them: v128 in, v128 out, four lanes at a time. Scalars take the
 * same way with a splat, so scalar and vector code give the same bits.
 */
export type HelperName = 'exp' | 'tanh' | 'round_bf16' | 'widen_f16' | 'round_f16' | 'widen_f8e4m3' | 'round_f8e4m3';

/** Functions of JavaScript's Math, called lane by lane: rare in image models, and accurate to the last bit or two. */
export const mathImports: Readonly<Record<'log' | 'sin' | 'cos' | 'pow', ImportedFunction>> = {
  log: { name: 'log', parameters: 1 },
  sin: { name: 'sin', parameters: 1 },
  cos: { name: 'cos', parameters: 1 },
  pow: { name: 'pow', parameters: 2 },
};

/** Other helpers that a helper calls. */
export const helperCalls: Readonly<Record<HelperName, readonly HelperName[]>> = {
  exp: [],
  tanh: ['exp'],
  round_bf16: [],
  widen_f16: [],
  round_f16: [],
  widen_f8e4m3: [],
  round_f8e4m3: [],
};

export function writeHelper(name: HelperName): FunctionWriter {
  const writer = new FunctionWriter(['v128'], ['v128']);
  switch (name) {
    case 'exp':
      writeExp(writer, 0);
      break;
    case 'tanh':
      writeTanh(writer);
      break;
    case 'round_bf16':
      writeRoundBf16(writer);
      break;
    case 'widen_f16':
      writeWidenF16(writer);
      break;
    case 'round_f16':
      writeRoundF16(writer);
      break;
    case 'widen_f8e4m3':
      writeWidenF8e4m3(writer);
      break;
    case 'round_f8e4m3':
      writeRoundF8e4m3(writer);
      break;
  }
  return writer;
}

/** Leaves the exponential of a local's lanes on the stack. */
export function writeExponential(writer: FunctionWriter, name: 'exp' | 'exp2', argument: number): void {
  if (name === 'exp') writeExp(writer, argument);
  else writeExp2(writer, argument);
}

/** Chebyshev interpolation of exp on ±ln2/2 by degree 6, highest power first: relative error below 2e-8. */
const expCoefficients = [
  0.0013941108481958508, 0.00837512593716383, 0.04166635125875473, 0.16666415333747864, 0.5, 1, 1,
];

/** Added to a number of less than 2^22, it leaves the nearest whole number in the low bits: 1.5 · 2^23. */
const roundingBias = 12582912;

/**
 * exp(x) = 2^n · exp(r), n = round(x / ln2), r = x - n · ln2 in two parts. 2^n is applied as two factors, so results reach
 * from the subnormal numbers to infinity; below 1 ulp of error in the normal range.
 */
function writeExp(writer: FunctionWriter, argument: number): void {
  const x = writer.local('v128');
  const biased = writer.local('v128');
  const n = writer.local('v128');
  writeClamped(writer, argument, -104, 89).tee(x);
  writer.f32x4(Math.LOG2E).op('f32x4.mul').f32x4(roundingBias).op('f32x4.add').tee(biased);
  writer.f32x4(roundingBias).op('f32x4.sub').set(n);
  // 0.693359375 has 9 bits, so n times it is exact.
  writer.get(x).get(n).f32x4(0.693359375).ops('f32x4.mul', 'f32x4.sub');
  writer
    .get(n)
    .f32x4(Math.LN2 - 0.693359375)
    .ops('f32x4.mul', 'f32x4.sub')
    .set(x);
  writeScaledExp(writer, x, biased);
}

/**
 * exp2(x) = 2^n · exp((x - n) · ln2), n = round(x): the difference is exact. n is added to the exponent's bits, so results that are not
 * normal are 0: nothing that follows meets subnormal numbers, which are slow.
 */
function writeExp2(writer: FunctionWriter, argument: number): void {
  const clamped = writer.local('v128');
  const biased = writer.local('v128');
  const r = writer.local('v128');
  writeClamped(writer, argument, -126, 128).tee(clamped);
  writer.get(clamped).f32x4(roundingBias).op('f32x4.add').tee(biased).f32x4(roundingBias);
  writer.ops('f32x4.sub', 'f32x4.sub').f32x4(Math.LN2).op('f32x4.mul').set(r);
  writePolynomial(writer, r);
  writer.get(biased).i32(23).ops('i32x4.shl', 'i32x4.add');
  writer.get(argument).f32x4(-126).ops('f32x4.lt', 'v128.andnot');
}

/** Clamped where the result is 0 or infinite anyway, so that n fits the exponent arithmetic; NaN, in the first operand, stays. */
function writeClamped(writer: FunctionWriter, argument: number, least: number, most: number): FunctionWriter {
  return writer.get(argument).f32x4(least).op('f32x4.pmax').f32x4(most).op('f32x4.pmin');
}

/** exp of a local between -ln2/2 and ln2/2. */
function writePolynomial(writer: FunctionWriter, r: number): void {
  expCoefficients.forEach((coefficient, index) => {
    writer.f32x4(coefficient);
    if (index > 0) writer.op('f32x4.add');
    if (index < expCoefficients.length - 1) writer.get(r).op('f32x4.mul');
  });
}

/** 2^n · exp(r) of two locals; the second, which is overwritten, holds n + `roundingBias`. */
function writeScaledExp(writer: FunctionWriter, r: number, biased: number): void {
  const half = writer.local('v128');
  writePolynomial(writer, r);
  const biasBits = new Int32Array(Float32Array.of(roundingBias).buffer)[0] as number;
  writer.get(biased).i32x4(biasBits).op('i32x4.sub').tee(biased).i32(1).op('i32x4.shr_s').tee(half);
  const power = (): FunctionWriter => writer.i32x4(127).op('i32x4.add').i32(23).ops('i32x4.shl', 'f32x4.mul');
  power();
  writer.get(biased).get(half).op('i32x4.sub');
  power();
}

/** |x| < 0.55: the continued fraction x(945 + 105x² + x⁴) / (945 + 420x² + 15x⁴), else 1 - 2 / (exp(2|x|) + 1). */
function writeTanh(writer: FunctionWriter): void {
  const square = writer.local('v128');
  const magnitude = writer.local('v128');
  writer.get(0).get(0).op('f32x4.mul').set(square);
  writer.get(0).op('f32x4.abs').set(magnitude);
  writer.get(square).f32x4(105).op('f32x4.add').get(square).op('f32x4.mul').f32x4(945).op('f32x4.add');
  writer.get(0).op('f32x4.mul');
  writer.get(square).f32x4(15).op('f32x4.mul').f32x4(420).op('f32x4.add');
  writer.get(square).op('f32x4.mul').f32x4(945).ops('f32x4.add', 'f32x4.div');
  writer.f32x4(1).f32x4(2).get(magnitude).get(magnitude).op('f32x4.add').call('exp');
  writer.f32x4(1).ops('f32x4.add', 'f32x4.div', 'f32x4.sub');
  writer
    .get(0)
    .i32x4(-(2 ** 31))
    .ops('v128.and', 'v128.or');
  // Infinite and NaN arguments are not below the bound.
  writer.get(magnitude).f32x4(0.55).ops('f32x4.lt', 'v128.bitselect');
}

/** f32 to bf16, nearest even, in the upper halves of the lanes; the lower halves are anything. */
function writeRoundBf16(writer: FunctionWriter): void {
  writer.get(0).i32x4(0x7fc00000).op('v128.or');
  writer.get(0).i32x4(0x7fff).op('i32x4.add');
  writer.get(0).i32(16).op('i32x4.shr_u').i32x4(1).ops('v128.and', 'i32x4.add');
  writer.get(0).get(0).ops('f32x4.ne', 'v128.bitselect');
}

/** Half bits in the lower halves of the lanes to f32. */
function writeWidenF16(writer: FunctionWriter): void {
  const magnitude = writer.local('v128');
  writer.get(0).i32x4(0x7fff).op('v128.and').i32(13).op('i32x4.shl').tee(magnitude);
  // The exponents' biases differ by 112; subnormal halves come out right by the same product.
  writer.f32x4(2 ** 112).op('f32x4.mul');
  writer.get(magnitude).i32x4(0x0f800000).op('i32x4.ge_u').i32x4(0x7f800000).ops('v128.and', 'v128.or');
  writer.get(0).i32x4(0x8000).op('v128.and').i32(16).ops('i32x4.shl', 'v128.or');
}

/** f32 to half bits, nearest even, in the lower halves of the lanes; the upper halves are zero. */
function writeRoundF16(writer: FunctionWriter): void {
  const magnitude = writer.local('v128');
  writer.get(0).i32x4(0x7fffffff).op('v128.and').set(magnitude);
  // Beyond 65536: NaN or infinity.
  writer.i32x4(0x7e00).i32x4(0x7c00).get(0).get(0).ops('f32x4.ne', 'v128.bitselect');
  // Below 2^-14: an addition to 0.5 rounds to multiples of 2^-24, the smallest half.
  writer.get(magnitude).f32x4(0.5).op('f32x4.add').i32x4(0x3f000000).op('i32x4.sub');
  writer
    .get(magnitude)
    .i32x4(0xfff - (112 << 23))
    .op('i32x4.add');
  writer.get(magnitude).i32(13).op('i32x4.shr_u').i32x4(1).ops('v128.and', 'i32x4.add').i32(13).op('i32x4.shr_u');
  writer
    .get(magnitude)
    .i32x4(113 << 23)
    .ops('i32x4.lt_s', 'v128.bitselect');
  writer
    .get(magnitude)
    .i32x4(143 << 23)
    .ops('i32x4.ge_u', 'v128.bitselect');
  writer.get(0).i32(16).op('i32x4.shr_u').i32x4(0x8000).ops('v128.and', 'v128.or');
}

/** Bits of e4m3 in the lowest bytes of the lanes to f32; the other bytes are zero. */
function writeWidenF8e4m3(writer: FunctionWriter): void {
  const code = writer.local('v128');
  writer.get(0).i32x4(0x7f).op('v128.and').tee(code).i32(20).op('i32x4.shl');
  // The exponents' biases differ by 120; subnormal numbers come out right by the same product.
  writer.f32x4(2 ** 120).op('f32x4.mul');
  writer.get(code).i32x4(0x7f).op('i32x4.eq').i32x4(0x7fc00000).ops('v128.and', 'v128.or');
  writer.get(0).i32x4(0x80).op('v128.and').i32(24).ops('i32x4.shl', 'v128.or');
}

/** f32 to bits of e4m3, nearest even, at most ±448, in the lowest bytes of the lanes; the other bytes are zero. */
function writeRoundF8e4m3(writer: FunctionWriter): void {
  const magnitude = writer.local('v128');
  writer.i32x4(0x7f);
  writer.get(0).i32x4(0x7fffffff).op('v128.and').i32x4(0x43e00000).op('i32x4.min_u').set(magnitude);
  // Below 2^-6: an addition to 16384 rounds to multiples of 2^-9, the smallest number.
  writer.get(magnitude).f32x4(16384).op('f32x4.add').i32x4(0x46800000).op('i32x4.sub');
  writer
    .get(magnitude)
    .i32x4(0x7ffff - (120 << 23))
    .op('i32x4.add');
  writer.get(magnitude).i32(20).op('i32x4.shr_u').i32x4(1).ops('v128.and', 'i32x4.add').i32(20).op('i32x4.shr_u');
  writer
    .get(magnitude)
    .i32x4(121 << 23)
    .ops('i32x4.lt_s', 'v128.bitselect');
  writer.get(0).i32(24).op('i32x4.shr_u').i32x4(0x80).ops('v128.and', 'v128.or');
  writer.get(0).get(0).ops('f32x4.ne', 'v128.bitselect');
}

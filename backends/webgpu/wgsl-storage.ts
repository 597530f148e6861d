import { unreachable } from '../../ir/diagnostics.js';
import type { BufferParameter } from '../../ir/kernel/thread.js';

/**
 * How elements lie in WGSL storage buffers. Narrow types travel in u32 words, so no device feature is needed:
 *
 * | storage      | 1 lane                  | 2 lanes               | 4 lanes     |
 * |--------------|-------------------------|-----------------------|-------------|
 * | f32 i32 u32  | T                       | vec2<T>               | vec4<T>     |
 * | bf16 f16     | half of a u32           | u32                   | vec2<u32>   |
 * | f8e4m3 i8 u8 bool | quarter of a u32   | half of a u32         | u32         |
 */
export function storageElement(buffer: BufferParameter): string {
  switch (buffer.storage) {
    case 'f32':
    case 'i32':
    case 'u32':
      return buffer.lanes === 1 ? buffer.storage : `vec${buffer.lanes}<${buffer.storage}>`;
    case 'bf16':
    case 'f16':
      return buffer.lanes === 4 ? 'vec2<u32>' : 'u32';
    case 'f8e4m3':
    case 'i8':
    case 'u8':
    case 'bool':
      return 'u32';
    default:
      return unreachable(buffer.storage, 'storage type');
  }
}

/** The text that loads `lanes` elements at `index`; `use` is told which helper functions it calls. */
export function loadText(
  buffer: BufferParameter,
  name: string,
  index: string,
  use: (helper: string) => string,
): string {
  const { storage, lanes } = buffer;
  switch (storage) {
    case 'f32':
    case 'i32':
    case 'u32':
      return `${name}[${index}]`;
    case 'bf16':
      if (lanes === 1) return `${use('widen_bf16')}(${name}[${shiftIndex(index, 1)}], ${index})`;
      return `${use(`widen_bf16x${lanes}`)}(${name}[${index}])`;
    case 'f16':
      if (lanes === 1) return `${use('widen_f16')}(${name}[${shiftIndex(index, 1)}], ${index})`;
      if (lanes === 2) return `unpack2x16float(${name}[${index}])`;
      return `${use('widen_f16x4')}(${name}[${index}])`;
    case 'f8e4m3':
      return `${use(`widen_f8e4m3x${lanes}`)}(${loadBytes(lanes, name, index, use)})`;
    case 'i8':
      return `${use(`sign_bytes_x${lanes}`)}(${loadBytes(lanes, name, index, use)})`;
    case 'u8':
      return loadBytes(lanes, name, index, use);
    case 'bool': {
      const bytes = loadBytes(lanes, name, index, use);
      return lanes === 1 ? `bool(${bytes})` : `vec${lanes}<bool>(${bytes})`;
    }
    default:
      return unreachable(storage, 'storage type');
  }
}

function loadBytes(lanes: 1 | 2 | 4, name: string, index: string, use: (helper: string) => string): string {
  if (lanes === 4) return `${use('widen_u8x4')}(${name}[${index}])`;
  if (lanes === 2) return `${use('widen_u8x2')}(${name}[${shiftIndex(index, 1)}], ${index})`;
  return `${use('widen_u8')}(${name}[${shiftIndex(index, 2)}], ${index})`;
}

function shiftIndex(index: string, by: number): string {
  return /^[A-Za-z0-9_.]+$/.test(index) ? `${index} >> ${by}u` : `(${index}) >> ${by}u`;
}

/** The right-hand side of the assignment that stores `value`; widths that would need half a word are refused earlier. */
export function storeText(buffer: BufferParameter, value: string, use: (helper: string) => string): string {
  switch (buffer.storage) {
    case 'f32':
    case 'i32':
    case 'u32':
      return value;
    case 'bf16':
    case 'f16':
      return `${use(`narrow_${buffer.storage}x${buffer.lanes}`)}(${value})`;
    case 'f8e4m3':
      return `${use('narrow_u8x4')}(${use('f8e4m3_bits')}(${value}))`;
    case 'i8':
    case 'u8':
      return `${use('narrow_u8x4')}(${value})`;
    case 'bool':
      return `${use('narrow_u8x4')}(vec4<i32>(${value}))`;
    default:
      return unreachable(buffer.storage, 'storage type');
  }
}

/** Rounds to nearest even on the upper 16 bits; NaN stays a quiet NaN. */
function narrowBf16(lanes: 2 | 4, result: string, pack: string): string {
  const vector = `vec${lanes}<u32>`;
  return `fn narrow_bf16x${lanes}(value: vec${lanes}<f32>) -> ${result} {
  let bits = bitcast<${vector}>(value);
  let odd = (bits >> ${vector}(16u)) & ${vector}(1u);
  let nearest = (bits + ${vector}(0x7fffu) + odd) >> ${vector}(16u);
  let quiet = (bits >> ${vector}(16u)) | ${vector}(0x40u);
  let half = select(nearest, quiet, (bits & ${vector}(0x7fffffffu)) > ${vector}(0x7f800000u));
  return ${pack};
}`;
}

/** pack2x16float is undefined past 65504: 65520 is the first number that rounds to infinity. */
function narrowF16(lanes: 2 | 4, result: string, pack: string): string {
  const vector = `vec${lanes}<f32>`;
  return `fn narrow_f16x${lanes}(value: ${vector}) -> ${result} {
  let finite = select(value, sign(value) * 65520.0f, abs(value) > ${vector}(65520.0f));
  return ${pack};
}`;
}

/** Small magnitudes are multiples of 2^-9; the exponents' biases of the others differ by 120. NaN has all bits. */
function widenF8e4m3(lanes: 1 | 2 | 4): string {
  const vector = (type: string): string => (lanes === 1 ? type : `vec${lanes}<${type}>`);
  const [i32, u32, f32] = [vector('i32'), vector('u32'), vector('f32')];
  return `fn widen_f8e4m3x${lanes}(bytes: ${i32}) -> ${f32} {
  let bits = ${u32}(bytes);
  let code = bits & ${u32}(127u);
  let normal = (code << ${u32}(20u)) + ${u32}(0x3c000000u);
  let small = bitcast<${u32}>(${f32}(code) * 0.001953125f);
  let finite = select(normal, small, code < ${u32}(8u));
  let magnitude = select(finite, ${u32}(0x7fc00000u), code == ${u32}(127u));
  return bitcast<${f32}>(magnitude | ((bits & ${u32}(128u)) << ${u32}(24u)));
}`;
}

function signBytes(lanes: 1 | 2 | 4): string {
  const vector = (type: string): string => (lanes === 1 ? type : `vec${lanes}<${type}>`);
  return `fn sign_bytes_x${lanes}(bytes: ${vector('i32')}) -> ${vector('i32')} {
  return (bytes << ${vector('u32')}(24u)) >> ${vector('u32')}(24u);
}`;
}

/** One of 16 numbers in each lane, by selects: drivers have no quick way to a table. */
function lookup(lanes: 1 | 2 | 4): string {
  const vector = (type: string): string => (lanes === 1 ? type : `vec${lanes}<${type}>`);
  const lines: string[] = [];
  let names = Array.from({ length: 16 }, (_, at) => `${vector('f32')}(v${at})`);
  for (let bit = 0; bit < 4; bit++) {
    lines.push(`  let b${bit} = (index & ${vector('u32')}(${2 ** bit}u)) != ${vector('u32')}(0u);`);
    const pairs = names
      .filter((_, at) => at % 2 === 0)
      .map((low, at) => `select(${low}, ${names[2 * at + 1]}, b${bit})`);
    names = pairs.map((_, at) => `c${bit}_${at}`);
    pairs.forEach((pair, at) => lines.push(`  let ${names[at]} = ${pair};`));
  }
  const parameters = Array.from({ length: 16 }, (_, at) => `v${at}: f32`).join(', ');
  return `fn lookup_x${lanes}(index: ${vector('u32')}, ${parameters}) -> ${vector('f32')} {
${lines.join('\n')}
  return ${names[0]};
}`;
}

/**
 * The same where eight lanes hold a half of the table each in a register: two shuffles, which are one instruction each on a processor's
 * vectors (lavapipe). Lanes past the eighth hold numbers that nobody asks for.
 */
function subgroupLookup(lanes: 1 | 2 | 4): string {
  const vector = (type: string): string => (lanes === 1 ? type : `vec${lanes}<${type}>`);
  const eight = Array.from({ length: 8 }, (_, at) => at);
  const held = (first: number): string =>
    eight.slice(1).reduce((rest, at) => `select(${rest}, v${first + at}, lane == ${at})`, `v${first}`);
  const taken = (half: string): string => {
    const parts = lanes === 1 ? ['within'] : [...'xyzw'].slice(0, lanes).map((part) => `within.${part}`);
    return `${vector('f32')}(${parts.map((part) => `subgroupShuffle(${half}, ${part})`).join(', ')})`;
  };
  const parameters = Array.from({ length: 16 }, (_, at) => `v${at}: f32`).join(', ');
  return `fn subgroup_lookup_x${lanes}(index: ${vector('u32')}, lane: i32, ${parameters}) -> ${vector('f32')} {
  let low = ${held(0)};
  let high = ${held(8)};
  let within = index & ${vector('u32')}(7u);
  return select(${taken('low')}, ${taken('high')}, index > ${vector('u32')}(7u));
}`;
}

/**
 * Helper functions by name. Infinity and NaN are functions because WGSL refuses them in constant expressions, and a
 * function's result is not one; compilers take -0 for 0 there.
 */
export const helperTexts: Readonly<Record<string, string>> = {
  infinity: `fn infinity() -> f32 {
  let bits = 0x7f800000u;
  return bitcast<f32>(bits);
}`,
  negative_zero: `fn negative_zero() -> f32 {
  let bits = 0x80000000u;
  return bitcast<f32>(bits);
}`,
  not_a_number: `fn not_a_number() -> f32 {
  let bits = 0x7fc00000u;
  return bitcast<f32>(bits);
}`,
  widen_bf16: `fn widen_bf16(word: u32, index: i32) -> f32 {
  return bitcast<f32>(select(word << 16u, word & 0xffff0000u, (index & 1) == 1));
}`,
  widen_bf16x2: `fn widen_bf16x2(word: u32) -> vec2<f32> {
  return bitcast<vec2<f32>>(vec2<u32>(word << 16u, word & 0xffff0000u));
}`,
  widen_bf16x4: `fn widen_bf16x4(words: vec2<u32>) -> vec4<f32> {
  let low = words << vec2<u32>(16u);
  let high = words & vec2<u32>(0xffff0000u);
  return bitcast<vec4<f32>>(vec4<u32>(low.x, high.x, low.y, high.y));
}`,
  widen_f16: `fn widen_f16(word: u32, index: i32) -> f32 {
  let pair = unpack2x16float(word);
  return select(pair.x, pair.y, (index & 1) == 1);
}`,
  widen_f16x4: `fn widen_f16x4(words: vec2<u32>) -> vec4<f32> {
  return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y));
}`,
  widen_u8: `fn widen_u8(word: u32, index: i32) -> i32 {
  return i32((word >> (u32(index & 3) * 8u)) & 255u);
}`,
  widen_u8x2: `fn widen_u8x2(word: u32, index: i32) -> vec2<i32> {
  let pair = word >> (u32(index & 1) * 16u);
  return vec2<i32>(vec2<u32>(pair & 255u, (pair >> 8u) & 255u));
}`,
  widen_u8x4: `fn widen_u8x4(word: u32) -> vec4<i32> {
  return vec4<i32>((vec4<u32>(word) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u));
}`,
  sign_bytes_x1: signBytes(1),
  sign_bytes_x2: signBytes(2),
  sign_bytes_x4: signBytes(4),
  // Lane l of the sums has a pair of the first eight bytes and one of the last: in one word, they are one product.
  dot_bytes_x4: `fn dot_bytes_x4(a: vec4<u32>, b: vec4<u32>) -> vec4<i32> {
  let low = vec2<u32>(0xffffu);
  let by = vec2<u32>(16u);
  let a_even = (a.xy & low) | (a.zw << by);
  let b_even = (b.xy & low) | (b.zw << by);
  let a_odd = (a.xy >> by) | (a.zw & ~low);
  let b_odd = (b.xy >> by) | (b.zw & ~low);
  return vec4<i32>(
    dot4I8Packed(a_even.x, b_even.x), dot4I8Packed(a_odd.x, b_odd.x),
    dot4I8Packed(a_even.y, b_even.y), dot4I8Packed(a_odd.y, b_odd.y),
  );
}`,
  lookup_x1: lookup(1),
  lookup_x2: lookup(2),
  lookup_x4: lookup(4),
  subgroup_lookup_x1: subgroupLookup(1),
  subgroup_lookup_x2: subgroupLookup(2),
  subgroup_lookup_x4: subgroupLookup(4),
  widen_f8e4m3x1: widenF8e4m3(1),
  widen_f8e4m3x2: widenF8e4m3(2),
  widen_f8e4m3x4: widenF8e4m3(4),
  // To ±448, nearest even; numbers from 16384 on lie 2^-9 apart, as those below 2^-6 do here.
  f8e4m3_bits: `fn f8e4m3_bits(value: vec4<f32>) -> vec4<i32> {
  let bits = bitcast<vec4<u32>>(value);
  let exact = bits & vec4<u32>(0x7fffffffu);
  let magnitude = min(exact, vec4<u32>(0x43e00000u));
  let odd = (magnitude >> vec4<u32>(20u)) & vec4<u32>(1u);
  let normal = ((magnitude + vec4<u32>(0x7ffffu) + odd) >> vec4<u32>(20u)) - vec4<u32>(960u);
  let small = bitcast<vec4<u32>>(bitcast<vec4<f32>>(magnitude) + 16384.0f) - vec4<u32>(0x46800000u);
  let code = select(normal, small, magnitude < vec4<u32>(0x3c800000u)) | ((bits >> vec4<u32>(24u)) & vec4<u32>(128u));
  return vec4<i32>(select(code, vec4<u32>(127u), exact > vec4<u32>(0x7f800000u)));
}`,
  narrow_bf16x2: narrowBf16(2, 'u32', 'half.x | (half.y << 16u)'),
  narrow_bf16x4: narrowBf16(4, 'vec2<u32>', 'half.xz | (half.yw << vec2<u32>(16u))'),
  narrow_f16x2: narrowF16(2, 'u32', 'pack2x16float(finite)'),
  narrow_f16x4: narrowF16(4, 'vec2<u32>', 'vec2<u32>(pack2x16float(finite.xy), pack2x16float(finite.zw))'),
  narrow_u8x4: `fn narrow_u8x4(value: vec4<i32>) -> u32 {
  let bytes = (vec4<u32>(value) & vec4<u32>(255u)) << vec4<u32>(0u, 8u, 16u, 24u);
  return bytes.x | bytes.y | bytes.z | bytes.w;
}`,
};

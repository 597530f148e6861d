import { Flux2cError } from './diagnostics.js';
import { byteSize, type DType } from './dtype.js';

/**
 * How a matrix of weights [N, K] is stored in fewer bits: neighbours of a row form groups that share a scale. Lossless targets of
 * every file format that flux2c runs from, so that kernels know one layout: 4 bits of each code lie eight to a word, the rest of
 * wider codes in a plane of its own, factors and offsets in arrays by group. A number is, each operation rounded to f32,
 *
 *     scale(group) * (code - zero)  [+ offset(group)  or  - offset(group)]
 *
 * where `scale` and `offset` may be the product of one number a group and one a super-group. With the formats' widths all products but
 * the last rounding are exact, so fusing a multiplication and an addition changes no bit.
 */
export interface Encoding {
  /** As attributes and options spell it: `int4:64`, `q4_k`. `parseEncoding` is the inverse. */
  readonly text: string;
  readonly bits: 4 | 5 | 6 | 8;
  readonly code: Code;
  /** Neighbours along a row with one scale; undefined: the whole row. */
  readonly group: number | undefined;
  readonly scale: Factor;
  readonly offset?: { readonly factor: Factor; readonly sign: 1 | -1 };
  /** A zero point of each group, subtracted from its codes: u8. */
  readonly hasZeros: boolean;
}

/** What the unsigned bits of a code stand for. */
export type Code =
  | { readonly kind: 'integer'; readonly zero: number }
  /** 16 numbers. */
  | { readonly kind: 'table'; readonly values: readonly number[] }
  | { readonly kind: 'float'; readonly dtype: 'f8e4m3' | 'f8e5m2' };

/** A number of each group: itself, or u8 - `bias` times an f16 of each `superGroup` numbers. */
export type Factor =
  | { readonly kind: 'plain'; readonly dtype: 'f32' | 'f16' | 'bf16' }
  | { readonly kind: 'scaled'; readonly bias: number; readonly superGroup: number };

/** The arrays of an encoded matrix, in the order of the operands of `dequantize`. */
export type FieldName = (typeof fieldNames)[number];

export const fieldNames = ['codes', 'high', 'scales', 'supers', 'zeros', 'offsets', 'super_offsets'] as const;

export interface EncodedField {
  readonly name: FieldName;
  readonly dtype: DType;
  /** [N, columns]: rows can be cut and joined in all fields alike. */
  readonly columns: number;
}

const integer = (zero: number): Code => ({ kind: 'integer', zero });
const plain = (dtype: 'f32' | 'f16' | 'bf16'): Factor => ({ kind: 'plain', dtype });
const scaled = (bias: number): Factor => ({ kind: 'scaled', bias, superGroup: 256 });

// The 16 values of bitsandbytes' NF4: quantiles of the normal distribution (QLoRA, arXiv:2305.14314, appendix E), in f32.
const nf4Values: readonly number[] = [
  -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
  -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
]; // prettier-ignore

// bitsandbytes' FP4: a sign, 2 bits of exponent and one of fraction, over 12 (its `create_fp8_map` and kernels).
const fp4Magnitudes: readonly number[] = [0, 0.0052083334885537624, 0.6666666865348816, 1, 0.3333333432674408, 0.5, 0.1666666716337204, 0.25]; // prettier-ignore
const fp4Values: readonly number[] = [...fp4Magnitudes, ...fp4Magnitudes.map((value) => -value)];

type Form = Omit<Encoding, 'text' | 'group'>;

const f8 = (dtype: 'f8e4m3' | 'f8e5m2'): Form => ({ bits: 8, code: { kind: 'float', dtype }, scale: plain('f32'), hasZeros: false }); // prettier-ignore

/** Those whose groups the text gives: `int4:64`. */
const grouped: Readonly<Record<string, Form>> = {
  int4: { bits: 4, code: integer(8), scale: plain('bf16'), hasZeros: false },
  int4z: { bits: 4, code: integer(0), scale: plain('bf16'), hasZeros: true },
  nf4: { bits: 4, code: { kind: 'table', values: nf4Values }, scale: plain('f32'), hasZeros: false },
  fp4: { bits: 4, code: { kind: 'table', values: fp4Values }, scale: plain('f32'), hasZeros: false },
};

/** Those of one group; GGUF's by the layouts of ggml's blocks (`ggml-common.h`). */
const fixed: Readonly<Record<string, Form & Pick<Encoding, 'group'>>> = {
  int8: { bits: 8, code: integer(128), group: undefined, scale: plain('f32'), hasZeros: false },
  f8e4m3: { ...f8('f8e4m3'), group: undefined },
  f8e5m2: { ...f8('f8e5m2'), group: undefined },
  q4_0: { bits: 4, code: integer(8), group: 32, scale: plain('f16'), hasZeros: false },
  q4_1: { bits: 4, code: integer(0), group: 32, scale: plain('f16'), offset: { factor: plain('f16'), sign: 1 }, hasZeros: false }, // prettier-ignore
  q5_0: { bits: 5, code: integer(16), group: 32, scale: plain('f16'), hasZeros: false },
  q5_1: { bits: 5, code: integer(0), group: 32, scale: plain('f16'), offset: { factor: plain('f16'), sign: 1 }, hasZeros: false }, // prettier-ignore
  q8_0: { bits: 8, code: integer(128), group: 32, scale: plain('f16'), hasZeros: false },
  q4_k: { bits: 4, code: integer(0), group: 32, scale: scaled(0), offset: { factor: scaled(0), sign: -1 }, hasZeros: false }, // prettier-ignore
  q6_k: { bits: 6, code: integer(32), group: 16, scale: scaled(128), hasZeros: false },
};

export const encodingForms: readonly string[] = [...Object.keys(fixed), ...Object.keys(grouped).map((name) => `${name}:GROUP`)]; // prettier-ignore

const groups: readonly number[] = [16, 32, 64, 128, 256, 512, 1024, 2048, 4096];

/** Undefined for what is none. */
export function findEncoding(text: string): Encoding | undefined {
  const known = fixed[text];
  if (known !== undefined) return { text, ...known };
  const [name = '', size = '', ...rest] = text.split(':');
  const form = grouped[name];
  const group = groups.find((candidate) => String(candidate) === size);
  return form === undefined || group === undefined || rest.length > 0 ? undefined : { text, group, ...form };
}

/** @throws Flux2cError F2C180 */
export function parseEncoding(text: string): Encoding {
  const found = findEncoding(text);
  if (found !== undefined) return found;
  throw new Flux2cError('F2C180', 'there is no such encoding of weights', {
    expected: `${encodingForms.join(', ')} with a GROUP of ${groups.join(', ')}`,
    found: text,
  });
}

/** Whether rows of so many numbers are whole groups and whole words. */
export function fitsEncoding({ bits, group = 1, scale }: Encoding, columns: number): boolean {
  const word = bits === 5 ? 32 : bits === 6 ? 16 : bits === 4 ? 8 : 4;
  const superGroup = scale.kind === 'scaled' ? scale.superGroup : 1;
  return columns > 0 && columns % word === 0 && columns % group === 0 && columns % superGroup === 0;
}

/** The arrays of a matrix with rows of `columns` numbers, which `fitsEncoding`. */
export function encodedFields(encoding: Encoding, columns: number): readonly EncodedField[] {
  const { bits, group = columns, scale, offset, hasZeros } = encoding;
  const ofGroups = columns / group;
  const low = bits === 8 ? 8 : 4;
  const fields: EncodedField[] = [{ name: 'codes', dtype: 'u32', columns: (columns * low) / 32 }];
  if (bits > low) fields.push({ name: 'high', dtype: 'u32', columns: (columns * (bits - low)) / 32 });
  const factor = (names: readonly [FieldName, FieldName], form: Factor): void => {
    fields.push({ name: names[0], dtype: form.kind === 'plain' ? form.dtype : 'u8', columns: ofGroups });
    if (form.kind === 'scaled') fields.push({ name: names[1], dtype: 'f16', columns: columns / form.superGroup });
  };
  factor(['scales', 'supers'], scale);
  if (hasZeros) fields.push({ name: 'zeros', dtype: 'u8', columns: ofGroups });
  if (offset !== undefined) factor(['offsets', 'super_offsets'], offset.factor);
  return fields;
}

/** Bytes of all arrays of a row of so many numbers. */
export function encodedRowBytes(encoding: Encoding, columns: number): number {
  return encodedFields(encoding, columns).reduce((sum, field) => sum + field.columns * byteSize(field.dtype), 0);
}

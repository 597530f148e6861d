import type { DType } from '../../ir/dtype.js';

interface FileDType {
  readonly bits: number;
  /** The IR's type with the same bits, where there is one. */
  readonly dtype?: DType;
}

// The element types of the safetensors format (its Rust reference lists them), with their width in bits.
const fileDTypes: ReadonlyMap<string, FileDType> = new Map<string, FileDType>([
  ['BOOL', { bits: 8, dtype: 'bool' }],
  ['U8', { bits: 8, dtype: 'u8' }],
  ['I8', { bits: 8, dtype: 'i8' }],
  ['F8_E5M2', { bits: 8 }],
  ['F8_E4M3', { bits: 8, dtype: 'f8e4m3' }],
  ['F8_E8M0', { bits: 8 }],
  ['F8_E4M3FNUZ', { bits: 8 }],
  ['F8_E5M2FNUZ', { bits: 8 }],
  ['F4', { bits: 4 }],
  ['F6_E2M3', { bits: 6 }],
  ['F6_E3M2', { bits: 6 }],
  ['I16', { bits: 16 }],
  ['U16', { bits: 16 }],
  ['F16', { bits: 16, dtype: 'f16' }],
  ['BF16', { bits: 16, dtype: 'bf16' }],
  ['I32', { bits: 32, dtype: 'i32' }],
  ['U32', { bits: 32, dtype: 'u32' }],
  ['F32', { bits: 32, dtype: 'f32' }],
  ['I64', { bits: 64, dtype: 'i64' }],
  ['U64', { bits: 64 }],
  ['F64', { bits: 64, dtype: 'f64' }],
  ['C64', { bits: 64 }],
]);

/** Bits of one element of a type as safetensors files name it; undefined when the format has no such type. */
export function fileBitSize(fileDType: string): number | undefined {
  return fileDTypes.get(fileDType)?.bits;
}

/** The IR's element type of a safetensors type; undefined for types the IR does not have (other fp8, 16-bit integers …). */
export function dtypeOfFile(fileDType: string): DType | undefined {
  return fileDTypes.get(fileDType)?.dtype;
}

/** The safetensors name of an element type of the IR. */
export function fileDTypeOf(dtype: DType): string {
  return dtype === 'f8e4m3' ? 'F8_E4M3' : dtype.toUpperCase();
}

/** All type names of the format, for error messages. */
export function knownFileDTypes(): readonly string[] {
  return [...fileDTypes.keys()];
}

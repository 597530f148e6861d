/** Rows of weights as bytes. */
import { bf16ToF32, f32ToBf16, f32ToF16, type DType } from '../ir/dtype.js';
import { hostTensorToBytes, rowMajorStrides } from '../ir/host-tensor.js';

/** Rows (indices of the first axis) of a weight or of an ingredient of one. */
export interface Rows {
  readonly count: number;
  readonly rowBytes: number;
  read(first: number, count: number): Promise<Uint8Array>;
}

/** Typed arrays need an aligned start, which a part of a file may not have. */
export function aligned(bytes: Uint8Array, width: number): Uint8Array {
  return bytes.byteOffset % width === 0 ? bytes : bytes.slice();
}

/** f32 numbers in an element type, floats to nearest. The result of f32 shares their memory. */
export function narrowF32(values: Float32Array, dtype: DType): Uint8Array {
  if (dtype === 'f32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  if (dtype !== 'bf16') return hostTensorToBytes({ dtype, shape: [values.length], data: Float64Array.from(values) });
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const narrow = new Uint16Array(values.length);
  for (let at = 0; at < words.length; at++) {
    const bits = words[at]!;
    // Ties to even; NaN would be rounded to infinity.
    narrow[at] = (bits & 0x7fffffff) > 0x7f800000 ? f32ToBf16(NaN) : (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
  }
  return new Uint8Array(narrow.buffer);
}

/** What each bf16 number is in f16; made when it is first asked for. */
let halves: Uint16Array | undefined;

/** Numbers of bf16 in f16, to nearest. A table takes a fifth of the time that the way through f32 does. */
export function halvesOfBf16(bytes: Uint8Array): Uint8Array {
  halves ??= Uint16Array.from({ length: 65536 }, (_, bits) => f32ToF16(bf16ToF32(bits)));
  const table = halves;
  const start = aligned(bytes, 2);
  const words = new Uint16Array(start.buffer, start.byteOffset, bytes.byteLength / 2);
  const narrow = new Uint16Array(words.length);
  for (let at = 0; at < words.length; at++) narrow[at] = table[words[at] as number] as number;
  return new Uint8Array(narrow.buffer);
}

/** Whether all numbers of f16 are finite. */
export function areFiniteHalves(bytes: Uint8Array): boolean {
  const words = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
  for (let at = 0; at < words.length; at++) if (((words[at] as number) & 0x7c00) === 0x7c00) return false;
  return true;
}

/** Elements of a row-major array of `shape` in the order of its permuted axes. */
export function permuteBytes(
  bytes: Uint8Array,
  shape: readonly number[],
  permutation: readonly number[],
  elementBytes: number,
): Uint8Array {
  // Doubles would not keep all bit patterns: eight bytes are moved as two words.
  if (elementBytes === 8) return permuteBytes(bytes, [...shape, 2], [...permutation, shape.length], 4);
  const from = elementView(bytes, elementBytes);
  const to = elementView(new Uint8Array(bytes.byteLength), elementBytes);
  const sourceStrides = rowMajorStrides(shape);
  const sizes = permutation.map((axis) => shape[axis] as number);
  const strides = permutation.map((axis) => sourceStrides[axis] as number);
  const last = sizes.length - 1;
  const [inner, innerStride] = [sizes[last] ?? 1, strides[last] ?? 0];
  const index = new Array<number>(sizes.length).fill(0);
  let start = 0;
  for (let at = 0; at < to.length;) {
    for (let step = 0, place = start; step < inner; step++, place += innerStride) to[at++] = from[place] as number;
    for (let axis = last - 1; axis >= 0; axis--) {
      start += strides[axis] as number;
      index[axis] = (index[axis] as number) + 1;
      if ((index[axis] as number) < (sizes[axis] as number)) break;
      start -= (strides[axis] as number) * (sizes[axis] as number);
      index[axis] = 0;
    }
  }
  return new Uint8Array(to.buffer, to.byteOffset, to.byteLength);
}

/** Elements are only moved, so any type of their width will do. */
function elementView(bytes: Uint8Array, elementBytes: number): Uint8Array | Uint16Array | Uint32Array {
  const { buffer, byteOffset, byteLength } = bytes.byteOffset % elementBytes === 0 ? bytes : bytes.slice();
  const length = byteLength / elementBytes;
  switch (elementBytes) {
    case 1:
      return new Uint8Array(buffer, byteOffset, length);
    case 2:
      return new Uint16Array(buffer, byteOffset, length);
    default:
      return new Uint32Array(buffer, byteOffset, length);
  }
}

import { Flux2cError } from '../ir/diagnostics.js';
import { type BoundTensorMap, bindTensorMaps } from '../ir/kernel/launch.js';
import { storageBytes } from '../ir/kernel/thread-interpret-memory.js';
import type { StorageType, ThreadKernel } from '../ir/kernel/thread.js';
import type { BoundLaunch } from './device.js';

/** A tensor map of a launch in bytes, from the first byte of the buffer that is bound. */
export interface PlacedTensorMap {
  readonly name: string;
  /** Of the launch's bindings. */
  readonly binding: number;
  readonly storage: StorageType;
  /** From the start of the buffer, not of the binding: a piece of a cut launch keeps the rectangle of the whole one. */
  readonly byteOffset: number;
  /** Elements, innermost first. */
  readonly extents: readonly number[];
  /** Bytes, of all dimensions but the innermost. */
  readonly byteStrides: readonly number[];
  readonly boxes: readonly number[];
}

// CUDA Driver API, `cuTensorMapEncodeTiled`: what it takes without interleaving, swizzled in rows of 128 bytes.
const mostDimensions = 5;
const mostOfExtent = 2 ** 32;
const mostOfStride = 2 ** 40;
const mostOfBox = 256;
const boxBytes = 128;
const alignment = 16;

/**
 * The tensor maps of a launch whose bindings were checked. Throws F2C514, with launch, kernel and map, for one that the
 * hardware does not take or that reaches out of its buffer: a bug of whoever planned the launch.
 */
export function placeTensorMaps(kernel: ThreadKernel, launch: BoundLaunch): readonly PlacedTensorMap[] {
  const values = Object.fromEntries(kernel.parameters.map((name, index) => [name, launch.parameters[index]!]));
  return bindTensorMaps(kernel, values).map((bound) => {
    const fail = (what: string, expected: string, found: string): never => {
      throw new Flux2cError('F2C514', `internal: ${what}`, {
        where: [`launch ${launch.label}`, `kernel ${kernel.name}`, `tensor map ${bound.map.name}`],
        expected,
        found,
      });
    };
    const { storage } = kernel.buffers[bound.buffer] ?? fail('no such buffer', 'one of the kernel', bound.map.buffer);
    const { buffer, byteOffset: start } = launch.bindings[bound.buffer]!;
    const bytes = storageBytes(storage);
    checkShape(bound, bytes, fail);
    const byteOffset = start + bound.offset * bytes;
    if (byteOffset % alignment !== 0)
      fail('a misaligned tensor map', `an offset that is a multiple of ${alignment} bytes`, `${byteOffset}`);
    const { extents, strides, boxes } = bound;
    const reach = extents.reduce((sum, extent, axis) => sum + (extent - 1) * strides[axis]!, 1);
    const end = byteOffset + reach * bytes;
    if (byteOffset < 0 || end > buffer.byteLength)
      fail('a tensor map outside its buffer', `a range within the ${buffer.byteLength} bytes of "${buffer.label}"`, `${byteOffset}..${end}`); // prettier-ignore
    const byteStrides = strides.slice(1).map((stride) => stride * bytes);
    return { name: bound.map.name, binding: bound.buffer, storage, byteOffset, extents, byteStrides, boxes };
  });
}

type Fail = (what: string, expected: string, found: string) => never;

function checkShape({ extents, strides, boxes }: BoundTensorMap, bytes: number, fail: Fail): void {
  if (extents.length < 2 || extents.length > mostDimensions)
    fail('a tensor map with too few or too many dimensions', `2..${mostDimensions}`, `${extents.length}`);
  if (extents.some((extent) => extent < 1 || extent > mostOfExtent))
    fail('an extent of a tensor map out of range', `1..${mostOfExtent}`, extents.join(' x '));
  if (boxes.some((box) => box < 1 || box > mostOfBox) || boxes[0]! * bytes !== boxBytes)
    fail('a box of a tensor map out of range', `1..${mostOfBox}, ${boxBytes} bytes in a row`, boxes.join(' x '));
  const [innermost, ...others] = strides;
  const misfits = others.some((stride) => {
    const byteStride = stride * bytes;
    return byteStride < 0 || byteStride % alignment !== 0 || byteStride >= mostOfStride;
  });
  if (innermost !== 1 || misfits) {
    const expected = `1 and then multiples of ${alignment / bytes} below ${mostOfStride / bytes}`;
    fail('a stride of a tensor map out of range', expected, strides.join(', '));
  }
}

import { Flux2cError } from '../ir/diagnostics.js';
import { bindTensorMaps } from '../ir/kernel/launch.js';
import { storageBytes } from '../ir/kernel/thread-interpret-memory.js';
import type { StorageType, ThreadKernel } from '../ir/kernel/thread.js';
import type { BoundLaunch } from './device.js';

/** A tensor map of a launch, its distances in bytes. */
export interface PlacedTensorMap {
  readonly name: string;
  /** Of the launch's bindings. */
  readonly binding: number;
  readonly storage: StorageType;
  /**
   * From the start of the binding to the first element; negative where a cut launch binds a part of the rectangle, which stays that of
   * the whole launch.
   */
  readonly byteOffset: number;
  /** Elements, innermost first. */
  readonly extents: readonly number[];
  /** Of all dimensions but the innermost. */
  readonly byteStrides: readonly number[];
  readonly boxes: readonly number[];
}

/** The tensor maps of a launch. Throws F2C537, with launch, kernel and map, for one that the driver would refuse. */
export function placeTensorMaps(kernel: ThreadKernel, launch: BoundLaunch): readonly PlacedTensorMap[] {
  const values = Object.fromEntries(kernel.parameters.map((name, index) => [name, launch.parameters[index]!]));
  return bindTensorMaps(kernel, values).map(({ map, buffer, offset, extents, strides, boxes }) => {
    const { storage } = kernel.buffers[buffer]!;
    const bytes = storageBytes(storage);
    const byteStrides = strides.slice(1).map((stride) => stride * bytes);
    const placed = {
      name: map.name,
      binding: buffer,
      storage,
      byteOffset: offset * bytes,
      extents,
      byteStrides,
      boxes,
    };
    const problem = findProblem(placed, strides[0]!, launch.bindings[buffer]!.byteOffset);
    if (problem === undefined) return placed;
    throw new Flux2cError('F2C537', 'the driver would refuse a tensor map', {
      where: placeOf(kernel, launch, map.name),
      ...problem,
    });
  });
}

/**
 * Throws F2C514 for a tensor map that reaches out of the buffer it is bound to: a GPU would copy what lies there. Out of its binding it
 * may reach.
 */
export function checkTensorMapRange(kernel: ThreadKernel, launch: BoundLaunch, map: PlacedTensorMap): void {
  const { extents, byteStrides, storage } = map;
  const { buffer, byteOffset } = launch.bindings[map.binding]!;
  const begin = byteOffset + map.byteOffset;
  const outer = byteStrides.reduce((sum, stride, at) => sum + (extents[at + 1]! - 1) * stride, 0);
  const end = begin + outer + extents[0]! * storageBytes(storage);
  if (begin >= 0 && end <= buffer.byteLength) return;
  throw new Flux2cError('F2C514', 'internal: a tensor map outside its buffer', {
    where: placeOf(kernel, launch, map.name),
    expected: `a range within the ${buffer.byteLength} bytes of "${buffer.label}"`,
    found: `${begin}..${end}`,
  });
}

function placeOf(kernel: ThreadKernel, launch: BoundLaunch, map: string): readonly string[] {
  return [`launch ${launch.label}`, `kernel ${kernel.name}`, `tensor map ${map}`];
}

/** CUDA Driver API, `cuTensorMapEncodeTiled`, without interleaving and with the 128-byte swizzle. Buffers begin at whole 16 bytes. */
function findProblem(
  { storage, byteOffset, extents, byteStrides, boxes }: PlacedTensorMap,
  innermost: number,
  bindingOffset: number,
): { readonly expected: string; readonly found: string } | undefined {
  const address = bindingOffset + byteOffset;
  const rules = [
    [extents.length >= 2 && extents.length <= 5, '2 to 5 dimensions', extents.length],
    [address % 16 === 0, 'an address that 16 divides', address],
    [innermost === 1, 'neighbours in the first dimension', `a stride of ${innermost}`],
    [byteStrides.every((stride) => stride % 16 === 0), 'strides that 16 bytes divide', byteStrides],
    [byteStrides.every((stride) => stride >= 0 && stride < 2 ** 40), 'strides below 2^40 bytes', byteStrides],
    [extents.every((extent) => extent >= 1 && extent <= 2 ** 32), 'extents of 1 to 2^32', extents],
    [boxes.every((box) => box >= 1 && box <= 256), 'boxes of 1 to 256', boxes],
    [boxes[0]! * storageBytes(storage) === 128, 'boxes of 128 bytes along the first dimension', boxes],
  ] as const;
  const broken = rules.find(([holds]) => !holds);
  return broken === undefined ? undefined : { expected: broken[1], found: [broken[2]].flat().join(', ') };
}

import type { ThreadKernel } from '../../../ir/kernel/thread.js';
import type { BoundLaunch } from '../../device.js';
import { placeTensorMaps } from '../../tensor-map-check.js';

/**
 * The tensor maps of a launch as the emulator reads them, one behind the other: number of the buffer, rank, bytes from the start of
 * the binding to the first element, extents (elements, innermost first), byte strides of all dimensions but the first, boxes.
 *
 * @throws F2C537 for what `cuTensorMapEncodeTiled` refuses
 */
export function encodeTensorMaps(kernel: ThreadKernel, launch: BoundLaunch): BigInt64Array {
  const numbers = placeTensorMaps(kernel, launch).flatMap(({ binding, byteOffset, extents, byteStrides, boxes }) => {
    return [binding, extents.length, byteOffset, ...extents, ...byteStrides, ...boxes];
  });
  return BigInt64Array.from(numbers, BigInt);
}

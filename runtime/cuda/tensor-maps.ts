import type { ThreadKernel } from '../../ir/kernel/thread.js';
import type { BoundLaunch } from '../device.js';
import { placeTensorMaps } from '../tensor-map-check.js';
import type { CudaCalls } from './cuda-calls.js';
import { asCudaBuffer } from './cuda-memory.js';
import { type EncodedTensorMap, offsetPointer } from './driver.js';

/**
 * The tensor maps of a launch as its kernel takes them.
 *
 * @throws F2C514 a map that does not fit its buffer, F2C543 the driver has none, F2C540
 */
export function encodeTensorMaps(
  calls: CudaCalls,
  kernel: ThreadKernel,
  launch: BoundLaunch,
  sequence: string,
): readonly EncodedTensorMap[] {
  return placeTensorMaps(kernel, launch).map(({ name, binding, storage, byteOffset, extents, byteStrides, boxes }) => {
    const { pointer } = asCudaBuffer(launch.bindings[binding]!.buffer);
    const address = offsetPointer(pointer, byteOffset);
    const where = [`sequence ${sequence}`, `launch ${launch.label}`, `kernel ${kernel.name}`, `tensor map ${name}`];
    return calls.run('tensorMapEncode', where, { storage, address, extents, byteStrides, boxes });
  });
}

import type { ThreadKernel } from '../../ir/kernel/thread.js';
import type { BoundLaunch } from '../device.js';
import { checkTensorMapRange, placeTensorMaps } from '../tensor-map-check.js';
import type { CudaCalls } from './cuda-calls.js';
import { asCudaBuffer } from './cuda-memory.js';
import { type EncodedTensorMap, offsetPointer } from './driver.js';

/**
 * The tensor maps of a launch as its kernel takes them.
 *
 * @throws F2C514 a map that reaches out of its buffer, F2C537 one that the driver would refuse, F2C543 the driver has none, F2C540
 */
export function encodeTensorMaps(
  calls: CudaCalls,
  kernel: ThreadKernel,
  launch: BoundLaunch,
  sequence: string,
): readonly EncodedTensorMap[] {
  return placeTensorMaps(kernel, launch).map((map) => {
    checkTensorMapRange(kernel, launch, map);
    const { name, storage, extents, byteStrides, boxes } = map;
    const { buffer, byteOffset } = launch.bindings[map.binding]!;
    const address = offsetPointer(asCudaBuffer(buffer).pointer, byteOffset + map.byteOffset);
    const where = [`sequence ${sequence}`, `launch ${launch.label}`, `kernel ${kernel.name}`, `tensor map ${name}`];
    return calls.run('tensorMapEncode', where, { storage, address, extents, byteStrides, boxes });
  });
}

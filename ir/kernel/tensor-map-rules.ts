import { Flux2cError } from '../diagnostics.js';
import type { BoundTensorMap } from './launch.js';
import { tensorElementBytes } from './tensor-box.js';
import type { ThreadKernel } from './thread.js';

/** Where the map is used, for messages. */
export interface TensorMapUse {
  readonly kernel: Pick<ThreadKernel, 'buffers'>;
  /** Bytes from an address that 16 divides to the binding. */
  readonly bindingOffset: number;
  readonly where: readonly string[];
}

/**
 * Throws F2C537 for a map of a launch that the driver would refuse: CUDA Driver API, `cuTensorMapEncodeTiled`, without interleaving and
 * with the 128-byte swizzle.
 */
export function checkTensorMap(
  { map, offset, extents, strides, boxes }: BoundTensorMap,
  { kernel, bindingOffset, where }: TensorMapUse,
): void {
  const bytes = tensorElementBytes(kernel, map);
  const address = bindingOffset + offset * bytes;
  const [innermost, ...outer] = strides;
  const byteStrides = outer.map((stride) => stride * bytes);
  const rules = [
    [extents.length >= 2 && extents.length <= 5, '2 to 5 dimensions', extents.length],
    [address % 16 === 0, 'an address that 16 divides', address],
    [innermost === 1, 'neighbours in the first dimension', `a stride of ${innermost}`],
    [byteStrides.every((stride) => stride % 16 === 0), 'strides that 16 bytes divide', byteStrides],
    [byteStrides.every((stride) => stride >= 0 && stride < 2 ** 40), 'strides below 2^40 bytes', byteStrides],
    [extents.every((extent) => extent >= 1 && extent <= 2 ** 32), 'extents of 1 to 2^32', extents],
    [boxes.every((box) => box >= 1 && box <= 256), 'boxes of 1 to 256', boxes],
    [boxes[0]! * bytes === 128, 'boxes of 128 bytes along the first dimension', boxes],
  ] as const;
  const broken = rules.find(([holds]) => !holds);
  if (broken === undefined) return;
  throw new Flux2cError('F2C537', 'the driver would refuse a tensor map', {
    where: [...where, `tensor map ${map.name}`],
    expected: broken[1],
    found: [broken[2]].flat().join(', '),
  });
}

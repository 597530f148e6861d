import { tensorElementBytes } from '../../../backends/cuda/cuda-tensor-maps.js';
import { Flux2cError } from '../../../ir/diagnostics.js';
import { bindTensorMaps } from '../../../ir/kernel/launch.js';
import type { BoundTensorMap } from '../../../ir/kernel/launch.js';
import type { ThreadKernel } from '../../../ir/kernel/thread.js';
import type { BoundLaunch } from '../../device.js';

/**
 * The tensor maps of a launch as the emulator reads them, one behind the other: number of the buffer, rank, bytes from the start of
 * the binding to the first element, extents (elements, innermost first), byte strides of all dimensions but the first, boxes.
 *
 * @throws F2C537 for what `cuTensorMapEncodeTiled` refuses
 */
export function encodeTensorMaps(kernel: ThreadKernel, launch: BoundLaunch): BigInt64Array {
  const parameters = Object.fromEntries(kernel.parameters.map((name, at) => [name, launch.parameters[at] ?? 0]));
  const numbers = bindTensorMaps(kernel, parameters).flatMap((bound) => {
    const bytes = tensorElementBytes(kernel, bound.map);
    const start = bound.offset * bytes;
    const strides = bound.strides.slice(1).map((stride) => stride * bytes);
    const address = (launch.bindings[bound.buffer]?.byteOffset ?? 0) + start;
    const problem = findProblem(bound, bytes, address, strides);
    if (problem !== undefined) {
      throw new Flux2cError('F2C537', 'the driver would refuse a tensor map', {
        where: [`launch ${launch.label}`, `kernel ${kernel.name}`, `tensor map ${bound.map.name}`],
        ...problem,
      });
    }
    return [bound.buffer, bound.extents.length, start, ...bound.extents, ...strides, ...bound.boxes];
  });
  return BigInt64Array.from(numbers, BigInt);
}

/** CUDA Driver API, `cuTensorMapEncodeTiled`, without interleave and with the 128-byte swizzle. */
function findProblem(
  { extents, boxes, strides: [innermost] }: BoundTensorMap,
  elementBytes: number,
  address: number,
  strides: readonly number[],
): { readonly expected: string; readonly found: string } | undefined {
  const rules = [
    [extents.length >= 2 && extents.length <= 5, '2 to 5 dimensions', extents.length],
    [address % 16 === 0, 'an address that 16 divides', address],
    [innermost === 1, 'neighbours in the first dimension', `a stride of ${innermost}`],
    [strides.every((stride) => stride % 16 === 0), 'strides that 16 bytes divide', strides],
    [strides.every((stride) => stride >= 0 && stride < 2 ** 40), 'strides below 2^40 bytes', strides],
    [extents.every((extent) => extent >= 1 && extent <= 2 ** 32), 'extents of 1 to 2^32', extents],
    [boxes.every((box) => box >= 1 && box <= 256), 'boxes of 1 to 256', boxes],
    [(boxes[0] ?? 0) * elementBytes === 128, 'boxes of 128 bytes along the first dimension', boxes],
  ] as const;
  const broken = rules.find(([holds]) => !holds);
  return broken === undefined ? undefined : { expected: broken[1], found: [broken[2]].flat().join(', ') };
}

import { Flux2cError } from '../ir/diagnostics.js';
import { bindTensorMaps } from '../ir/kernel/launch.js';
import { checkTensorMap } from '../ir/kernel/tensor-map-rules.js';
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
  return bindTensorMaps(kernel, values).map((bound) => {
    const { map, buffer, offset, extents, strides, boxes } = bound;
    const [bindingOffset, where] = [launch.bindings[buffer]!.byteOffset, placeOf(kernel, launch)];
    checkTensorMap(bound, { kernel, bindingOffset, where });
    const { storage } = kernel.buffers[buffer]!;
    const bytes = storageBytes(storage);
    const byteStrides = strides.slice(1).map((stride) => stride * bytes);
    return {
      name: map.name,
      binding: buffer,
      storage,
      byteOffset: offset * bytes,
      extents,
      byteStrides,
      boxes,
    };
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
    where: [...placeOf(kernel, launch), `tensor map ${map.name}`],
    expected: `a range within the ${buffer.byteLength} bytes of "${buffer.label}"`,
    found: `${begin}..${end}`,
  });
}

function placeOf(kernel: ThreadKernel, launch: BoundLaunch): readonly string[] {
  return [`launch ${launch.label}`, `kernel ${kernel.name}`];
}

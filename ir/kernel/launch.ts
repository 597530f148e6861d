import type { TensorMap, ThreadKernel } from './thread.js';

/** A tensor map of one launch: numbers instead of polynomials. */
export interface BoundTensorMap {
  readonly map: TensorMap;
  /** Of the map's buffer among the kernel's. */
  readonly buffer: number;
  /** Elements from the start of the buffer's binding. */
  readonly offset: number;
  /** Elements, innermost first, as the map's dimensions are. */
  readonly extents: readonly number[];
  readonly strides: readonly number[];
  readonly boxes: readonly number[];
}

/** The kernel's tensor maps for a launch with these parameters. */
export function bindTensorMaps(
  kernel: ThreadKernel,
  parameters: Readonly<Record<string, number>>,
): readonly BoundTensorMap[] {
  return (kernel.tensorMaps ?? []).map((map) => ({
    map,
    buffer: kernel.buffers.findIndex(({ name }) => name === map.buffer),
    offset: map.offset.evaluate(parameters) + (parameters[`${map.buffer}_base`] ?? 0),
    // Of nothing nothing is copied, but there is no map of it.
    extents: map.dimensions.map(({ extent }) => Math.max(1, extent.evaluate(parameters))),
    strides: map.dimensions.map(({ stride }) => stride.evaluate(parameters)),
    boxes: map.dimensions.map(({ box }) => box),
  }));
}

/**
 * What a launch of so many workgroups starts. Kernels that walk over tiles get as many groups as run `atOnce` on the device (or fewer,
 * where there are fewer tiles); others get what they ask for.
 */
export function launchedGroups(
  kernel: ThreadKernel,
  workgroups: readonly [number, number, number],
  atOnce: number,
): readonly [number, number, number] {
  if (kernel.walksTiles !== true) return workgroups;
  return [Math.min(atOnce, workgroups[0] * workgroups[1] * workgroups[2]), 1, 1];
}

import type { DimBinding } from '../../ir/dim.js';
import type { PlanValue } from '../../ir/plan.js';
import type { HostArray } from '../../runtime/host-array.js';

/**
 * Inputs whose values decide what is computed, by name: positions, times, masks. Pictures, latents and prompts are missing:
 * any numbers do.
 */
export function flux2InputValues(inputs: readonly PlanValue[], sizes: DimBinding): ReadonlyMap<string, HostArray> {
  const found = new Map<string, HostArray>();
  for (const { name, dtype, shape: dims } of inputs) {
    const shape = dims.map((dim) => dim.evaluate(sizes));
    const count = shape.reduce((product, size) => product * size, 1);
    const make = valuesByName[name] ?? (dtype === 'i32' ? (at: number) => at : undefined);
    if (make === undefined) continue;
    const side = Math.round(Math.sqrt(shape[0] ?? 1));
    const data = dtype === 'i32' ? new Int32Array(count) : new Float32Array(count);
    for (let at = 0; at < count; at++) data[at] = make(at, count, side);
    found.set(name, { dtype, shape, data });
  }
  return found;
}

/** The value at a place of an input with so many; `side` is the root of the number of rows. */
const valuesByName: Readonly<Record<string, (at: number, count: number, side: number) => number>> = {
  // (t, h, w, l): the picture's rows and columns, the text's places.
  img_ids: (at, _, side) => [0, Math.floor((at >> 2) / side), (at >> 2) % side, 0][at & 3]!,
  ref_ids: (at, _, side) => [10, Math.floor((at >> 2) / side), (at >> 2) % side, 0][at & 3]!,
  txt_ids: (at) => ((at & 3) === 3 ? at >> 2 : 0),
  attention_mask: () => 1,
  position_ids: (at) => at,
  timesteps: (at, count) => 1 - at / count,
  timestep: () => 1,
  sigma_deltas: (_, count) => -1 / count,
  guidance: () => 4,
};

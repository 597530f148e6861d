import type { BoundPlan, PlannedBuffer } from './plan/bound-plan.js';
import type { Device, DeviceBuffer } from './device.js';
import type { LoadedWeight } from './weight-store.js';

/**
 * The buffers of a session besides its weights. They only grow: runs of other sizes use the same ones, a larger one
 * replaces a smaller one.
 */
export class SessionMemory {
  /** By what a buffer is for: the n-th arena, the n-th input ... */
  private readonly slots = new Map<string, DeviceBuffer>();

  constructor(
    private readonly device: Device,
    private readonly weights: ReadonlyMap<string, LoadedWeight>,
  ) {}

  /**
   * Device buffers for the plan's, in its order. `onReplace` is called before the first buffer is replaced: whatever was
   * recorded on the old ones is of no use any more.
   */
  provide(bound: BoundPlan, onReplace: () => void): readonly DeviceBuffer[] {
    const names = nameSlots(bound.buffers);
    const outgrown = bound.buffers.filter((buffer, index) => {
      const slot = this.slots.get(names[index] as string);
      return slot !== undefined && slot.byteLength < buffer.byteLength;
    });
    if (outgrown.length > 0) onReplace();
    // All that is too small goes before anything larger comes, so that both never take room at once.
    for (const buffer of outgrown) this.destroySlot(names[bound.buffers.indexOf(buffer)] as string);
    return bound.buffers.map((buffer, index) => {
      if (buffer.weight !== undefined) return this.weightBuffer(buffer);
      const name = names[index] as string;
      let slot = this.slots.get(name);
      if (slot === undefined) {
        slot = this.device.createBuffer(buffer.byteLength, buffer.label);
        this.slots.set(name, slot);
      }
      return slot;
    });
  }

  /** Bytes of the buffers of a kind, as they are now. */
  countBytes(kind: 'arena' | 'boundary'): number {
    let bytes = 0;
    for (const [name, { byteLength }] of this.slots) {
      if (name.startsWith('arena') === (kind === 'arena')) bytes += byteLength;
    }
    return bytes;
  }

  destroy(): void {
    for (const name of [...this.slots.keys()]) this.destroySlot(name);
  }

  private destroySlot(name: string): void {
    this.slots.get(name)?.destroy();
    this.slots.delete(name);
  }

  private weightBuffer({ weight, label }: PlannedBuffer): DeviceBuffer {
    const buffer = weight === undefined ? undefined : this.weights.get(weight.name)?.buffers[weight.segment];
    if (buffer === undefined) throw new Error(`internal: the weight ${label} is not loaded`);
    return buffer;
  }
}

function nameSlots(buffers: readonly PlannedBuffer[]): readonly string[] {
  const counts = new Map<string, number>();
  return buffers.map(({ kind }) => {
    const count = counts.get(kind) ?? 0;
    counts.set(kind, count + 1);
    return `${kind} ${count}`;
  });
}

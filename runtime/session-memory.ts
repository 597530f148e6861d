import type { BoundPlan, PlannedBuffer } from './plan/bound-plan.js';
import type { Device, DeviceBuffer } from './device.js';

/** What slots are for: `boundary` is inputs, results and what the host computes. */
export type SlotKind = 'arena' | 'ring' | 'boundary';

/**
 * The buffers of a session besides its weights. They only grow unless there is a budget: runs of other sizes use the same
 * ones, a larger one replaces a smaller one.
 */
export class SessionMemory {
  /** By what a buffer is for: the n-th arena, the n-th input ... */
  private readonly slots = new Map<string, DeviceBuffer>();

  constructor(private readonly device: Device) {}

  /**
   * Device buffers for the plan's, in its order; those of weights from `weightBuffer`. `onReplace` is called before the first
   * buffer is replaced: whatever was recorded on the old ones is of no use any more.
   */
  provide(
    bound: BoundPlan,
    weightBuffer: (buffer: PlannedBuffer, index: number) => DeviceBuffer,
    onReplace: () => void,
  ): readonly DeviceBuffer[] {
    this.makeSlots(bound, onReplace);
    const names = nameSlots(bound.buffers);
    return bound.buffers.map((buffer, index) =>
      buffer.kind === 'weight' ? weightBuffer(buffer, index) : this.slots.get(names[index] as string)!,
    );
  }

  /** Makes what the plan needs besides weights. */
  makeSlots(bound: BoundPlan, onReplace: () => void): void {
    const names = nameSlots(bound.buffers);
    const needed = bound.buffers.flatMap((buffer, index) =>
      buffer.kind === 'weight' ? [] : [{ ...buffer, name: names[index] as string }],
    );
    const outgrown = needed.filter(
      ({ name, byteLength }) => (this.slots.get(name)?.byteLength ?? Infinity) < byteLength,
    );
    if (outgrown.length > 0) onReplace();
    // All that is too small goes before anything larger comes, so that both never take room at once.
    for (const { name } of outgrown) this.destroySlot(name);
    for (const { name, label, byteLength } of needed) {
      if (!this.slots.has(name)) this.slots.set(name, this.device.createBuffer(byteLength, label));
    }
  }

  /** Frees what the plan does not use. What is larger than it needs stays where all of it takes at most so many bytes. */
  shrink(bound: BoundPlan, mostBytes: number): void {
    const names = nameSlots(bound.buffers);
    const needed = new Map<string, number>();
    bound.buffers.forEach(({ kind, byteLength }, index) => {
      if (kind !== 'weight') needed.set(names[index] as string, byteLength);
    });
    for (const name of [...this.slots.keys()]) if (!needed.has(name)) this.destroySlot(name);
    let bytes = 0;
    for (const [name, byteLength] of needed) bytes += Math.max(byteLength, this.slots.get(name)?.byteLength ?? 0);
    if (bytes <= mostBytes) return;
    for (const [name, slot] of [...this.slots]) if (slot.byteLength > needed.get(name)!) this.destroySlot(name);
  }

  /** Bytes of the buffers of a kind, as they are now. */
  countBytes(kind: SlotKind): number {
    let bytes = 0;
    for (const [name, { byteLength }] of this.slots) if (kindOf(name) === kind) bytes += byteLength;
    return bytes;
  }

  destroy(): void {
    for (const name of [...this.slots.keys()]) this.destroySlot(name);
  }

  private destroySlot(name: string): void {
    this.slots.get(name)?.destroy();
    this.slots.delete(name);
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

function kindOf(slot: string): SlotKind {
  if (slot.startsWith('arena')) return 'arena';
  return slot.startsWith('ring') ? 'ring' : 'boundary';
}

import { Flux2cError } from '../ir/diagnostics.js';
import type { DimBinding } from '../ir/dim.js';
import { byteSize } from '../ir/dtype.js';
import type { Device, DeviceBuffer } from './device.js';
import type { BoundPlan } from './plan/bound-plan.js';
import { ResidentWeights } from './resident-weights.js';
import { SessionMemory, type SlotKind } from './session-memory.js';
import type { PieceTransfers } from './streaming/piece-transfers.js';
import { WeightStream } from './streaming/weight-stream.js';
import type { WeightProvider } from './weight-provider.js';
import { findWeightPlaces, type WeightPlaces, type WeightRange } from './weight-ranges.js';

/** What a session may take, and how its plans keep to that. */
export interface SessionBudget {
  /** Most bytes on the device at any time: weights, temporaries, inputs and results, and where streamed weights have their places. */
  readonly deviceBytes: number;
  /** Most bytes of weights in host memory. Default: as many as plans keep there, and what reading ahead takes. */
  readonly hostBytes?: number;
  /** Of runs that are expected: what is to be on the device for them is loaded when the session is created. */
  readonly sizes?: DimBinding;
  /** A plan for sizes whose buffers take at most `deviceBytes`. Those of weights are the resident ones only. */
  readonly plan: (sizes: DimBinding) => BoundPlan;
}

/** Bytes (of the declared types) of what has to be loaded. */
export type OnLoad = (done: number, total: number) => void;

/** A plan with what it runs on. */
export interface Arrangement {
  readonly bound: BoundPlan;
  readonly buffers: readonly DeviceBuffer[];
  /** Begins the transfers of a run; absent where nothing is streamed. */
  readonly startTransfers?: (order: Iterator<number>) => PieceTransfers;
}

/** The memory of a session with a budget, arranged for the sizes of one run at a time. */
export class BudgetedMemory {
  private readonly resident: ResidentWeights;
  private readonly slots: SessionMemory;
  private readonly stream: WeightStream;
  private current: { readonly key: string; readonly arrangement: Arrangement } | undefined;

  constructor(
    private readonly device: Device,
    provider: WeightProvider,
    private readonly budget: SessionBudget,
  ) {
    this.resident = new ResidentWeights(device, provider);
    this.slots = new SessionMemory(device);
    this.stream = new WeightStream(device, provider, budget.hostBytes);
  }

  /** The plan for sizes with its memory: what the plan before has as well stays, all else goes before anything comes. */
  async arrange(sizes: DimBinding, onLoad?: OnLoad, signal?: AbortSignal): Promise<Arrangement> {
    const key = sizesKey(sizes);
    if (this.current?.key === key) return this.current.arrangement;
    this.current = undefined;
    const bound = this.budget.plan(sizes);
    requireWithin(bound, this.budget.deviceBytes);
    const { resident: ranges, streamed } = findWeightPlaces(bound);
    const weightBytes = ranges.reduce((sum, { byteLength }) => sum + byteLength, 0);
    this.resident.keep(ranges);
    this.slots.shrink(bound, this.budget.deviceBytes - weightBytes);
    this.stream.adopt(streamed);
    await this.makeSlots(bound);
    await this.load(ranges, onLoad, signal);
    const byBuffer = new Map(ranges.map((range) => [range.buffer, range]));
    const buffers = this.slots.provide(
      bound,
      ({ label }, index) => {
        const range = byBuffer.get(index);
        if (range === undefined) throw new Error(`internal: nothing of the plan is in its buffer ${label}`);
        return this.resident.bufferOf(range);
      },
      () => undefined,
    );
    const isStreaming = streamed.length > 0;
    const startTransfers = (order: Iterator<number>): PieceTransfers => this.stream.start(bound, buffers, order);
    const arrangement = { bound, buffers, ...(isStreaming && { startTransfers }) };
    this.current = { key, arrangement };
    return arrangement;
  }

  get weightBytes(): number {
    return this.resident.byteLength;
  }

  get hostUsage(): WeightStream['usage'] {
    return this.stream.usage;
  }

  countBytes(kind: SlotKind): number {
    return this.slots.countBytes(kind);
  }

  destroy(): void {
    this.current = undefined;
    this.stream.destroy();
    this.slots.destroy();
    this.resident.keep([]);
  }

  private async makeSlots(bound: BoundPlan): Promise<void> {
    try {
      this.slots.makeSlots(bound, () => undefined);
      // Devices may tell only now that there was no room, and a buffer without memory is of no use to a later run.
      await this.device.finish();
    } catch (error) {
      this.slots.destroy();
      throw error;
    }
  }

  private async load(ranges: WeightPlaces['resident'], onLoad?: OnLoad, signal?: AbortSignal): Promise<void> {
    const missing = this.resident.missing(ranges);
    if (missing.length === 0) return;
    const total = missing.reduce((sum, range) => sum + declaredBytes(range), 0);
    let done = 0;
    await this.resident.load(missing, (bytes) => onLoad?.((done += bytes), total), signal);
  }
}

/** The same text for the same sizes. */
export function sizesKey(sizes: DimBinding): string {
  return JSON.stringify(Object.entries(sizes).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function requireWithin({ plan, buffers }: BoundPlan, deviceBytes: number): void {
  const bytes = buffers.reduce((sum, { byteLength }) => sum + byteLength, 0);
  if (bytes <= deviceBytes) return;
  throw new Flux2cError('F2C315', 'internal: the plan is not sound', {
    where: [plan.name],
    expected: `buffers of at most ${deviceBytes} bytes in all`,
    found: `${bytes} bytes`,
  });
}

function declaredBytes({ declaration, start, end }: WeightRange): number {
  return (end - start) * byteSize(declaration.type.dtype);
}

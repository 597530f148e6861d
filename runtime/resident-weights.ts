import type { Device, DeviceBuffer } from './device.js';
import { throwIfAborted } from './step-runner.js';
import type { WeightProvider } from './weight-provider.js';
import type { WeightPlaces, WeightRange } from './weight-ranges.js';
import { putWeight, WriteThrottle } from './weight-upload.js';

/** Parts of weights that a session with a budget has on the device, by their ranges' keys. */
export class ResidentWeights {
  private readonly buffers = new Map<string, DeviceBuffer>();

  constructor(
    private readonly device: Device,
    private readonly provider: WeightProvider,
  ) {}

  get byteLength(): number {
    let bytes = 0;
    for (const { byteLength } of this.buffers.values()) bytes += byteLength;
    return bytes;
  }

  bufferOf({ key }: WeightRange): DeviceBuffer {
    const buffer = this.buffers.get(key);
    if (buffer === undefined) throw new Error(`internal: the weight ${key} is not loaded`);
    return buffer;
  }

  /** Frees all but these. */
  keep(ranges: WeightPlaces['resident']): void {
    const kept = new Set(ranges.map(({ key }) => key));
    for (const [key, buffer] of this.buffers) {
      if (kept.has(key)) continue;
      buffer.destroy();
      this.buffers.delete(key);
    }
  }

  missing(ranges: WeightPlaces['resident']): WeightPlaces['resident'] {
    return ranges.filter(({ key }) => !this.buffers.has(key));
  }

  /**
   * Loads ranges that are missing. Those that are here already stay when something fails, those of this call go.
   *
   * @param onBytes called with the bytes (of the declared types) that have gone to the device since the last call
   */
  async load(
    missing: WeightPlaces['resident'],
    onBytes: (bytes: number) => void,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const throttle = new WriteThrottle(this.device);
    const made = new Map<string, DeviceBuffer>();
    try {
      for (const { key, label, declaration, storage, ...segment } of missing) {
        throwIfAborted(signal);
        const part = { declaration, storage, segments: [segment] };
        const [buffer] = await putWeight(this.device, part, this.provider, { label: () => label, onBytes, throttle });
        made.set(key, buffer!);
      }
      // Devices may tell only now that there was no room.
      await this.device.finish();
    } catch (error) {
      for (const buffer of made.values()) buffer.destroy();
      throw error;
    }
    for (const [key, buffer] of made) this.buffers.set(key, buffer);
  }
}

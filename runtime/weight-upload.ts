import { Flux2cError } from '../ir/diagnostics.js';
import { byteSize } from '../ir/dtype.js';
import type { WeightDeclaration } from '../ir/graph/graph.js';
import { printType } from '../ir/graph/types.js';
import type { StorageType } from '../ir/kernel/thread.js';
import type { Device, DeviceBuffer } from './device.js';
import { convertToStorage } from './host-array.js';
import type { WeightSegment } from './plan/storage-layout.js';
import type { WeightProvider } from './weight-provider.js';

// A device keeps staging copies of writes until they have run.
const maxUnfinishedBytes = 256 * 2 ** 20;

/** Waits now and then while weights are written. */
export class WriteThrottle {
  private unfinishedBytes = 0;

  constructor(private readonly device: Device) {}

  async add(bytes: number): Promise<void> {
    this.unfinishedBytes += bytes;
    if (this.unfinishedBytes < maxUnfinishedBytes) return;
    this.unfinishedBytes = 0;
    await this.device.finish();
  }
}

/** Consecutive segments of a weight: all of it, or some. */
export interface WeightPart {
  readonly declaration: WeightDeclaration;
  readonly storage: StorageType;
  readonly segments: readonly WeightSegment[];
}

export interface PutOptions {
  /** What the buffer of the n-th segment is called. */
  readonly label: (index: number) => string;
  /** Called with the bytes (of the declared type) that have gone to the device since the last call. */
  readonly onBytes: (bytes: number) => void;
  readonly throttle: WriteThrottle;
}

/**
 * Puts segments of a weight into buffers of their own.
 *
 * @throws F2C523 the provider gives another number of bytes, F2C50x no room; no buffer stays then
 */
export async function putWeight(
  device: Device,
  { declaration, storage, segments }: WeightPart,
  provider: WeightProvider,
  { label, onBytes, throttle }: PutOptions,
): Promise<readonly DeviceBuffer[]> {
  const { name, type } = declaration;
  const [start, end] = [segments[0]?.start ?? 0, segments.at(-1)?.end ?? 0];
  const elementBytes = byteSize(type.dtype);
  const range = { byteOffset: start * elementBytes, byteLength: (end - start) * elementBytes };
  const buffers: DeviceBuffer[] = [];
  try {
    segments.forEach(({ byteLength }, index) => buffers.push(device.createBuffer(byteLength, label(index))));
    const upload = new Upload(device, buffers, segments);
    let received = 0;
    for await (const piece of provider.read(declaration, range)) {
      received += piece.byteLength;
      if (received > range.byteLength) break;
      upload.push(convertToStorage(piece, type.dtype, storage));
      onBytes(piece.byteLength);
      await throttle.add(piece.byteLength);
    }
    if (received !== range.byteLength) {
      throw new Flux2cError('F2C523', 'a weight is not as long as it is declared', {
        where: [`@${name}`],
        expected: `${range.byteLength} bytes for ${printType(type)}`,
        found: received > range.byteLength ? 'more' : `${received} bytes`,
      });
    }
    upload.end();
  } catch (error) {
    for (const buffer of buffers) buffer.destroy();
    throw error;
  }
  return buffers;
}

/** Writes a stream of bytes over the segments of a weight, in whole words. */
class Upload {
  private rest = new Uint8Array(0);
  private segment = 0;
  private written = 0;

  constructor(
    private readonly device: Device,
    private readonly buffers: readonly DeviceBuffer[],
    private readonly segments: readonly WeightSegment[],
  ) {}

  push(bytes: Uint8Array): void {
    let all = bytes;
    if (this.rest.byteLength > 0) {
      all = new Uint8Array(this.rest.byteLength + bytes.byteLength);
      all.set(this.rest);
      all.set(bytes, this.rest.byteLength);
    }
    const whole = all.byteLength - (all.byteLength % 4);
    this.rest = all.slice(whole);
    this.write(all.subarray(0, whole));
  }

  /** The last word, padded with zeros. */
  end(): void {
    if (this.rest.byteLength === 0) return;
    const word = new Uint8Array(4);
    word.set(this.rest);
    this.rest = new Uint8Array(0);
    this.write(word);
  }

  private write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.byteLength;) {
      const buffer = this.buffers[this.segment];
      const room = (this.segments[this.segment]?.byteLength ?? 0) - this.written;
      if (buffer === undefined) throw new Error('internal: a weight has more bytes than its buffers');
      const length = Math.min(room, bytes.byteLength - at);
      this.device.write(buffer, this.written, bytes.subarray(at, at + length));
      at += length;
      this.written += length;
      if (this.written < (this.segments[this.segment]?.byteLength ?? 0)) continue;
      this.segment++;
      this.written = 0;
    }
  }
}

import { Flux2cError } from '../ir/diagnostics.js';
import { equalWeightSources } from '../ir/graph/equal.js';
import type { WeightDeclaration } from '../ir/graph/graph.js';
import { equalTypes, printType } from '../ir/graph/types.js';
import type { StorageType } from '../ir/kernel/thread.js';
import type { Device, DeviceBuffer } from './device.js';
import { convertToStorage } from './host-array.js';
import { segmentWeight } from './plan/storage-layout.js';
import type { WeightSegment } from './plan/storage-layout.js';
import { countWeightBytes } from './weight-provider.js';
import type { WeightProvider } from './weight-provider.js';

/** A weight on the device: its segments in order, one unless it is larger than a buffer. */
export interface LoadedWeight {
  readonly buffers: readonly DeviceBuffer[];
  readonly byteLength: number;
}

interface Entry {
  readonly declaration: WeightDeclaration;
  readonly storage: StorageType;
  readonly loaded: Promise<LoadedWeight>;
  users: number;
}

// A device keeps staging copies of writes until they have run.
const maxUnfinishedBytes = 256 * 2 ** 20;

/** The weights on one device, by name, so that the functions of a model share them. */
export class WeightStore {
  private readonly entries = new Map<string, Entry>();
  private unfinishedBytes = 0;

  constructor(private readonly device: Device) {}

  /**
   * Uploads a weight, or counts one more user of it. Every call must be paid back by `release`.
   *
   * @param onBytes called with the bytes (of the declared type) that have gone to the device since the last call
   * @throws F2C523 the provider gives another number of bytes than declared, F2C525 another weight has that name, F2C311
   *   it cannot be divided into the device's buffers, F2C50x no room
   */
  async acquire(
    declaration: WeightDeclaration,
    storage: StorageType,
    provider: WeightProvider,
    onBytes: (bytes: number) => void = () => undefined,
  ): Promise<LoadedWeight> {
    const { name } = declaration;
    let entry = this.entries.get(name);
    if (entry === undefined) {
      const loaded = this.load(declaration, storage, provider, onBytes);
      entry = { declaration, storage, loaded, users: 0 };
      this.entries.set(name, entry);
    } else {
      checkSame(entry, declaration, storage);
      onBytes(countWeightBytes(declaration));
    }
    entry.users++;
    try {
      return await entry.loaded;
    } catch (error) {
      if (this.entries.get(name) === entry) this.entries.delete(name);
      throw error;
    }
  }

  /** Gives a use back; the last one frees the memory. */
  async release(name: string): Promise<void> {
    const entry = this.entries.get(name);
    if (entry === undefined || --entry.users > 0) return;
    this.entries.delete(name);
    for (const buffer of (await entry.loaded).buffers) buffer.destroy();
  }

  private async load(
    declaration: WeightDeclaration,
    storage: StorageType,
    provider: WeightProvider,
    onBytes: (bytes: number) => void,
  ): Promise<LoadedWeight> {
    const { name, type } = declaration;
    const { target } = this.device;
    const shape = type.shape.map((dim) => dim.evaluate({}));
    const segments = segmentWeight(shape, storage, target);
    if (segments === undefined) {
      throw new Flux2cError('F2C311', 'a row of a weight is larger than the device allows buffers to be', {
        where: [`@${name}`],
        expected: `at most ${target.maxBufferBytes} bytes`,
        found: printType(type),
      });
    }
    const buffers: DeviceBuffer[] = [];
    try {
      segments.forEach(({ byteLength }, index) => {
        buffers.push(this.device.createBuffer(byteLength, segments.length === 1 ? name : `${name} part ${index}`));
      });
      const upload = new Upload(this.device, buffers, segments);
      let received = 0;
      for await (const piece of provider.read(declaration)) {
        received += piece.byteLength;
        if (received > countWeightBytes(declaration)) break;
        upload.push(convertToStorage(piece, type.dtype, storage));
        onBytes(piece.byteLength);
        await this.throttle(piece.byteLength);
      }
      if (received !== countWeightBytes(declaration)) {
        throw new Flux2cError('F2C523', 'a weight is not as long as it is declared', {
          where: [`@${name}`],
          expected: `${countWeightBytes(declaration)} bytes for ${printType(type)}`,
          found: received > countWeightBytes(declaration) ? 'more' : `${received} bytes`,
        });
      }
      upload.end();
    } catch (error) {
      for (const buffer of buffers) buffer.destroy();
      throw error;
    }
    return { buffers, byteLength: segments.reduce((sum, { byteLength }) => sum + byteLength, 0) };
  }

  private async throttle(bytes: number): Promise<void> {
    this.unfinishedBytes += bytes;
    if (this.unfinishedBytes < maxUnfinishedBytes) return;
    this.unfinishedBytes = 0;
    await this.device.finish();
  }
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

function checkSame(entry: Entry, declaration: WeightDeclaration, storage: StorageType): void {
  const { declaration: other } = entry;
  const isSame =
    entry.storage === storage &&
    equalTypes(other.type, declaration.type) &&
    equalWeightSources(other.source, declaration.source);
  if (isSame) return;
  throw new Flux2cError('F2C525', 'two functions have different weights of the same name', {
    where: [`@${declaration.name}`],
    expected: `${printType(other.type)} stored as ${entry.storage}, from the same tensors`,
    found: `${printType(declaration.type)} stored as ${storage}`,
    hint: 'Functions that share weights must come from one module; others need a store of their own.',
  });
}

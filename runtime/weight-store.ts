import { Flux2cError } from '../ir/diagnostics.js';
import { equalWeightSources } from '../ir/graph/equal.js';
import type { WeightDeclaration } from '../ir/graph/graph.js';
import { equalTypes, printType } from '../ir/graph/types.js';
import type { StorageType } from '../ir/kernel/thread.js';
import type { Device, DeviceBuffer } from './device.js';
import { segmentWeight } from './plan/storage-layout.js';
import { countWeightBytes } from './weight-provider.js';
import type { WeightProvider } from './weight-provider.js';
import { putWeight, WriteThrottle } from './weight-upload.js';

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

/** The weights on one device, by name, so that the functions of a model share them. */
export class WeightStore {
  private readonly entries = new Map<string, Entry>();
  private readonly throttle: WriteThrottle;

  constructor(private readonly device: Device) {
    this.throttle = new WriteThrottle(device);
  }

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
    const buffers = await putWeight(this.device, { declaration, storage, segments }, provider, {
      label: (index) => (segments.length === 1 ? name : `${name} part ${index}`),
      onBytes,
      throttle: this.throttle,
    });
    return { buffers, byteLength: segments.reduce((sum, { byteLength }) => sum + byteLength, 0) };
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

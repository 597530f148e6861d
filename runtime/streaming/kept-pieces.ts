import type { UploadBlock } from '../device.js';
import type { WeightRange } from '../weight-ranges.js';
import type { HostBlocks } from './host-blocks.js';

/** Ranges smaller than this share allocations, which the driver makes in pages at least. */
const smallBytes = 2 ** 20;
/** Of an allocation that ranges share. */
const slabBytes = 4 * 2 ** 20;

/** Where a range that stays in host memory has its place. */
export interface KeptPiece {
  readonly slab: Slab;
  readonly byteOffset: number;
  readonly byteLength: number;
  isFilled: boolean;
  /** While it is being read. */
  reading: Promise<void> | undefined;
}

interface Slab {
  readonly byteLength: number;
  readonly keys: readonly string[];
  block: UploadBlock | undefined;
}

/** Weights in host memory, by their ranges' keys. They outlast plans that keep them, too. */
export class KeptPieces {
  private readonly pieces = new Map<string, KeptPiece>();
  private slabs: Slab[] = [];

  constructor(private readonly blocks: HostBlocks) {}

  /** Exactly these from now on. Nothing may be reading or copying others. */
  hold(ranges: readonly WeightRange[]): void {
    const wanted = new Map(ranges.map((range) => [range.key, range]));
    // An allocation goes as a whole: what else it held is read again.
    for (const slab of this.slabs) if (!slab.keys.every((key) => wanted.has(key))) this.free(slab);
    this.slabs = this.slabs.filter(({ keys }) => keys.every((key) => wanted.has(key)));
    const missing = [...wanted.values()].filter(({ key }) => !this.pieces.has(key));
    let shared: WeightRange[] = [];
    let sharedBytes = 0;
    for (const range of missing) {
      if (range.byteLength >= smallBytes) {
        this.place([range]);
        continue;
      }
      shared.push(range);
      sharedBytes += range.byteLength;
      if (sharedBytes < slabBytes) continue;
      this.place(shared);
      [shared, sharedBytes] = [[], 0];
    }
    if (shared.length > 0) this.place(shared);
  }

  get(key: string): KeptPiece {
    const piece = this.pieces.get(key);
    if (piece === undefined) throw new Error(`internal: ${key} is not kept`);
    return piece;
  }

  /** The memory around a piece, made when the first of those who share it needs it. */
  blockOf({ slab }: KeptPiece): UploadBlock {
    return (slab.block ??= this.blocks.allocate(slab.byteLength));
  }

  private place(ranges: readonly WeightRange[]): void {
    const byteLength = ranges.reduce((sum, range) => sum + range.byteLength, 0);
    const slab: Slab = { byteLength, keys: ranges.map(({ key }) => key), block: undefined };
    let byteOffset = 0;
    for (const { key, byteLength: length } of ranges) {
      this.pieces.set(key, { slab, byteOffset, byteLength: length, isFilled: false, reading: undefined });
      byteOffset += length;
    }
    this.slabs.push(slab);
  }

  private free(slab: Slab): void {
    for (const key of slab.keys) this.pieces.delete(key);
    if (slab.block !== undefined) this.blocks.free(slab.block);
  }
}

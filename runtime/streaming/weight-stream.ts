import { Flux2cError } from '../../ir/diagnostics.js';
import type { Device, DeviceBuffer } from '../device.js';
import type { BoundPlan } from '../plan/bound-plan.js';
import type { WeightProvider } from '../weight-provider.js';
import type { WeightPlaces } from '../weight-ranges.js';
import { divideRange } from './divide-range.js';
import { HostBlocks } from './host-blocks.js';
import { KeptPieces } from './kept-pieces.js';
import { PieceSupply, type SupplyParts } from './piece-supply.js';
import { PieceTransfers } from './piece-transfers.js';
import { RangeReader } from './range-reader.js';
import { LaneUploader, WriteUploader } from './uploaders.js';

/** Pieces are read ahead in parts of so many bytes, where the budget has room for a few of them. */
const mostPartBytes = 16 * 2 ** 20;
const aheadParts = 4;

/** The weights of a session that are not on the device between their uses: where they are meanwhile, and how they come. */
export class WeightStream {
  private readonly blocks: HostBlocks;
  private readonly kept: KeptPieces;
  private readonly reader: RangeReader;
  private supply: PieceSupply | undefined;

  /** @param hostBytes most bytes of weights in host memory; undefined: as many as the plan keeps and reading ahead takes */
  constructor(
    private readonly device: Device,
    provider: WeightProvider,
    private readonly hostBytes: number | undefined,
  ) {
    this.blocks = new HostBlocks(device.uploads);
    this.kept = new KeptPieces(this.blocks);
    this.reader = new RangeReader(provider);
  }

  /** Bytes of host memory for weights, and the most there were. */
  get usage(): Pick<HostBlocks, 'bytes' | 'peakBytes'> {
    return this.blocks;
  }

  /**
   * Serves this plan from now on. What it keeps and the plan before kept is not read again.
   *
   * @throws F2C503 the budget of host memory does not hold what the plan needs
   */
  adopt(streamed: WeightPlaces['streamed']): void {
    this.supply?.destroy();
    this.supply = undefined;
    const ahead = planReadAhead(streamed, this.hostBytes);
    this.kept.hold(streamed.filter(({ piece }) => piece.isKept));
    const { kept, reader, blocks } = this;
    if (streamed.length > 0) this.supply = new PieceSupply({ streamed, kept, reader, blocks, ...ahead });
  }

  /** Begins the transfers of a run. Those of the run before must have ended, and the device must have finished. */
  start(bound: BoundPlan, buffers: readonly DeviceBuffer[], order: Iterator<number>): PieceTransfers {
    const { supply, device } = this;
    if (supply === undefined) throw new Error('internal: no plan that streams was adopted');
    const ringBytes = bound.buffers.reduce((sum, { kind, byteLength }) => sum + (kind === 'ring' ? byteLength : 0), 0);
    const uploader =
      device.uploads === undefined ? new WriteUploader(device, ringBytes) : new LaneUploader(device.uploads);
    const places = (bound.streamed ?? []).map(({ buffer, byteOffset }) => ({ buffer: buffers[buffer]!, byteOffset }));
    supply.start(order);
    return new PieceTransfers(supply, uploader, places);
  }

  /** Frees host memory. Nothing may be under way. */
  destroy(): void {
    this.supply?.destroy();
    this.supply = undefined;
    this.kept.hold([]);
  }
}

/** How much memory to read ahead into, in which parts. */
function planReadAhead(
  streamed: WeightPlaces['streamed'],
  hostBytes = Infinity,
): Pick<SupplyParts, 'readAheadBytes' | 'partBytes'> {
  const keptBytes = sumBytes(new Map(streamed.filter(({ piece }) => piece.isKept).map((range) => [range.key, range])));
  const read = new Map(streamed.filter(({ piece }) => !piece.isKept).map((range) => [range.key, range]));
  const room = hostBytes - keptBytes;
  const partBytes = Math.max(1, Math.min(mostPartBytes, Math.floor(room / aheadParts)));
  const parts = [...read.values()].flatMap((range) => divideRange(range, partBytes));
  const largest = parts.reduce((most, { byteLength }) => Math.max(most, byteLength), 0);
  if (largest > room || room < 0) {
    const rest = largest === 0 ? '' : `, and ${largest} of the largest part of those that are read each time`;
    throw new Flux2cError('F2C503', 'the budget of host memory does not hold the weights that the plan keeps there', {
      expected: `at most ${hostBytes} bytes`,
      found: `${keptBytes} bytes that are kept${rest}`,
      hint: 'Give a larger budget of host memory.',
    });
  }
  return { partBytes, readAheadBytes: Math.min(sumBytes(read), aheadParts * Math.max(largest, mostPartBytes), room) };
}

function sumBytes(ranges: ReadonlyMap<string, { readonly byteLength: number }>): number {
  let bytes = 0;
  for (const { byteLength } of ranges.values()) bytes += byteLength;
  return bytes;
}

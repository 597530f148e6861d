import { Flux2cError } from '../../ir/diagnostics.js';
import type { Device, DeviceBuffer } from '../device.js';
import type { BoundPlan } from '../plan/bound-plan.js';
import type { WeightProvider } from '../weight-provider.js';
import type { WeightPlaces } from '../weight-ranges.js';
import { HostBlocks } from './host-blocks.js';
import { KeptPieces } from './kept-pieces.js';
import { PieceSupply } from './piece-supply.js';
import { PieceTransfers } from './piece-transfers.js';
import { RangeReader } from './range-reader.js';
import { LaneWay, WriteWay } from './upload-ways.js';

/** Memory to read ahead into, where the budget leaves as much: few large pieces or many small ones. */
const aheadPieces = 3;
const leastAheadBytes = 64 * 2 ** 20;

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
    const readAheadBytes = planReadAhead(streamed, this.hostBytes);
    this.kept.hold(streamed.filter(({ piece }) => piece.isKept));
    const { kept, reader, blocks } = this;
    if (streamed.length > 0) this.supply = new PieceSupply({ streamed, kept, reader, blocks, readAheadBytes });
  }

  /** Begins the transfers of a run. Those of the run before must have ended, and the device must have finished. */
  start(bound: BoundPlan, buffers: readonly DeviceBuffer[], order: Iterator<number>): PieceTransfers {
    const { supply, device } = this;
    if (supply === undefined) throw new Error('internal: no plan that streams was adopted');
    const ringBytes = bound.buffers.reduce((sum, { kind, byteLength }) => sum + (kind === 'ring' ? byteLength : 0), 0);
    const way = device.uploads === undefined ? new WriteWay(device, ringBytes) : new LaneWay(device.uploads);
    const places = (bound.streamed ?? []).map(({ buffer, byteOffset }) => ({ buffer: buffers[buffer]!, byteOffset }));
    supply.start(order);
    return new PieceTransfers(supply, way, places);
  }

  /** Frees host memory. Nothing may be under way. */
  destroy(): void {
    this.supply?.destroy();
    this.supply = undefined;
    this.kept.hold([]);
  }
}

/** How much memory to read ahead into. */
function planReadAhead(streamed: WeightPlaces['streamed'], hostBytes = Infinity): number {
  const keptBytes = sumBytes(new Map(streamed.filter(({ piece }) => piece.isKept).map((range) => [range.key, range])));
  const read = new Map(streamed.filter(({ piece }) => !piece.isKept).map((range) => [range.key, range]));
  const largest = [...read.values()].reduce((most, { byteLength }) => Math.max(most, byteLength), 0);
  if (keptBytes + largest > hostBytes) {
    throw new Flux2cError('F2C503', 'the budget of host memory does not hold the weights that the plan keeps there', {
      expected: `at most ${hostBytes} bytes`,
      found: `${keptBytes} bytes that are kept${largest === 0 ? '' : `, ${largest} of the largest weight that is read each time`}`,
      hint: 'Plan with the budget of host memory that the session has.',
    });
  }
  const useful = Math.min(sumBytes(read), Math.max(aheadPieces * largest, leastAheadBytes));
  return Math.min(useful, hostBytes - keptBytes);
}

function sumBytes(ranges: ReadonlyMap<string, { readonly byteLength: number }>): number {
  let bytes = 0;
  for (const { byteLength } of ranges.values()) bytes += byteLength;
  return bytes;
}

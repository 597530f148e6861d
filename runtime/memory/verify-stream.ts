import { Flux2cError } from '../../ir/diagnostics.js';
import type { BoundPlan, BoundStep, PlannedBinding, PlannedLaunch } from '../plan/bound-plan.js';

/**
 * Proves that a plan which streams weights is right: its buffers stay within the budget, every launch finds in the ring the piece that it
 * reads, whole and arrived, and no piece comes into a place that a later launch still needs. Nothing is taken from how
 * the plan was made.
 *
 * @param budgetBytes for all buffers of the plan
 * @throws F2C316 naming the launch and what is wrong
 */
export function verifyStream(bound: BoundPlan, budgetBytes = Infinity): void {
  const bytes = bound.buffers.reduce((sum, { byteLength }) => sum + byteLength, 0);
  if (bytes > budgetBytes) reject([bound.plan.name], `at most ${budgetBytes} bytes`, `${bytes} bytes of buffers`);
  const ring = new Ring(bound);
  ring.steps(bound.steps, false);
}

/** A piece that was fetched into its place and that nothing has come into since. */
interface Present {
  readonly number: number;
  readonly from: number;
  readonly end: number;
  isArrived: boolean;
}

class Ring {
  /** By buffer, in the order of their places. */
  private readonly present = new Map<number, Present[]>();
  private readonly places = new Map<number, Present>();

  constructor(private readonly bound: BoundPlan) {
    const { streamed = [], buffers } = bound;
    for (const { weight, buffer, byteOffset, byteLength } of streamed) {
      const place = buffers[buffer];
      if (place?.kind === 'ring' && byteOffset >= 0 && byteOffset + byteLength <= place.byteLength) continue;
      reject([bound.plan.name, `@${weight}`], 'a place inside of a ring', `${byteLength} bytes at ${byteOffset} of ${place?.label}`); // prettier-ignore
    }
  }

  steps(steps: readonly BoundStep[], isLast: boolean): void {
    for (const step of steps) {
      switch (step.kind) {
        case 'loop':
          this.loop(step);
          break;
        case 'launch':
          for (const binding of step.bindings) this.read(binding, step);
          break;
        case 'copy':
          for (const { buffer } of [step.from, step.to]) {
            if (this.bound.buffers[buffer]?.kind === 'ring') reject([step.label], 'copies outside of the ring', `buffer ${buffer}`); // prettier-ignore
          }
          break;
        case 'fetch':
          if (step.isAhead && isLast) break;
          this.fetch(step.piece);
          break;
        case 'arrival': {
          const piece = this.places.get(step.piece);
          if (piece !== undefined) piece.isArrived = true;
        }
      }
    }
  }

  private fetch(number: number): void {
    const { buffer, byteOffset: from, byteLength } = this.bound.streamed![number]!;
    const end = from + byteLength;
    const pieces = this.present.get(buffer) ?? [];
    const first = firstBehind(pieces, from);
    let last = first;
    while (last < pieces.length && pieces[last]!.from < end) last++;
    const piece: Present = { number, from, end, isArrived: false };
    for (const gone of pieces.splice(first, last - first, piece)) this.places.delete(gone.number);
    this.present.set(buffer, pieces);
    this.places.set(number, piece);
  }

  /** Equal iterations leave what the second of them leaves; the last one fetches nothing ahead. */
  private loop(loop: Extract<BoundStep, { kind: 'loop' }>): void {
    const indices = Array.from({ length: loop.count }, (_, index) => index);
    for (const index of loop.isUniform ? [...new Set([...indices.slice(0, 2), ...indices.slice(-1)])] : indices) {
      this.steps(loop.iteration(index), index + 1 === loop.count);
    }
  }

  private read(binding: PlannedBinding, { label }: PlannedLaunch): void {
    if (this.bound.buffers[binding.buffer]?.kind !== 'ring') return;
    const where = [this.bound.plan.name, label];
    const { weight } = this.bound.plan.storages[binding.storage]!;
    const [begin, end] = [binding.byteOffset, binding.byteOffset + binding.byteLength];
    const pieces = this.present.get(binding.buffer) ?? [];
    const piece = pieces[firstBehind(pieces, begin)];
    const isIts = piece !== undefined && piece.from <= begin && end <= piece.end && this.bound.streamed![piece.number]!.weight === weight; // prettier-ignore
    if (binding.access !== 'read') reject(where, 'weights are read only', `${binding.access} of @${weight}`);
    if (!isIts) reject(where, `@${weight} in the ring`, 'another piece, or none');
    if (!piece.isArrived) reject(where, `@${weight} to have arrived`, 'a launch without an arrival before it');
  }
}

/** Index of the first piece that ends behind an offset. */
function firstBehind(pieces: readonly Present[], offset: number): number {
  let [low, high] = [0, pieces.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (pieces[middle]!.end <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

function reject(where: readonly string[], expected: string, found: string): never {
  throw new Flux2cError('F2C316', 'internal: a plan of memory is wrong', { where, expected, found });
}

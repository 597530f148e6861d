import type { BoundPlan } from '../plan/bound-plan.js';
import type { Phase } from './weight-uses.js';

/** Part of the host's budget that is for reading ahead, where not all streamed weights fit into it. */
const readAheadShare = 1 / 4;

/**
 * Which streamed weights the host keeps between fetches, within its budget: all of them where they fit, otherwise some of every loop's,
 * evenly, so that reads from files go on all the time. What a plan uses once is not kept.
 */
export function chooseKept(
  bound: BoundPlan,
  phases: readonly Phase[],
  isStreamed: (buffer: number) => boolean,
  hostBytes = Infinity,
): (buffer: number) => boolean {
  const bytesOf = (buffer: number): number => bound.buffers[buffer]!.byteLength;
  const looped = phases
    .filter(({ kind }) => kind === 'loop')
    .flatMap(({ uses }) => uses.map(({ buffer }) => buffer).filter(isStreamed));
  const total = looped.reduce((sum, buffer) => sum + bytesOf(buffer), 0);
  const kept = new Set<number>();
  const isAnyOnce = phases.some(({ kind, uses }) => kind !== 'loop' && uses.some(({ buffer }) => isStreamed(buffer)));
  // What is not kept is read into the same budget.
  const holdsAll = total <= hostBytes * (isAnyOnce ? 1 - readAheadShare : 1);
  const capacity = holdsAll ? total : hostBytes * (1 - readAheadShare);
  let [passed, taken] = [0, 0];
  for (const buffer of looped) {
    passed += bytesOf(buffer);
    if (taken + bytesOf(buffer) > Math.min(capacity, (capacity / total) * passed + bytesOf(buffer) / 2)) continue;
    kept.add(buffer);
    taken += bytesOf(buffer);
  }
  return (buffer) => kept.has(buffer);
}

/** Bytes of the streamed pieces that host memory keeps, each once however often a step uses it. */
export function countKeptBytes({ streamed = [] }: BoundPlan): number {
  const kept = streamed.filter(({ isKept }) => isKept);
  const byPiece = new Map(kept.map(({ weight, segment, byteLength }) => [`${weight} ${segment}`, byteLength]));
  return [...byPiece.values()].reduce((sum, bytes) => sum + bytes, 0);
}

/** Pieces that host memory has room for besides those that it keeps; undefined where nothing limits it. */
export function countReadAhead(bound: BoundPlan, hostBytes: number | undefined): number | undefined {
  if (hostBytes === undefined) return undefined;
  const room = hostBytes - countKeptBytes(bound);
  const largest = Math.max(1, ...(bound.streamed ?? []).map(({ isKept, byteLength }) => (isKept ? 0 : byteLength)));
  return Math.max(1, Math.floor(room / largest));
}

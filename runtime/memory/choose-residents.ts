import { launchSeconds, type DeviceCosts } from './device-costs.js';
import type { BoundPlan } from '../plan/bound-plan.js';
import type { Phase } from './weight-uses.js';

/** A buffer of weights that may stay or be streamed. */
export interface Candidate {
  readonly buffer: number;
  readonly byteLength: number;
  /** Part of its loop's launches, by time, that is over when it is used first: 0 to 1. */
  readonly time: number;
}

/**
 * Weights of loops, in the order of their use: those that a step needs again and again, so that it pays to keep some. The smallest,
 * together a sixty-fourth of all, are left out: copies of a few kilobytes cost more than their room.
 */
export function findCandidates(bound: BoundPlan, phases: readonly Phase[], costs: DeviceCosts): readonly Candidate[] {
  const small = findSmall(bound);
  return phases.flatMap(({ kind, steps, uses }) => {
    if (kind !== 'loop') return [];
    const ends: number[] = [];
    let total = 0;
    for (const step of steps) ends.push((total += step.kind === 'launch' ? launchSeconds(step, costs) : 0));
    return uses
      .filter(({ buffer }) => !small.has(buffer))
      .map(({ buffer, first }) => {
        return { buffer, byteLength: bound.buffers[buffer]!.byteLength, time: total > 0 ? (ends[first - 1] ?? 0) / total : 0 }; // prettier-ignore
      });
  });
}

/** Weights too small to be streamed. */
export function findSmall({ buffers }: BoundPlan): ReadonlySet<number> {
  const weights = buffers.flatMap(({ kind, byteLength }, buffer) =>
    kind === 'weight' ? [{ buffer, byteLength }] : [],
  );
  let left = weights.reduce((sum, { byteLength }) => sum + byteLength, 0) / 64;
  const small = new Set<number>();
  for (const { buffer, byteLength } of weights.sort((a, b) => a.byteLength - b.byteLength)) {
    left -= byteLength;
    if (left < 0 || byteLength > 2 ** 20) break;
    small.add(buffer);
  }
  return small;
}

/**
 * Which weights stay on the device, of so many bytes at most: spread so that what is streamed comes evenly, by the bytes of the weights or
 * by the time of the launches, and neither copies nor launches wait for long stretches of the other.
 */
export function chooseResidents(
  candidates: readonly Candidate[],
  capacity: number,
  by: 'bytes' | 'time',
): ReadonlySet<number> {
  const total = candidates.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const residents = new Set<number>();
  if (total === 0) return residents;
  const share = Math.min(1, capacity / total);
  let [streamed, passed, kept] = [0, 0, 0];
  for (const { buffer, byteLength, time } of candidates) {
    passed += byteLength;
    // What should have been streamed when this one is over, if copies went on evenly.
    const due = (1 - share) * (by === 'bytes' ? passed : time * total);
    const fits = kept + byteLength <= capacity;
    if (fits && streamed + byteLength / 2 > due) {
      residents.add(buffer);
      kept += byteLength;
    } else streamed += byteLength;
  }
  fillUp(candidates, residents, capacity - kept);
  return residents;
}

/** Rounding leaves some room: the largest that fit go there. */
function fillUp(candidates: readonly Candidate[], residents: Set<number>, room: number): void {
  const left = candidates.filter(({ buffer }) => !residents.has(buffer)).sort((a, b) => b.byteLength - a.byteLength);
  for (const { buffer, byteLength } of left) {
    if (byteLength > room) continue;
    residents.add(buffer);
    room -= byteLength;
  }
}

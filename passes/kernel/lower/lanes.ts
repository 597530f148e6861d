import type { Dim } from '../../../ir/dim.js';
import type { IndexTerm } from '../../../ir/kernel/tile.js';
import type { Coordinates } from './positions.js';

/**
 * How an index moves over the lanes of a vector along one axis: `deltas[v]` = index at lane v minus index at lane 0, and
 * the index at lane 0 modulo the vector's length where it is known.
 */
export interface LaneMotion {
  readonly deltas: readonly number[];
  readonly residue: number | undefined;
}

/**
 * Analyses an index polynomial over the `lanes` consecutive coordinates of a vector that starts at a multiple of `lanes`.
 * Undefined when the motion depends on the coordinates themselves.
 */
export function laneMotion(index: Dim, axis: string, lanes: number, at: Coordinates): LaneMotion | undefined {
  const deltas = deltasOf(index, axis, lanes, at);
  return deltas === undefined ? undefined : { deltas, residue: residueOf(index, axis, lanes, at) };
}

function deltasOf(index: Dim, axis: string, lanes: number, at: Coordinates): number[] | undefined {
  const total = new Array<number>(lanes).fill(0);
  for (const { symbols, coefficient } of index.monomials()) {
    let moving: number[] | undefined;
    for (const symbol of symbols) {
      const motion = symbolDeltas(symbol, axis, lanes, at);
      if (motion === undefined) return undefined;
      if (motion.every((delta) => delta === 0)) continue;
      if (moving !== undefined) return undefined;
      moving = motion;
    }
    if (moving === undefined) continue;
    // A moving factor times anything but a number moves by an amount that is not known here.
    if (symbols.length > 1) return undefined;
    moving.forEach((delta, lane) => (total[lane] = (total[lane] as number) + coefficient * delta));
  }
  return total;
}

function symbolDeltas(symbol: string, axis: string, lanes: number, at: Coordinates): number[] | undefined {
  const still = new Array<number>(lanes).fill(0);
  if (symbol === axis) return still.map((_, lane) => lane);
  const term = at.term(symbol);
  return term === undefined ? still : termDeltas(term, axis, lanes, at);
}

function termDeltas(term: IndexTerm, axis: string, lanes: number, at: Coordinates): number[] | undefined {
  const inner = deltasOf(term.kind === 'loaded' ? term.at : term.of, axis, lanes, at);
  if (inner === undefined) return undefined;
  if (inner.every((delta) => delta === 0)) return inner;
  if (term.kind === 'loaded') return undefined;
  const aligned = knownFactor(term.of, axis, lanes, at);
  if (term.kind === 'exclusive_or') {
    const power = aligned & -aligned;
    if (power <= term.mask || inner.some((delta) => delta < 0 || delta >= power)) return undefined;
    return inner.map((delta) => (delta ^ term.mask) - term.mask);
  }
  const by = term.by.constant;
  if (by === undefined) return undefined;
  if (aligned % by === 0) {
    return inner.map((delta) => (term.kind === 'floor' ? Math.floor(delta / by) : ((delta % by) + by) % by));
  }
  // The lane-0 value is a multiple of g, so inside a block of `by` it is at most by - g: smaller steps do not cross.
  const g = greatestCommonDivisor(aligned, by);
  if (inner.some((delta) => delta < 0 || delta >= g)) return undefined;
  return term.kind === 'floor' ? inner.map(() => 0) : inner;
}

/** A factor of the index at lane 0. */
export function knownFactor(index: Dim, axis: string, lanes: number, at: Coordinates): number {
  let factor = 0;
  for (const { symbols, coefficient } of index.monomials()) {
    let product = Math.abs(coefficient);
    for (const symbol of symbols) product *= symbolFactor(symbol, axis, lanes, at);
    factor = greatestCommonDivisor(factor, product);
  }
  return factor === 0 ? 2 ** 20 : factor;
}

function symbolFactor(symbol: string, axis: string, lanes: number, at: Coordinates): number {
  if (symbol === axis) return lanes;
  const term = at.term(symbol);
  if (term === undefined || term.kind === 'loaded') return 1;
  const inner = knownFactor(term.of, axis, lanes, at);
  switch (term.kind) {
    case 'exclusive_or':
      // Only low bits that are 0 on both sides stay 0.
      return greatestCommonDivisor(inner & -inner, term.mask & -term.mask);
    case 'floor': {
      const by = term.by.constant;
      return by !== undefined && inner % by === 0 ? inner / by : 1;
    }
    case 'modulo': {
      let by = 0;
      for (const { coefficient } of term.by.monomials()) by = greatestCommonDivisor(by, Math.abs(coefficient));
      return greatestCommonDivisor(inner, by);
    }
  }
}

function residueOf(index: Dim, axis: string, lanes: number, at: Coordinates): number | undefined {
  let residue = 0;
  for (const { symbols, coefficient } of index.monomials()) {
    if (symbols.length === 0) {
      residue += coefficient;
      continue;
    }
    let factor = Math.abs(coefficient);
    for (const symbol of symbols) factor *= symbolFactor(symbol, axis, lanes, at);
    if (factor % lanes === 0) continue;
    const only = symbols.length === 1 ? at.term(symbols[0] as string) : undefined;
    if (only?.kind !== 'exclusive_or' || knownFactor(only.of, axis, lanes, at) % lanes !== 0) return undefined;
    residue += coefficient * (only.mask & (lanes - 1));
  }
  return ((residue % lanes) + lanes) % lanes;
}

/** No lane is elsewhere than lane 0. */
export function isStill(deltas: readonly number[]): boolean {
  return deltas.every((delta) => delta === 0);
}

/** Lanes inside the aligned group of as many elements that holds lane 0, when all lanes fall into it. */
export function groupLanes({ deltas, residue }: LaneMotion): number[] | undefined {
  if (residue === undefined) return undefined;
  const lanes = deltas.map((delta) => delta + residue);
  return lanes.every((lane) => lane >= 0 && lane < deltas.length) ? lanes : undefined;
}

/** Lane v is v elements after lane 0, which is at a multiple of the vector's length. */
export function isWholeVector(motion: LaneMotion | undefined): boolean {
  return motion !== undefined && motion.residue === 0 && motion.deltas.every((delta, lane) => delta === lane);
}

export function greatestCommonDivisor(a: number, b: number): number {
  while (b !== 0) [a, b] = [b, a % b];
  return a;
}

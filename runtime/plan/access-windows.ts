import { unreachable } from '../../ir/diagnostics.js';
import type { Dim } from '../../ir/dim.js';
import type { AccessMap } from '../../ir/kernel/access.js';
import type { IndexCondition, IndexTerm } from '../../ir/kernel/tile.js';

/** Integers from `low` to `high`, both included. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** Coordinates of grid x, y and z. */
export type GridRanges = readonly [Interval, Interval, Interval];

/**
 * Bounds the elements of its buffers that a part of a kernel's grid may touch, for given sizes, by interval arithmetic over
 * its access polynomials. A larger part never has smaller bounds. Quotients keep an interval tight, remainders where the
 * interval stays inside one period: rows of a picture with their halo, heads of a product's columns.
 */
export class AccessWindows {
  private readonly slots = new Map<string, number>();
  private readonly axes: readonly { readonly kind: string; readonly last: number }[];
  private readonly terms: readonly Term[];
  private readonly buffers: readonly (readonly NumericAccess[])[];

  /** @param parameters values of the kernel's parameters */
  constructor(map: AccessMap, parameters: ReadonlyMap<string, number>) {
    for (const { name } of [...map.axes, ...map.terms]) this.slots.set(name, this.slots.size);
    const numeric = (dim: Dim): Polynomial => toPolynomial(dim, this.slots, parameters);
    this.axes = map.axes.map(({ kind, extent }) => ({ kind, last: Math.max(0, numeric(extent).constant - 1) }));
    this.terms = map.terms.map((term) => toTerm(term, numeric));
    const conditionsOf = (conditions: readonly IndexCondition[]): Polynomial[] =>
      // left < right as left - right < 0; left >= right as right - left - 1 < 0.
      conditions.map(({ kind, left, right }) => numeric(kind === 'less' ? left.sub(right) : right.sub(left).sub(1)));
    this.buffers = map.buffers.map((accesses) =>
      accesses.map(({ index, conditions }) => ({ index: numeric(index), negative: conditionsOf(conditions) })),
    );
  }

  /** First and last element of a buffer, from the start of its view; undefined when none is touched. */
  elementsOf(buffer: number, grid: GridRanges): Interval | undefined {
    let low = Infinity;
    let high = -Infinity;
    for (const { index, negative } of this.buffers[buffer] ?? []) {
      const values = this.valuesFor(grid, negative);
      if (values === undefined) continue;
      const touched = rangeOf(index, values);
      low = Math.min(low, touched.low);
      high = Math.max(high, touched.high);
    }
    return low <= high ? { low, high } : undefined;
  }

  /** Intervals of axes and terms, the axes narrowed to where the conditions can hold; undefined when they cannot. */
  private valuesFor(grid: GridRanges, negative: readonly Polynomial[]): readonly Interval[] | undefined {
    const values: Interval[] = this.axes.map(({ kind, last }) => {
      if (kind === 'grid_x') return grid[0];
      if (kind === 'grid_y') return grid[1];
      return kind === 'grid_z' ? grid[2] : { low: 0, high: last };
    });
    const addTerms = (): void => this.terms.forEach((term, at) => (values[this.axes.length + at] = term(values)));
    addTerms();
    if (negative.length === 0) return values;
    for (const bound of negative) {
      if (rangeOf(bound, values).low >= 0) return undefined;
      for (const { coefficient, slots } of bound.monomials) {
        const slot = slots[0] as number;
        if (slots.length > 1 || slot >= this.axes.length) continue;
        const own = values[slot] as Interval;
        const rest = rangeOf(bound, values).low - (coefficient > 0 ? coefficient * own.low : coefficient * own.high);
        // coefficient · axis < -rest
        const edge = (-rest - 1) / coefficient;
        const narrowed =
          coefficient > 0
            ? { low: own.low, high: Math.min(own.high, Math.floor(edge)) }
            : { low: Math.max(own.low, Math.ceil(edge)), high: own.high };
        if (narrowed.low > narrowed.high) return undefined;
        values[slot] = narrowed;
      }
    }
    addTerms();
    return values;
  }
}

interface Polynomial {
  readonly constant: number;
  readonly monomials: readonly { readonly coefficient: number; readonly slots: readonly number[] }[];
}

interface NumericAccess {
  readonly index: Polynomial;
  /** The element is touched only where all of these are below 0. */
  readonly negative: readonly Polynomial[];
}

type Term = (values: readonly Interval[]) => Interval;

function toPolynomial(
  dim: Dim,
  slots: ReadonlyMap<string, number>,
  parameters: ReadonlyMap<string, number>,
): Polynomial {
  let constant = 0;
  const monomials: { coefficient: number; slots: readonly number[] }[] = [];
  for (const { symbols, coefficient } of dim.monomials()) {
    let product = coefficient;
    const own: number[] = [];
    for (const symbol of symbols) {
      const slot = slots.get(symbol);
      const value = parameters.get(symbol);
      if (slot !== undefined) own.push(slot);
      else if (value !== undefined) product *= value;
      else throw new Error(`internal: nothing gives ${symbol} of the index ${dim.text}`);
    }
    if (own.length === 0) constant += product;
    else if (product !== 0) monomials.push({ coefficient: product, slots: own });
  }
  return { constant, monomials };
}

function rangeOf({ constant, monomials }: Polynomial, values: readonly Interval[]): Interval {
  let low = constant;
  let high = constant;
  for (const { coefficient, slots } of monomials) {
    let product: Interval = { low: coefficient, high: coefficient };
    for (const slot of slots) product = multiply(product, values[slot] as Interval);
    low += product.low;
    high += product.high;
  }
  return { low, high };
}

function multiply(a: Interval, b: Interval): Interval {
  const corners = [a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high];
  return { low: Math.min(...corners), high: Math.max(...corners) };
}

function toTerm(term: IndexTerm, numeric: (dim: Dim) => Polynomial): Term {
  switch (term.kind) {
    case 'floor':
    case 'modulo': {
      const [of, by] = [numeric(term.of), numeric(term.by)];
      const apply = term.kind === 'floor' ? floorRange : moduloRange;
      return (values) => {
        const divisor = rangeOf(by, values);
        // A size of 0 divides nothing that is touched.
        return apply(rangeOf(of, values), { low: Math.max(1, divisor.low), high: Math.max(1, divisor.high) });
      };
    }
    case 'exclusive_or': {
      const of = numeric(term.of);
      // Bits up to the mask's highest change; those above stay.
      const block = 2 ** (32 - Math.clz32(term.mask));
      return (values) => {
        const { low, high } = rangeOf(of, values);
        return { low: Math.floor(low / block) * block, high: Math.floor(high / block) * block + block - 1 };
      };
    }
    case 'loaded': {
      const limit = numeric(term.limit);
      return (values) => ({ low: 0, high: Math.max(0, rangeOf(limit, values).high - 1) });
    }
    default:
      return unreachable(term, 'index term');
  }
}

function floorRange(of: Interval, by: Interval): Interval {
  // Kernels truncate, which is more than the floor of a negative number.
  return {
    low: Math.floor(of.low / (of.low < 0 ? by.low : by.high)),
    high: of.high < 0 ? Math.ceil(of.high / by.high) : Math.floor(of.high / by.low),
  };
}

function moduloRange(of: Interval, by: Interval): Interval {
  const isOnePeriod = by.low === by.high && of.low >= 0 && Math.floor(of.low / by.low) === Math.floor(of.high / by.low);
  if (isOnePeriod) return { low: of.low % by.low, high: of.high % by.low };
  // Remainders are truncated, so a negative number has a negative one.
  return { low: of.low < 0 ? 1 - by.high : 0, high: by.high - 1 };
}

import { Dim } from '../../../ir/dim.js';
import type { DimLike } from '../../../ir/dim.js';
import type { Axis, IndexTerm } from '../../../ir/kernel/tile.js';

/**
 * Makes index polynomials for one kernel. Quotients and remainders that the ranges decide disappear; those that stay
 * become terms, shared by their text; `q·S + r` of a quotient and remainder by S is put together again, so a flattened
 * index over a dense tensor costs nothing.
 */
export class IndexSpace {
  private readonly termList: IndexTerm[] = [];
  private readonly byKey = new Map<string, IndexTerm>();
  private readonly extents = new Map<string, Dim>();

  constructor(axes: readonly Axis[]) {
    for (const axis of axes) this.extents.set(axis.name, axis.extent);
  }

  get terms(): readonly IndexTerm[] {
    return this.termList;
  }

  floor(of: Dim, by: Dim): Dim {
    if (by.constant === 1) return of;
    const { whole, rest } = this.split(of, by);
    if (rest === undefined) return whole;
    const inner = this.termOf(rest);
    if (inner?.kind === 'floor') return whole.add(this.floor(inner.of, inner.by.mul(by)));
    return whole.add(this.term('floor', rest, by));
  }

  modulo(of: Dim, by: Dim): Dim {
    if (by.constant === 1) return Dim.of(0);
    const { rest, inside } = this.split(of, by);
    if (rest === undefined) return inside;
    return this.term('modulo', rest, by);
  }

  exclusiveOr(of: Dim, mask: number): Dim {
    const lowest = mask === 1 ? this.split(of, Dim.of(2)) : undefined;
    if (lowest !== undefined && lowest.rest === undefined && lowest.inside.constant !== undefined) {
      return of.add(1 - 2 * lowest.inside.constant);
    }
    const key = `xor ${mask} ${of.text}`;
    return this.intern(key, (name) => ({ name, kind: 'exclusive_or', of, mask }));
  }

  loaded(buffer: string, at: Dim, limit: Dim): Dim {
    const key = `loaded ${buffer} ${at.text} ${limit.text}`;
    return this.intern(key, (name) => ({ name, kind: 'loaded', buffer, at, limit }));
  }

  /** Coordinates of a flat row-major index; the outermost needs no remainder. */
  delinearize(flat: Dim, shape: readonly Dim[]): Dim[] {
    const coordinates: Dim[] = [];
    let rest = flat;
    for (let place = shape.length - 1; place > 0; place--) {
      const size = shape[place] as Dim;
      coordinates.unshift(this.modulo(rest, size));
      rest = this.floor(rest, size);
    }
    if (shape.length > 0) coordinates.unshift(shape[0]?.constant === 1 ? Dim.of(0) : rest);
    return coordinates;
  }

  /** Sum of coordinate times stride. */
  linearize(coordinates: readonly Dim[], strides: readonly DimLike[]): Dim {
    let sum = Dim.of(0);
    coordinates.forEach((coordinate, place) => (sum = sum.add(coordinate.mul(strides[place] as DimLike))));
    return this.recombine(sum);
  }

  /** `of = whole·by + inside` when `rest` is undefined; otherwise floor(of/by) = whole + floor(rest/by). */
  private split(of: Dim, by: Dim): { readonly whole: Dim; readonly inside: Dim; readonly rest: Dim | undefined } {
    let whole = Dim.of(0);
    let rest = Dim.of(0);
    for (const { symbols, coefficient } of of.monomials()) {
      const monomial = symbols.reduce((product, symbol) => product.mul(Dim.symbol(symbol)), Dim.of(coefficient));
      const quotient = monomial.divideExactly(by);
      if (quotient !== undefined) whole = whole.add(quotient);
      else rest = rest.add(monomial);
    }
    const exact = rest.divideExactly(by);
    if (exact !== undefined) return { whole: whole.add(exact), inside: Dim.of(0), rest: undefined };
    if (!isNeverNegative(rest)) {
      // Quotients are truncated, so what is left to divide must not be negative where the whole is not.
      const size = by.constant;
      if (size === undefined) return { whole: Dim.of(0), inside: of, rest: of };
      const lowered = floorCoefficients(rest, size);
      whole = whole.add(lowered);
      rest = rest.sub(lowered.mul(size));
    }
    const largest = this.largest(rest);
    const fits = largest !== undefined && isNeverNegative(by.sub(1).sub(largest));
    return fits ? { whole, inside: rest, rest: undefined } : { whole, inside: rest, rest };
  }

  /** An upper bound of a polynomial whose parts are all non-negative, as a polynomial over parameters. */
  private largest(index: Dim): Dim | undefined {
    let bound = Dim.of(0);
    for (const { symbols, coefficient } of index.monomials()) {
      if (coefficient < 0) return undefined;
      let product = Dim.of(coefficient);
      for (const symbol of symbols) {
        const extent = this.extents.get(symbol);
        const term = this.byName(symbol);
        const factor =
          extent !== undefined
            ? extent.sub(1)
            : term?.kind === 'modulo'
              ? term.by.sub(1)
              : term === undefined
                ? Dim.symbol(symbol)
                : undefined;
        if (factor === undefined) return undefined;
        product = product.mul(factor);
      }
      bound = bound.add(product);
    }
    return bound;
  }

  /** Replaces P·floor(e, s) + Q·modulo(e, s) by Q·e where P = Q·s. */
  private recombine(index: Dim): Dim {
    for (const symbol of index.symbols) {
      const remainder = this.byName(symbol);
      if (remainder?.kind !== 'modulo') continue;
      const quotient = this.floor(remainder.of, remainder.by);
      const factor = multiplierOf(index, symbol);
      if (factor === undefined) continue;
      const want = quotient.mul(factor).mul(remainder.by);
      // The quotient's terms must all be there; taking them out must not leave any of their symbols behind.
      const without = index.sub(want).sub(Dim.symbol(symbol).mul(factor));
      const left = new Set(without.symbols);
      if (quotient.symbols.some((name) => this.byName(name) !== undefined && left.has(name)) || left.has(symbol))
        continue;
      const axisLeft = quotient.symbols.some(
        (name) => this.byName(name) === undefined && left.has(name) && !index.symbols.includes(name),
      );
      if (axisLeft) continue;
      return this.recombine(without.add(remainder.of.mul(factor)));
    }
    return index;
  }

  private term(kind: 'floor' | 'modulo', of: Dim, by: Dim): Dim {
    return this.intern(`${kind} ${of.text} ${by.text}`, (name) => ({ name, kind, of, by }));
  }

  private termOf(index: Dim): IndexTerm | undefined {
    const [only, ...others] = index.monomials();
    if (only === undefined || others.length > 0 || only.coefficient !== 1 || only.symbols.length !== 1)
      return undefined;
    return this.byName(only.symbols[0] as string);
  }

  private byName(name: string): IndexTerm | undefined {
    return this.termList.find((term) => term.name === name);
  }

  private intern(key: string, make: (name: string) => IndexTerm): Dim {
    let term = this.byKey.get(key);
    if (term === undefined) {
      term = make(`t${this.termList.length}`);
      this.termList.push(term);
      this.byKey.set(key, term);
    }
    return Dim.symbol(term.name);
  }
}

/** Sizes are never negative, so a polynomial without a negative coefficient is not either. */
export function isNeverNegative(value: Dim): boolean {
  return value.monomials().every(({ coefficient }) => coefficient >= 0);
}

/** Each coefficient divided by the size and rounded down. */
function floorCoefficients(index: Dim, size: number): Dim {
  return index.monomials().reduce((sum, { symbols, coefficient }) => {
    const quotient = Dim.of(Math.floor(coefficient / size));
    return sum.add(symbols.reduce((product, symbol) => product.mul(Dim.symbol(symbol)), quotient));
  }, Dim.of(0));
}

/** The polynomial the symbol is multiplied with, when it appears only to the first power. */
function multiplierOf(index: Dim, symbol: string): Dim | undefined {
  const rest = index.substitute({ [symbol]: 0 });
  const factor = index.sub(rest).divideExactly(Dim.symbol(symbol));
  return factor === undefined || factor.symbols.includes(symbol) ? undefined : factor;
}

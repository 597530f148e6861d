import { Flux2cError } from './diagnostics.js';

/**
 * A dimension: a polynomial with integer coefficients over named symbols (`img`, `txt`, `h`, `4*h*w + 512`).
 * Canonical, so two equal dimensions have equal `text`. Immutable.
 */
export class Dim {
  /** Monomials by key (symbols sorted, joined with `*`; the constant's key is ''), coefficients never 0. */
  private constructor(
    private readonly terms: ReadonlyMap<string, number>,
    /** Canonical text, as printed and parsed: `img+txt`, `4*h*w`, `-1+2*h`. */
    readonly text: string,
  ) {}

  static of(value: DimLike): Dim {
    if (value instanceof Dim) return value;
    if (typeof value === 'number') {
      if (!Number.isSafeInteger(value)) throw new Flux2cError('F2C101', `a dimension must be an integer, got ${value}`);
      return Dim.fromTerms(new Map([['', value]]));
    }
    return parseDim(value);
  }

  static symbol(name: string): Dim {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) throw new Flux2cError('F2C101', `'${name}' is no name for a dimension`);
    return Dim.fromTerms(new Map([[name, 1]]));
  }

  private static fromTerms(terms: ReadonlyMap<string, number>): Dim {
    const kept = [...terms].filter(([, coefficient]) => coefficient !== 0).sort(([a], [b]) => compareKeys(a, b));
    return new Dim(new Map(kept), printTerms(kept));
  }

  /** The value when no symbol is left, otherwise undefined. */
  get constant(): number | undefined {
    if (this.terms.size === 0) return 0;
    return this.terms.size === 1 ? this.terms.get('') : undefined;
  }

  get symbols(): readonly string[] {
    const names = new Set<string>();
    for (const key of this.terms.keys()) if (key !== '') for (const name of key.split('*')) names.add(name);
    return [...names].sort();
  }

  equals(other: DimLike): boolean {
    return this.text === Dim.of(other).text;
  }

  add(other: DimLike): Dim {
    const sum = new Map(this.terms);
    for (const [key, value] of Dim.of(other).terms) sum.set(key, (sum.get(key) ?? 0) + value);
    return Dim.fromTerms(sum);
  }

  sub(other: DimLike): Dim {
    return this.add(Dim.of(other).mul(-1));
  }

  mul(other: DimLike): Dim {
    const product = new Map<string, number>();
    for (const [keyA, a] of this.terms) {
      for (const [keyB, b] of Dim.of(other).terms) {
        const key = joinKeys(keyA, keyB);
        product.set(key, (product.get(key) ?? 0) + a * b);
      }
    }
    return Dim.fromTerms(product);
  }

  /**
   * Quotient by another dimension when it is exact (`6*h*w / 2*h = 3*w`), otherwise undefined.
   * Exact for a monomial divisor; a polynomial divisor divides only itself times an integer or monomial it is a factor of.
   */
  divideExactly(other: DimLike): Dim | undefined {
    const divisor = Dim.of(other);
    if (divisor.terms.size === 0) return undefined;
    if (divisor.terms.size > 1) {
      // Leading-term long division; exact or refused.
      let rest: Dim = this as Dim;
      let quotient = Dim.of(0);
      const [leadKey, leadValue] = [...divisor.terms].sort(([a], [b]) => compareLeading(b, a))[0] as [string, number];
      const lead = Dim.fromTerms(new Map([[leadKey, leadValue]]));
      while (rest.terms.size > 0) {
        const [key, value] = [...rest.terms].sort(([a], [b]) => compareLeading(b, a))[0] as [string, number];
        const step = Dim.fromTerms(new Map([[key, value]])).divideExactly(lead);
        if (step === undefined) return undefined;
        quotient = quotient.add(step);
        rest = rest.sub(step.mul(divisor));
        if (quotient.terms.size > 64) return undefined;
      }
      return quotient;
    }
    const [divisorKey, divisorValue] = [...divisor.terms][0] as [string, number];
    const quotient = new Map<string, number>();
    for (const [key, value] of this.terms) {
      const rest = removeKey(key, divisorKey);
      if (rest === undefined || value % divisorValue !== 0) return undefined;
      quotient.set(rest, value / divisorValue);
    }
    return Dim.fromTerms(quotient);
  }

  /** floor(this / divisor) when it is a polynomial again (only the constant may leave a rest), otherwise undefined. */
  floorDivide(divisor: number): Dim | undefined {
    const quotient = new Map<string, number>();
    for (const [key, value] of this.terms) {
      if (key !== '' && value % divisor !== 0) return undefined;
      quotient.set(key, Math.floor(value / divisor));
    }
    return Dim.fromTerms(quotient);
  }

  /** True when every binding of the symbols to integers gives a multiple of `divisor`. */
  isMultipleOf(divisor: number): boolean {
    for (const value of this.terms.values()) if (value % divisor !== 0) return false;
    return true;
  }

  /** The value for the given sizes; an unbound symbol is an error that names it. */
  evaluate(sizes: DimBinding): number {
    let total = 0;
    for (const [key, coefficient] of this.terms) {
      let product = coefficient;
      if (key !== '') {
        for (const name of key.split('*')) {
          const size = sizes[name];
          if (size === undefined) {
            throw new Flux2cError('F2C102', `the size '${name}' is not known`, { found: `dimension ${this.text}` });
          }
          product *= size;
        }
      }
      total += product;
    }
    return total;
  }

  /** Replaces symbols by dimensions; symbols without a replacement stay. */
  substitute(replacements: Readonly<Record<string, DimLike>>): Dim {
    let result = Dim.of(0);
    for (const [key, coefficient] of this.terms) {
      let product = Dim.of(coefficient);
      if (key !== '') {
        for (const name of key.split('*')) product = product.mul(replacements[name] ?? Dim.symbol(name));
      }
      result = result.add(product);
    }
    return result;
  }

  /** [monomial's symbols, coefficient], the constant with no symbols; for code generators. */
  monomials(): readonly { readonly symbols: readonly string[]; readonly coefficient: number }[] {
    return [...this.terms].map(([key, coefficient]) => ({ symbols: key === '' ? [] : key.split('*'), coefficient }));
  }

  toString(): string {
    return this.text;
  }

  toJSON(): number | string {
    return this.constant ?? this.text;
  }
}

/** What the builder takes for a dimension: a number, `'img'`, `'img+txt'`, `'4*h*w'` or a `Dim`. */
export type DimLike = number | string | Dim;

/** Values of the symbols. */
export type DimBinding = Readonly<Record<string, number>>;

export function parseDim(text: string): Dim {
  const compact = text.replace(/\s+/g, '');
  const pattern = /([+-]?)([^+-]+)/gy;
  let result = Dim.of(0);
  let end = 0;
  for (let match = pattern.exec(compact); match !== null; match = pattern.exec(compact)) {
    let product = Dim.of(match[1] === '-' ? -1 : 1);
    for (const factor of (match[2] as string).split('*')) {
      product = product.mul(/^[0-9]+$/.test(factor) ? Number(factor) : Dim.symbol(factor));
    }
    if (end > 0 && match[1] === '') break;
    result = result.add(product);
    end = pattern.lastIndex;
  }
  if (end !== compact.length || compact === '') {
    throw new Flux2cError('F2C101', `'${text}' is no dimension`, { expected: 'a sum of products like 4*h*w+512' });
  }
  return result;
}

function printTerms(terms: readonly (readonly [string, number])[]): string {
  if (terms.length === 0) return '0';
  return terms
    .map(([key, value], index) => {
      const magnitude = Math.abs(value);
      const body = key === '' ? `${magnitude}` : magnitude === 1 ? key : `${magnitude}*${key}`;
      return `${value < 0 ? '-' : index > 0 ? '+' : ''}${body}`;
    })
    .join('');
}

/** Constant last, then alphabetical: `img+txt`, `2*h-1`. */
function compareKeys(a: string, b: string): number {
  if (a === b) return 0;
  if (a === '') return 1;
  if (b === '') return -1;
  return a < b ? -1 : 1;
}

/** Degree first, then alphabetical: a monomial order, so that long division ends. */
function compareLeading(a: string, b: string): number {
  const degree = (key: string): number => (key === '' ? 0 : key.split('*').length);
  return degree(a) - degree(b) || (a < b ? -1 : a > b ? 1 : 0);
}

function joinKeys(a: string, b: string): string {
  if (a === '') return b;
  if (b === '') return a;
  return [...a.split('*'), ...b.split('*')].sort().join('*');
}

function removeKey(key: string, factor: string): string | undefined {
  if (factor === '') return key;
  const names = key === '' ? [] : key.split('*');
  for (const name of factor.split('*')) {
    const at = names.indexOf(name);
    if (at < 0) return undefined;
    names.splice(at, 1);
  }
  return names.join('*');
}

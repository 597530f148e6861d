import { Flux2cError } from './diagnostics.js';

/**
 * A dimension: a polynomial with integer coefficients over named symbols (`img`, `txt`, `h`, `4*h*w + 512`).
 * Canonical, so two equal dimensions have equal `text`. Immutable.
 */
export class Dim {
  // What is derived from the terms is made when it is first asked for: most polynomials are steps on the way to others.
  #text: string | undefined;
  #symbols: readonly string[] | undefined;

  /** Monomials in the order of `compareKeys`, each once, coefficients never 0. */
  private constructor(private readonly terms: readonly Term[]) {}

  static of(value: DimLike): Dim {
    if (value instanceof Dim) return value;
    if (typeof value === 'number') {
      if (!Number.isSafeInteger(value)) throw new Flux2cError('F2C101', `a dimension must be an integer, got ${value}`);
      if (value === 0) return Dim.zero;
      return value === 1 ? Dim.one : new Dim([{ key: '', value }]);
    }
    return parseDim(value);
  }

  static symbol(name: string): Dim {
    const known = Dim.named.get(name);
    if (known !== undefined) return known;
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) throw new Flux2cError('F2C101', `'${name}' is no name for a dimension`);
    const made = new Dim([{ key: name, value: 1 }]);
    Dim.named.set(name, made);
    return made;
  }

  private static readonly zero = new Dim([]);
  private static readonly one = new Dim([{ key: '', value: 1 }]);
  private static readonly named = new Map<string, Dim>();

  private static fromTerms(terms: ReadonlyMap<string, number>): Dim {
    const kept: Term[] = [];
    for (const [key, value] of terms) if (value !== 0) kept.push({ key, value });
    return kept.length === 0 ? Dim.zero : new Dim(kept.sort((a, b) => compareKeys(a.key, b.key)));
  }

  /** Canonical text, as printed and parsed: `img+txt`, `4*h*w`, `2*h-1`. */
  get text(): string {
    return (this.#text ??= printTerms(this.terms));
  }

  /** The value when no symbol is left, otherwise undefined. */
  get constant(): number | undefined {
    if (this.terms.length > 1) return undefined;
    const [only] = this.terms;
    if (only === undefined) return 0;
    return only.key === '' ? only.value : undefined;
  }

  /** Sorted, each once. */
  get symbols(): readonly string[] {
    return (this.#symbols ??= this.collectSymbols());
  }

  private collectSymbols(): readonly string[] {
    const names = this.terms.flatMap(({ key }) => factorsOf(key));
    return names.length < 2 ? names : [...new Set(names)].sort();
  }

  equals(other: DimLike): boolean {
    const terms = Dim.of(other).terms;
    return (
      this.terms === terms ||
      (this.terms.length === terms.length &&
        this.terms.every(({ key, value }, place) => key === terms[place]?.key && value === terms[place].value))
    );
  }

  /** Merges the two sorted lists. */
  add(other: DimLike): Dim {
    const addend = Dim.of(other);
    if (addend.terms.length === 0) return this;
    if (this.terms.length === 0) return addend;
    const sum: Term[] = [];
    let left = 0;
    let right = 0;
    while (left < this.terms.length && right < addend.terms.length) {
      const a = this.terms[left] as Term;
      const b = addend.terms[right] as Term;
      const order = compareKeys(a.key, b.key);
      if (order <= 0) left++;
      if (order >= 0) right++;
      if (order !== 0) sum.push(order < 0 ? a : b);
      else if (a.value + b.value !== 0) sum.push({ key: a.key, value: a.value + b.value });
    }
    for (; left < this.terms.length; left++) sum.push(this.terms[left] as Term);
    for (; right < addend.terms.length; right++) sum.push(addend.terms[right] as Term);
    return sum.length === 0 ? Dim.zero : new Dim(sum);
  }

  sub(other: DimLike): Dim {
    return this.add(Dim.of(other).mul(-1));
  }

  mul(other: DimLike): Dim {
    const factor = Dim.of(other);
    if (factor.constant !== undefined) return this.scale(factor.constant);
    if (this.constant !== undefined) return factor.scale(this.constant);
    const product = new Map<string, number>();
    for (const a of this.terms) {
      for (const b of factor.terms) {
        const key = joinKeys(a.key, b.key);
        product.set(key, (product.get(key) ?? 0) + a.value * b.value);
      }
    }
    return Dim.fromTerms(product);
  }

  private scale(factor: number): Dim {
    if (factor === 1) return this;
    return factor === 0 ? Dim.zero : new Dim(this.terms.map(({ key, value }) => ({ key, value: value * factor })));
  }

  /**
   * Quotient by another dimension when it is exact (`6*h*w / 2*h = 3*w`), otherwise undefined.
   * Exact for a monomial divisor; a polynomial divisor divides only itself times an integer or monomial it is a factor of.
   */
  divideExactly(other: DimLike): Dim | undefined {
    const divisor = Dim.of(other);
    if (divisor.terms.length === 0) return undefined;
    if (divisor.terms.length > 1) {
      // Leading-term long division; exact or refused.
      let rest: Dim = this as Dim;
      let quotient = Dim.of(0);
      const lead = new Dim([divisor.leadingTerm()]);
      while (rest.terms.length > 0) {
        const step = new Dim([rest.leadingTerm()]).divideExactly(lead);
        if (step === undefined) return undefined;
        quotient = quotient.add(step);
        rest = rest.sub(step.mul(divisor));
        if (quotient.terms.length > 64) return undefined;
      }
      return quotient;
    }
    const by = divisor.terms[0] as Term;
    const quotient = new Map<string, number>();
    for (const { key, value } of this.terms) {
      const rest = removeKey(key, by.key);
      if (rest === undefined || value % by.value !== 0) return undefined;
      quotient.set(rest, value / by.value);
    }
    return Dim.fromTerms(quotient);
  }

  private leadingTerm(): Term {
    return this.terms.reduce((lead, term) => (compareLeading(term.key, lead.key) > 0 ? term : lead));
  }

  /** floor(this / divisor) when it is a polynomial again (only the constant may leave a rest), otherwise undefined. */
  floorDivide(divisor: number): Dim | undefined {
    const quotient = new Map<string, number>();
    for (const { key, value } of this.terms) {
      if (key !== '' && value % divisor !== 0) return undefined;
      quotient.set(key, Math.floor(value / divisor));
    }
    return Dim.fromTerms(quotient);
  }

  /** True when every binding of the symbols to integers gives a multiple of `divisor`. */
  isMultipleOf(divisor: number): boolean {
    return this.terms.every(({ value }) => value % divisor === 0);
  }

  /** The value for the given sizes; an unbound symbol is an error that names it. */
  evaluate(sizes: DimBinding): number {
    let total = 0;
    for (const { key, value } of this.terms) {
      let product = value;
      for (const name of factorsOf(key)) {
        const size = sizes[name];
        if (size === undefined) {
          throw new Flux2cError('F2C102', `the size '${name}' is not known`, { found: `dimension ${this.text}` });
        }
        product *= size;
      }
      total += product;
    }
    return total;
  }

  /** Replaces symbols by dimensions; symbols without a replacement stay. */
  substitute(replacements: Readonly<Record<string, DimLike>>): Dim {
    if (!this.symbols.some((name) => name in replacements)) return this;
    let result = Dim.zero;
    for (const { key, value } of this.terms) {
      let product = Dim.of(value);
      for (const name of factorsOf(key)) product = product.mul(replacements[name] ?? Dim.symbol(name));
      result = result.add(product);
    }
    return result;
  }

  /** [monomial's symbols, coefficient], the constant with no symbols; for code generators. */
  monomials(): readonly { readonly symbols: readonly string[]; readonly coefficient: number }[] {
    return this.terms.map(({ key, value }) => ({ symbols: factorsOf(key), coefficient: value }));
  }

  toString(): string {
    return this.text;
  }

  toJSON(): number | string {
    return this.constant ?? this.text;
  }
}

/** A monomial: its symbols, sorted and joined with `*` ('' is the constant), and its coefficient. */
interface Term {
  readonly key: string;
  readonly value: number;
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

function printTerms(terms: readonly Term[]): string {
  if (terms.length === 0) return '0';
  return terms
    .map(({ key, value }, index) => {
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
  const degree = (key: string): number => factorsOf(key).length;
  return degree(a) - degree(b) || (a < b ? -1 : a > b ? 1 : 0);
}

const knownFactors = new Map<string, readonly string[]>([['', []]]);

/** The symbols of a monomial's key. */
function factorsOf(key: string): readonly string[] {
  let factors = knownFactors.get(key);
  if (factors === undefined) {
    factors = key.split('*');
    knownFactors.set(key, factors);
  }
  return factors;
}

function joinKeys(a: string, b: string): string {
  if (a === '') return b;
  if (b === '') return a;
  return [...factorsOf(a), ...factorsOf(b)].sort().join('*');
}

function removeKey(key: string, factor: string): string | undefined {
  if (factor === '') return key;
  if (factor === key) return '';
  const names = [...factorsOf(key)];
  for (const name of factorsOf(factor)) {
    const at = names.indexOf(name);
    if (at < 0) return undefined;
    names.splice(at, 1);
  }
  return names.join('*');
}

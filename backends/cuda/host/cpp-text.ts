/** Pieces of C++: literals, and dimensions as expressions over variables of their symbols' names. */
import type { Dim } from '../../../ir/dim.js';
import type { DType } from '../../../ir/dtype.js';
import type { KernelNames } from '../../kernel-names.js';

/** A string literal. Bytes beyond ASCII are escaped, so that the source's encoding does not matter. */
export function quote(text: string): string {
  const bytes = [...new TextEncoder().encode(text)];
  const escaped = bytes.map((byte) => {
    const letter = String.fromCharCode(byte);
    if (letter === '"' || letter === '\\') return `\\${letter}`;
    return byte >= 0x20 && byte < 0x7f ? letter : `\\${byte.toString(8).padStart(3, '0')}`;
  });
  return `"${escaped.join('')}"`;
}

/** Of type `long long` where a symbol or a large number is in it. */
export function printDim(dim: Dim, names: KernelNames): string {
  const terms = dim.monomials().map(({ symbols, coefficient }, index) => {
    const magnitude = Math.abs(coefficient);
    const factors = symbols.map((symbol) => names.legal(symbol));
    if (magnitude !== 1 || factors.length === 0) factors.unshift(printInteger(magnitude));
    const sign = coefficient < 0 ? '-' : '+';
    if (index > 0) return ` ${sign} ${factors.join(' * ')}`;
    return `${sign === '-' ? '-' : ''}${factors.join(' * ')}`;
  });
  return terms.length === 0 ? '0' : terms.join('');
}

export function printShape(shape: readonly Dim[], names: KernelNames): string {
  return `{${shape.map((dim) => printDim(dim, names)).join(', ')}}`;
}

export function printIntegers(values: readonly number[]): string {
  return `{${values.map(printInteger).join(', ')}}`;
}

export function printInteger(value: number): string {
  return Math.abs(value) > 2 ** 31 - 1 ? `${value}LL` : `${value}`;
}

/** A double, to the last bit. */
export function printDouble(value: number): string {
  if (Number.isNaN(value)) return 'NAN';
  if (!Number.isFinite(value)) return value < 0 ? '-INFINITY' : 'INFINITY';
  if (Object.is(value, -0)) return '-0.0';
  const text = `${value}`;
  return /[.e]/.test(text) ? text : `${text}.0`;
}

export function printType(dtype: DType): string {
  return dtype === 'bool' ? 'Type::boolean' : `Type::${dtype}`;
}

/** What follows `//` must stay on its line. */
export function comment(text: string): string {
  return `// ${text.replace(/[^\x20-\x7e]/g, '?').replace(/\\$/, '\\ ')}`;
}

import type { Dim, DimBinding } from '../ir/dim.js';
import type { IndexTerm } from '../ir/kernel/tile.js';

/** The value of an index polynomial over axes, parameters and terms; quotients and remainders truncate, as on devices. */
export function evaluateIndex(index: Dim, terms: readonly IndexTerm[], binding: DimBinding): number {
  const values: Record<string, number> = { ...binding };
  for (const term of terms) {
    const at = (inner: Dim): number => inner.evaluate(values);
    switch (term.kind) {
      case 'floor':
        values[term.name] = Math.trunc(at(term.of) / at(term.by));
        break;
      case 'modulo':
        values[term.name] = at(term.of) % at(term.by);
        break;
      case 'exclusive_or':
        values[term.name] = at(term.of) ^ term.mask;
        break;
      case 'loaded':
        throw new Error('an index that is read from memory has no value here');
    }
  }
  return index.evaluate(values);
}

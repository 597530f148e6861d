import { Dim } from '../../ir/dim.js';
import type { Operation } from '../../ir/graph/graph.js';

/** Symbols in the attributes of an operation and of what its body holds. */
export function listSymbols(operation: Operation): ReadonlySet<string> {
  const symbols = new Set<string>();
  const visitAttribute = (attribute: unknown): void => {
    if (attribute instanceof Dim) for (const symbol of attribute.symbols) symbols.add(symbol);
    else if (Array.isArray(attribute)) attribute.forEach(visitAttribute);
  };
  const visit = (inner: Operation): void => {
    // A constant's numbers hold no symbols and may be thousands.
    for (const [key, attribute] of Object.entries(inner.attributes)) if (key !== 'values') visitAttribute(attribute);
    inner.body?.operations.forEach(visit);
  };
  visit(operation);
  return symbols;
}

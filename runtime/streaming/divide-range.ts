import { byteSize } from '../../ir/dtype.js';
import type { WeightSource } from '../../ir/graph/graph.js';
import { ingredientsOf } from '../../ir/graph/weight-ingredients.js';
import { storageBytes } from '../../ir/kernel/thread-interpret-memory.js';
import { vectorBytes } from '../plan/storage-layout.js';
import type { WeightRange } from '../weight-ranges.js';

/**
 * Parts of a range in order, of about so many bytes: whole rows, so that no row is read twice, and whole vectors, so that any device can
 * write them apart. One part where a provider needs all of the tensor for any of it.
 */
export function divideRange(range: WeightRange, mostBytes: number): readonly WeightRange[] {
  const { declaration, storage, start, end, byteLength } = range;
  const { dtype, shape } = declaration.type;
  const elementBytes = storageBytes(storage);
  const rowElements = shape.slice(1).reduce((product, dim) => product * dim.evaluate({}), 1);
  if (needsWhole(declaration.source) || rowElements === 0) return [range];
  let unit = 1;
  while ((unit * rowElements * elementBytes) % vectorBytes !== 0) unit *= 2;
  const unitBytes = unit * rowElements * Math.max(elementBytes, byteSize(dtype));
  const elements = Math.max(1, Math.floor(mostBytes / unitBytes)) * unit * rowElements;
  const count = Math.max(1, Math.ceil((end - start) / elements));
  return Array.from({ length: count }, (_, index) => {
    const first = start + index * elements;
    const offset = (first - start) * elementBytes;
    const isLast = index + 1 === count;
    // The padding at the end of the range is the last part's.
    const partBytes = isLast ? byteLength - offset : elements * elementBytes;
    return { ...range, start: first, end: isLast ? end : first + elements, byteLength: partBytes };
  });
}

/** Whether a provider must have all of a tensor to give any row: rows that a permutation moves. */
function needsWhole(source: WeightSource): boolean {
  const movesRows = source.kind === 'permute' && source.permutation[0] !== 0;
  return movesRows || ingredientsOf(source).some((part) => needsWhole(part.source));
}

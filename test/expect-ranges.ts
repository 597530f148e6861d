import fc from 'fast-check';
import { expect } from 'vitest';
import { byteSize } from '../ir/dtype.js';
import type { WeightDeclaration } from '../ir/graph/graph.js';
import { readWhole, type WeightProvider } from '../runtime/weight-provider.js';

/** A provider gives a weight's bytes, whole and in ranges of whole elements. */
export async function expectRanges(
  provider: WeightProvider,
  declaration: WeightDeclaration,
  expected: Uint8Array,
  numRuns: number,
): Promise<void> {
  expect(await readWhole(provider, declaration)).toEqual(expected);
  const unit = byteSize(declaration.type.dtype);
  const place = fc.nat(expected.byteLength / unit);
  await fc.assert(
    fc.asyncProperty(place, place, async (one, two) => {
      const [start, end] = [Math.min(one, two) * unit, Math.max(one, two) * unit];
      const range = { byteOffset: start, byteLength: end - start };
      expect(await readWhole(provider, declaration, range)).toEqual(expected.subarray(start, end));
    }),
    { numRuns },
  );
}

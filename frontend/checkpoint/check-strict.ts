import { Flux2cError } from '../../ir/diagnostics.js';
import type { WeightTable } from './names.js';
import { quoteName, quoteShape } from './quote.js';

const SHOWN = 10;
// The edit distance costs length times length: broken files can hold names of megabytes and a million names.
const LONGEST_COMPARED = 200;
const MOST_COMPARED = 1000;

/**
 * Checks that a table holds exactly the weights a model needs: one error names everything that is missing, left over
 * or of the wrong shape (the first ten of each), because a name that does not match otherwise shows as a white picture.
 * @param expected canonical name → shape
 * @param ignorable patterns of names that may be left over
 * @throws Flux2cError F2C431
 */
export function checkStrict(
  table: WeightTable,
  expected: ReadonlyMap<string, readonly number[]>,
  ignorable: readonly RegExp[] = [],
): void {
  const missing = [...expected.keys()].filter((name) => !table.has(name));
  const leftOver = [...table.keys()].filter(
    (name) => !expected.has(name) && !ignorable.some((pattern) => pattern.test(name)),
  );
  const misshapen: string[] = [];
  for (const [name, shape] of expected) {
    const found = table.get(name);
    if (found === undefined || isSameShape(found.shape, shape)) continue;
    misshapen.push(`${quoteName(name)} is ${quoteShape(found.shape)} instead of ${quoteShape(shape)}`);
  }
  if (missing.length + leftOver.length + misshapen.length === 0) return;
  const candidates = leftOver.filter((name) => name.length <= LONGEST_COMPARED).slice(0, MOST_COMPARED);
  const listed = [
    ...listGroup('missing', missing, (name) => `${quoteName(name)}${suggest(name, candidates)}`),
    ...listGroup('left over', leftOver, quoteName),
    ...listGroup('of the wrong shape', misshapen, (text) => text),
  ];
  throw new Flux2cError('F2C431', 'the weights do not match the model', {
    where: [table.source],
    expected: `${expected.size} weights`,
    found: `${table.size} weights\n${listed.join('\n')}`,
    hint:
      missing.length === expected.size
        ? 'None of the names is known: this is probably a file of another model or another component.'
        : 'Check that the file is complete and of the variant that the configuration says.',
  });
}

function listGroup(what: string, items: readonly string[], show: (item: string) => string): readonly string[] {
  if (items.length === 0) return [];
  const shown = items.slice(0, SHOWN).map((item) => `      ${show(item)}`);
  const more = items.length > SHOWN ? [`      and ${items.length - SHOWN} more`] : [];
  return [`    ${items.length} ${what}:`, ...shown, ...more];
}

/** ` (is it x?)` when a left-over name is close. */
function suggest(name: string, candidates: readonly string[]): string {
  let nearest: string | undefined;
  // A third of the name may differ; more is no likeness.
  let least = Math.floor(name.length / 3) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(name, candidate, least);
    if (distance >= least) continue;
    least = distance;
    nearest = candidate;
  }
  return nearest === undefined ? '' : ` (the file has ${quoteName(nearest)})`;
}

/** Levenshtein's distance; some number of at least `limit` as soon as it cannot be less. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const substitution = (previous[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min(substitution, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    if (Math.min(...current) >= limit) return limit;
    previous = current;
  }
  return previous[b.length] ?? 0;
}

function isSameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, index) => size === b[index]);
}

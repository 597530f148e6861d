import { Flux2cError } from '../../ir/diagnostics.js';
import type { WeightTable } from './names.js';
import { quoteName, quoteShape } from './quote.js';

/**
 * The shape of a weight that a configuration is read from, with `rank` dimensions, none empty.
 * @param what the model is, for the error: `a FLUX.2 transformer`
 * @throws Flux2cError F2C432
 */
export function measure(table: WeightTable, what: string, name: string, rank: 1 | 2 | 4): readonly number[] {
  const shape = table.get(name)?.shape;
  if (shape !== undefined && shape.length === rank && shape.every((size) => size > 0)) return shape;
  throw new Flux2cError('F2C432', `these are not the weights of ${what}`, {
    where: [table.source, name],
    expected: `a weight of ${rank} dimensions, none empty`,
    found: shape === undefined ? `none, but ${sampleNames(table)}` : quoteShape(shape),
    hint: 'Check that the file is the component you mean: transformer, vae or text encoder.',
  });
}

/**
 * How many numbered modules a table has: names that match `pattern`, whose first group is the number.
 * @param most more than any model has; what is computed for each module must not grow with a broken file
 * @throws Flux2cError F2C432 when the numbers are not 0, 1, 2 … without a gap, or more than `most`
 */
export function countModules(table: WeightTable, what: string, pattern: RegExp, most: number): number {
  const indices = new Set<number>();
  for (const name of table.keys()) {
    const index = pattern.exec(name)?.[1];
    if (index !== undefined) indices.add(Number(index));
  }
  if (indices.size > most) {
    throw new Flux2cError('F2C432', `there are too many of ${what}`, {
      where: [table.source],
      expected: `at most ${most}`,
      found: `${indices.size}`,
    });
  }
  for (let index = 0; index < indices.size; index++) {
    if (indices.has(index)) continue;
    throw new Flux2cError('F2C432', `${what} are not numbered without gaps`, {
      where: [table.source],
      expected: `0 .. ${indices.size - 1}`,
      found: `no number ${index}`,
      hint: 'Part of the checkpoint is missing: check that all its files are there.',
    });
  }
  return indices.size;
}

/**
 * `value / divisor` as an integer.
 * @throws Flux2cError F2C432 when it is none
 */
export function divideExactly(table: WeightTable, value: number, divisor: number, what: string): number {
  if (value % divisor === 0) return value / divisor;
  throw new Flux2cError('F2C432', 'the shapes of the weights contradict each other', {
    where: [table.source],
    expected: `${what} that divide by ${divisor}`,
    found: `${value}`,
  });
}

function sampleNames(table: WeightTable): string {
  const names = [...table.keys()].slice(0, 3).map(quoteName);
  return names.length === 0 ? 'no weights at all' : `such names as ${names.join(', ')}`;
}

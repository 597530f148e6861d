import { codesOfWord } from '../../ir/decode-element.js';
import type { AxisSpread } from '../../ir/kernel/tile.js';
import type { KernelFacts } from './from-group/facts.js';

/**
 * The contracted axis of a product with an encoded right factor, in vectors of 4: a step is a whole word of codes, which is read once, and a
 * group of one scale is a section, in which its factors stand still.
 */
export function encodedDepth({ encoding, axes }: KernelFacts): AxisSpread | undefined {
  const depth = axes.find(({ name }) => name === 'k')?.extent;
  const whole = depth?.constant;
  if (encoding === undefined || whole === undefined) return undefined;
  const registers = codesOfWord(encoding) / 4;
  const { group } = encoding;
  const isPart = group !== undefined && group < whole;
  return { threads: 1, registers, vector: 4, ...(isPart && { section: group }) };
}

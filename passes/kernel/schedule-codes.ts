import { codesOfWord } from '../../ir/decode-element.js';
import { bytesOfVector } from '../../ir/kernel/bytes.js';
import type { AxisSpread } from '../../ir/kernel/tile.js';
import type { KernelFacts } from './from-group/facts.js';

/**
 * The contracted axis of a product of codes, in vectors of 4. Of bytes a step is a vector of four words. Of an encoded right factor it is a
 * whole word of codes, which is read once, and a group of one scale is a section, in which its factors stand still. Undefined where the
 * factors are numbers.
 */
export function depthOfCodes({ encoding, inBytes, axes }: KernelFacts): AxisSpread | undefined {
  if (inBytes === true) return { threads: 1, registers: bytesOfVector / 4, vector: 4 };
  const depth = axes.find(({ name }) => name === 'k')?.extent;
  const whole = depth?.constant;
  if (encoding === undefined || whole === undefined) return undefined;
  const registers = codesOfWord(encoding) / 4;
  const { group } = encoding;
  const isPart = group !== undefined && group < whole;
  return { threads: 1, registers, vector: 4, ...(isPart && { section: group }) };
}

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { parseBudget, printBudget } from './byte-budget.js';

it.each([
  ['8GiB', 8 * 2 ** 30],
  ['512 MiB', 512 * 2 ** 20],
  ['6.5GB', 6.5e9],
  ['1.5kib', 1536],
  ['123', 123],
  ['7B', 7],
] as const)('reads %s', (text, bytes) => expect(parseBudget(text)).toBe(bytes));

it.each(['', 'GiB', '-1GiB', '1e3', '8 GiB more', '8gibibytes', '1,5GiB', '9999999999TiB'])(
  'does not read %j',
  (text) => expect(parseBudget(text)).toBeUndefined(),
);

it('prints what is enough when it is read, and hardly more', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 50 }), (bytes) => {
      const read = parseBudget(printBudget(bytes))!;
      expect(read).toBeGreaterThanOrEqual(bytes);
      expect(read).toBeLessThanOrEqual(bytes * 1.011 + 11);
    }),
  );
});

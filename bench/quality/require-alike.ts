import { Flux2cError } from '../../ir/diagnostics.js';

/** Two models can only be compared where they have the same form. F2C715 naming what differs. */
export function requireAlike(what: string, original: string, other: string): void {
  if (original === other) return;
  throw new Flux2cError('F2C715', 'the models cannot be compared: they are not of one form', {
    where: [what],
    expected: `${original}, as in the first model`,
    found: other,
    hint: 'Take the model that the second was made from.',
  });
}

import { Flux2cError } from '../../ir/diagnostics.js';

/** Whether `values` hold neither an infinity nor a NaN. */
export function allFinite(values: Float32Array): boolean {
  return values.every((value) => Number.isFinite(value));
}

/**
 * F2C664 when `values` hold an infinity or a NaN; `what` says whose values they are. Everything before was finite, so
 * this is where it began. Programs without this check write black pictures.
 */
export function requireFinite(values: Float32Array, what: string): void {
  const at = values.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return;
  const count = values.reduce((total, value) => (Number.isFinite(value) ? total : total + 1), 0);
  throw new Flux2cError('F2C664', `the numbers stop being finite in ${what}`, {
    expected: 'finite numbers',
    found: `${count} of ${values.length} infinite or not a number, the first at ${at}`,
    hint: 'A value left the range of its type or a weight is damaged: check the files, and try --operands f32.',
  });
}

import { Flux2cError } from '../ir/diagnostics.js';

/** The code of the diagnostic that something throws, `otherwise` when it throws none; other errors are thrown on. */
export function codeOf(run: () => unknown, otherwise = 'no error'): string {
  try {
    run();
  } catch (error) {
    if (error instanceof Flux2cError) return error.code;
    throw error;
  }
  return otherwise;
}

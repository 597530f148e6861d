/** From whatever was thrown to what the user reads and the process' exit code. */
import { CommanderError } from 'commander';
import { Flux2cError } from '../ir/diagnostics.js';
import type { TerminalStream } from './show.js';

export const EXIT_FAILURE = 1;
/** 128 + SIGINT, as shells report it. */
export const EXIT_INTERRUPTED = 130;

/** Writes the error and returns the exit code; help and version are no errors. Stack traces with `debug` only. */
export function reportError(error: unknown, stderr: TerminalStream, debug: boolean): number {
  if (error instanceof CommanderError && error.exitCode === 0) return 0;
  if (isAbort(error)) {
    stderr.write('interrupted\n');
    return EXIT_INTERRUPTED;
  }
  const shown = error instanceof CommanderError ? usageError(error) : error;
  if (shown instanceof Flux2cError) stderr.write(`${shown.format()}\n`);
  else stderr.write(unexpected(shown));
  if (debug && error instanceof Error) stderr.write(`${describeChain(error)}\n`);
  return EXIT_FAILURE;
}

/** Commander says `error: unknown option '--x'`, with a suggestion in parentheses on a line of its own. */
function usageError(error: CommanderError): Flux2cError {
  const [message = '', suggestion] = error.message.replace(/^error: /, '').split('\n');
  return new Flux2cError('F2C701', message, {
    hint: [suggestion?.replace(/^\((.*)\)$/, '$1'), 'See `flux2c --help` and `flux2c COMMAND --help`.']
      .filter((part) => part !== undefined)
      .join(' '),
  });
}

function unexpected(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return `error: ${message}\n  This is a fault of flux2c itself; --debug shows where it happened.\n`;
}

function describeChain(error: Error): string {
  const cause = error.cause instanceof Error ? `\ncaused by ${describeChain(error.cause)}` : '';
  return `${error.stack ?? error.message}${cause}`;
}

/** F2C522 is a session that was cancelled. */
export function isAbort(error: unknown): boolean {
  if (error instanceof Flux2cError && error.code === 'F2C522') return true;
  return error instanceof Error && error.name === 'AbortError';
}

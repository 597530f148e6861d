#!/usr/bin/env node
import { chooseDevice } from './choose-device.js';
import { openModel } from './open-model.js';
import { runCli } from './program.js';
import { EXIT_INTERRUPTED } from './report-error.js';

const interruption = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    // The first asks the command to stop at the next step and to clean up; the second does not wait.
    if (interruption.signal.aborted) process.exit(EXIT_INTERRUPTED);
    interruption.abort();
  });
}

const exitCode = await runCli(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  signal: interruption.signal,
  openDevice: chooseDevice,
  openModel,
});
// Output to a pipe is asynchronous: leave once it is written, whatever native handles are still open.
process.stdout.write('', () => process.stderr.write('', () => process.exit(exitCode)));

/** The command line as a whole. */
import { Command } from 'commander';
import { benchCommand } from './bench.js';
import { compileCommand } from './compile.js';
import type { CliContext } from './context.js';
import { devicesCommand } from './devices.js';
import { generateCommand } from './generate.js';
import { inspectCommand } from './inspect.js';
import { qualityCommand } from './quality.js';
import { reportError } from './report-error.js';
import { runCommand } from './run.js';
import { tuneCommand } from './tune.js';
import { VERSION } from './version.js';

const overview = `
Start with:
  $ flux2c generate "a red circle on a white background" -o circle.png`;

/** Runs the command line `arguments_` (without node and script) and returns the exit code. Never throws. */
export async function runCli(arguments_: readonly string[], context: CliContext): Promise<number> {
  try {
    await createProgram(context).parseAsync(arguments_, { from: 'user' });
    return 0;
  } catch (error) {
    return reportError(error, context.stderr, arguments_.includes('--debug'));
  }
}

function createProgram(context: CliContext): Command {
  const program = new Command('flux2c')
    .description('Compiles the FLUX.2 image model for the device at hand and draws pictures with it.')
    .version(VERSION, '-V, --version')
    // Options after the name of a command are its own, also where the command above has some of the same name.
    .enablePositionalOptions()
    .addHelpText('after', overview)
    .helpCommand('help [command]', 'help for a command');
  for (const create of [
    generateCommand,
    compileCommand,
    runCommand,
    inspectCommand,
    benchCommand,
    tuneCommand,
    qualityCommand,
    devicesCommand,
  ])
    program.addCommand(create(context));
  for (const command of [program, ...program.commands, ...program.commands.flatMap(({ commands }) => commands)]) {
    command.exitOverride().configureOutput({
      writeOut: (text) => void context.stdout.write(text),
      writeErr: (text) => void context.stderr.write(text),
      // Errors are reported once, in the form of all others.
      outputError: () => undefined,
    });
  }
  return program;
}

/** The command line of the comparison. */
import { Command } from 'commander';
import { integerOf } from '../../cli/options.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import { type Contestant, contestants } from './contestants.js';
import { notationOf, parseWork, standardWorks, type Work, type WorkKind, workKinds } from './works.js';

export interface PeersOptions extends Partial<Readonly<Record<WorkKind, readonly string[]>>> {
  readonly adapter?: readonly string[];
  readonly stack?: readonly string[];
  readonly webgpu: boolean;
  readonly processor: boolean;
  readonly processes: number;
  readonly rounds: number;
  readonly coldStart: boolean;
  readonly install: boolean;
  readonly from?: readonly string[];
  readonly json?: string;
  readonly plot?: string;
  readonly markdown?: boolean;
}

const help = `
Without a shape, the shapes of docs/performance.md are measured. Products are x[M, K] times a weight [K, N]; flux2c has
the weight as [N, K], as checkpoints store it, peers as they like it best.

Examples:
  $ npm run peers
  $ npm run peers -- --adapter swiftshader --transformer 4x64,2+6,256+64 --no-processor
  $ npm run peers -- --product 200x300x400 --product 64x64x64 --stack flux2c --stack onnxruntime
  $ npm run peers -- --json result.json --plot plot.svg
  $ npm run peers -- --from result.json --markdown`;

export function peersCommand(): Command {
  const command = new Command('npm run peers --')
    .description('time flux2c and other stacks side by side, with the same weights and inputs, and check their results')
    .option('--adapter <name>', 'WebGPU adapter, may be repeated (default: lavapipe)', collect)
    .option('--stack <text>', 'only stacks with this in their name (such as jax, wasm:2), may be repeated', collect);
  for (const kind of workKinds) {
    command.option(`--${kind} <shape>`, `${notationOf(kind)}; may be repeated`, collect);
  }
  return command
    .option('--no-webgpu', 'leave out the stacks on WebGPU')
    .option('--no-processor', 'leave out WebAssembly and native stacks')
    .option('--processes <number>', 'processes of each stack, one after another', integerOf('--processes', 1, 20), 2)
    .option('--rounds <number>', 'rounds in each of them', integerOf('--rounds', 1, 100), 6)
    .option('--no-cold-start', 'do not time the first results of new processes')
    .option('--no-install', 'measure the peers that are there')
    .option('--from <file>', 'print an earlier result instead of measuring; several are put together', collect)
    .option('--json <file>', 'write the result')
    .option('--plot <file>', 'write a plot (.svg)')
    .option('--markdown', 'print tables in Markdown')
    .option('--debug', 'stack traces with errors')
    .addHelpText('after', help);
}

function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}

/** The works that are asked for, or the standard ones. F2C702 for a shape that is none. */
export function chooseWorks(options: Pick<PeersOptions, WorkKind>): readonly Work[] {
  const chosen = workKinds.flatMap((kind) => (options[kind] ?? []).map((text) => parseWork(kind, text)));
  return chosen.length > 0 ? chosen : standardWorks;
}

/** The contestants that are asked for. F2C703 when that leaves none. */
export function chooseContestants(
  options: Pick<PeersOptions, 'stack' | 'webgpu' | 'processor'>,
): readonly Contestant[] {
  const { stack, webgpu, processor } = options;
  const chosen = contestants
    .filter(({ kind }) => (kind === 'webgpu' ? webgpu : processor))
    .filter(({ id }) => stack === undefined || stack.some((text) => id.includes(text)));
  if (chosen.length > 0) return chosen;
  throw new Flux2cError('F2C703', 'no stack is left to measure', {
    where: ['--stack'],
    expected: contestants.map(({ id }) => id).join(', '),
    found: (stack ?? []).join(', ') || '--no-webgpu with --no-processor',
  });
}

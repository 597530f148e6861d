/** The command line of the comparison. */
import { Command, Option } from 'commander';
import { integerOf } from '../../cli/options.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import { type Contestant, contestants, isOnGpu } from './contestants.js';
import { allNumbers, type Numbers } from './numbers.js';
import { isNamedWorks, namedWorks, type WorksName, worksNames } from './named-works.js';
import { notationOf, parseWork, printWork, standardWorks, type Work, type WorkKind, workKinds } from './works.js';

export interface PeersOptions extends Partial<Readonly<Record<WorkKind, readonly string[]>>> {
  readonly adapter?: readonly string[];
  readonly stack?: readonly string[];
  readonly numbers: Numbers;
  readonly shapes?: readonly WorksName[];
  readonly webgpu: boolean;
  readonly cuda?: boolean;
  readonly processor: boolean;
  readonly processes: number;
  readonly rounds: number;
  readonly coldStart: boolean;
  readonly stackSeconds?: number;
  readonly seconds?: number;
  readonly install: boolean;
  readonly from?: readonly string[];
  readonly json?: string;
  readonly plot?: string;
  readonly markdown?: boolean;
}

const help = `
Without a shape, the shapes of docs/performance.md are measured. Products are x[M, K] times a weight [K, N]; flux2c has
the weight as [N, K], as checkpoints store it, peers as they like it best.

With --numbers f16 weights and inputs are numbers of f16. Stacks on WebGPU that have f16 compute in it and may be off by 1e-2;
in f32 they take part as well, off by 1e-4 at most. WebAssembly, native stacks and TensorFlow.js are left out.

Examples:
  $ npm run peers
  $ npm run peers -- --adapter swiftshader --transformer 4x64,2+6,256+64 --no-processor
  $ npm run peers -- --product 200x300x400 --product 64x64x64 --stack flux2c --stack onnxruntime
  $ npm run peers -- --json result.json --plot plot.svg
  $ npm run peers -- --numbers f16 --adapter NVIDIA --cuda --shapes klein-4b@512 --stack-seconds 40 --json result.json
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
    .addOption(new Option('--shapes <name>', `${worksNames.join(' or ')}, may be repeated`).argParser(collectShapes))
    .addOption(new Option('--numbers <type>', 'what weights and inputs are').choices(allNumbers).default('f32'))
    .option('--cuda', 'on GPUs, flux2c through CUDA, too (its kernels are compiled by nvcc or NVRTC)')
    .option('--no-webgpu', 'leave out the stacks on WebGPU')
    .option('--no-processor', 'leave out WebAssembly and native stacks')
    .option('--processes <number>', 'processes of each stack, one after another', integerOf('--processes', 1, 20), 2)
    .option('--rounds <number>', 'rounds in each of them', integerOf('--rounds', 1, 100), 6)
    .option('--no-cold-start', 'do not time the first results of new processes')
    .option(
      '--stack-seconds <number>',
      'what a process of a stack may take before it is ended',
      integerOf('--stack-seconds', 1),
    )
    .option('--seconds <number>', 'begin no work any more after this time', integerOf('--seconds', 1))
    .option('--no-install', 'measure the peers that are there')
    .option('--from <file>', 'print an earlier result instead of measuring; several are put together', collect)
    .option('--json <file>', 'write the result, as far as it is there, after each work')
    .option('--plot <file>', 'write a plot (.svg)')
    .option('--markdown', 'print tables in Markdown')
    .option('--debug', 'stack traces with errors')
    .addHelpText('after', help);
}

function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}

function collectShapes(value: string, before: readonly WorksName[] | undefined): readonly WorksName[] {
  if (isNamedWorks(value)) return [...(before ?? []), value];
  throw new Flux2cError('F2C702', 'there are no shapes of this name', {
    where: ['--shapes'],
    expected: worksNames.join(', '),
    found: value,
  });
}

/** The works that are asked for, each once, or the standard ones. F2C702 for a shape that is none. */
export function chooseWorks(options: Pick<PeersOptions, WorkKind | 'shapes'>): readonly Work[] {
  const named = (options.shapes ?? []).flatMap((name) => namedWorks[name]);
  const single = workKinds.flatMap((kind) => (options[kind] ?? []).map((text) => parseWork(kind, text)));
  const chosen = new Map([...named, ...single].map((work) => [printWork(work), work]));
  return chosen.size > 0 ? [...chosen.values()] : standardWorks;
}

/** The contestants that are asked for. F2C703 when that leaves none. */
export function chooseContestants(
  options: Pick<PeersOptions, 'stack' | 'webgpu' | 'processor' | 'cuda' | 'numbers'>,
): readonly Contestant[] {
  const { stack, webgpu, processor, cuda = false, numbers } = options;
  const chosen = contestants
    .filter(({ kind }) => kind !== 'cuda' || cuda)
    .filter((one) => (isOnGpu(one) ? webgpu : processor))
    .filter((one) => (numbers === 'f16' ? isOnGpu(one) && one.stack !== 'tfjs' : one.numbers === 'f32'))
    .filter(({ id }) => stack === undefined || stack.some((text) => id.includes(text)));
  if (chosen.length > 0) return chosen;
  throw new Flux2cError('F2C703', 'no stack is left to measure', {
    where: ['--stack'],
    expected: contestants.map(({ id }) => id).join(', '),
    found: (stack ?? []).join(', ') || '--no-webgpu with --no-processor',
  });
}

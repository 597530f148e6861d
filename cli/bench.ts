/** `flux2c bench`: how fast kernels, blocks, steps and stages are on a device; and what changed between two results. */
import { readFile } from 'node:fs/promises';
import { Command, Option } from 'commander';
import { describeProcessor } from '../bench/processor.js';
import { calibrate } from '../bench/calibrate.js';
import { compareResults } from '../bench/compare.js';
import { measureFunction } from '../bench/measure-function.js';
import { measureStages } from '../bench/measure-stages.js';
import { renderBenchPage } from '../bench/report-html.js';
import { formatComparison, formatResult } from '../bench/report-text.js';
import { type BenchResult, decodeResult, encodeResult, type FunctionTiming, RESULT_VERSION } from '../bench/result.js';
import { writeFileAtomically } from '../frontend/checkpoint/node/write-file.js';
import { Flux2cError } from '../ir/diagnostics.js';
import { type VariantName, variants } from '../models/flux2/variants.js';
import type { Device } from '../runtime/device.js';
import { growthCommand } from './bench-growth.js';
import { chooseFunctions } from './choose-functions.js';
import type { CliContext } from './context.js';
import { bindSizesOf, describeSizes, resolveSizes, type SizeOptions } from './inspect/sizes.js';
import { withSubject } from './inspect/subject.js';
import { addComponentOptions, addDeviceOptions, collect, type ComponentOptions, contradiction, type DeviceOptions, integerOf } from './options.js'; // prettier-ignore
import { artifactMemory } from './artifact-folder.js';
import { resolveMemory } from './memory-budget.js';
import { addMemoryOptions, type MemoryOptions } from './memory-options.js';
import { createProgressLine, type ProgressLine } from './progress-line.js';
import { addQuantizeOptions, type QuantizeCliOptions, quantizeOf } from './quantize-options.js';
import { addScheduleOption, loadScheduleChoice, type ScheduleOptions } from './schedule-options.js';
import { VERSION } from './version.js';

const parts = ['calibration', 'kernels', 'stages'] as const;

interface BenchOptions
  extends DeviceOptions, ComponentOptions, MemoryOptions, QuantizeCliOptions, SizeOptions, ScheduleOptions {
  readonly config?: VariantName;
  readonly component?: readonly string[];
  readonly only?: (typeof parts)[number];
  readonly repeats: number;
  readonly warmups: number;
  readonly json?: string;
  readonly html?: string;
  readonly quiet?: boolean;
}

const help = `
Examples:
  $ flux2c bench --json before.json --html before.html
  $ flux2c bench --adapter swiftshader --component denoise --only kernels
  $ flux2c bench --device cpu --only stages --memory-budget 4MiB
  $ flux2c bench --device cpu --component denoise --quantize int8
  $ flux2c bench compare before.json after.json
  $ flux2c bench growth --html growth.html`;

export function benchCommand(context: CliContext): Command {
  const command = new Command('bench')
    .description('time kernels, blocks, steps and stages against the measured ceilings of the device')
    .argument('[model]', 'a model or an artifact (default: the embedded flux2-shapes)')
    .addOption(
      new Option('--config <name>', 'a released model without its weights: kernels only').choices(
        Object.keys(variants),
      ),
    )
    .option('--component <name>', 'only this function, may be repeated (default: those that make a picture)', collect)
    .addOption(new Option('--only <part>', 'measure only this').choices(parts))
    .option('--repeats <number>', 'measured repetitions', integerOf('--repeats', 1, 1000), 10)
    .option('--warmups <number>', 'repetitions before them', integerOf('--warmups', 0, 1000), 2)
    .option('--width <pixels>', 'multiple of 16', integerOf('--width', 16))
    .option('--height <pixels>', 'multiple of 16', integerOf('--height', 16))
    .option('--steps <number>', 'denoising steps of the stage', integerOf('--steps', 2, 1000), 4)
    .option('--references <number>', 'reference pictures, of the same size', integerOf('--references', 0, 10))
    .option('--text-tokens <number>', 'tokens of the prompt', integerOf('--text-tokens', 1, 4096))
    .option('--json <file>', 'write the result, for `bench compare`')
    .option('--html <file>', 'write the result as one page')
    .option('-q, --quiet', 'no progress and no notices on stderr')
    .option('--debug', 'stack traces with errors')
    .addHelpText('after', help);
  addScheduleOption(addComponentOptions(addDeviceOptions(command)));
  addQuantizeOptions(addMemoryOptions(command));
  command.addCommand(compareCommand(context));
  command.addCommand(growthCommand(context)).enablePositionalOptions();
  return command.action((model: string | undefined, options: BenchOptions) => bench(model, options, context));
}

function compareCommand(context: CliContext): Command {
  return new Command('compare')
    .description('the times of two results and what moved by more than its spread')
    .argument('<before>', 'result of `flux2c bench --json`')
    .argument('<after>', 'another one')
    .option('--all', 'also what did not move')
    .action(async (before: string, after: string, { all }: { readonly all?: boolean }) => {
      const compared = compareResults(await readResult(before), await readResult(after));
      context.stdout.write(formatComparison(compared, all === true));
    });
}

async function bench(model: string | undefined, options: BenchOptions, context: CliContext): Promise<void> {
  if (model !== undefined && options.config !== undefined) {
    throw contradiction('--config takes the place of a model', 'Leave out one of the two.');
  }
  if (options.config !== undefined && options.only === 'stages') {
    throw contradiction('stages need weights, which --config has not', 'Take --only kernels, or name a model.');
  }
  const line = createProgressLine(context.stderr, options.quiet === true);
  const choice = { ...options, ...(model !== undefined && { model }) };
  const device = await context.openDevice(choice, (sentence) => line.notice(sentence));
  try {
    const result = await measureAll(model, options, device, line, context);
    line.finish();
    if (options.json !== undefined) await write(options.json, encodeResult(result));
    if (options.html !== undefined) await write(options.html, renderBenchPage(result));
    context.stdout.write(formatResult(result, 10));
  } finally {
    line.finish();
    await device.destroy();
  }
}

async function measureAll(
  model: string | undefined,
  options: BenchOptions,
  device: Device,
  line: ProgressLine,
  context: CliContext,
): Promise<BenchResult> {
  const { repeats, warmups, only } = options;
  const { signal } = context;
  const repetition = { repeats, warmups, signal };
  const targets = [{ target: device.target, architectures: [] }];
  const { schedules } = await loadScheduleChoice(options, model, device, (sentence) => line.notice(sentence));
  const quantize = quantizeOf(options);
  const recorded = await artifactMemory(model);
  const memory = resolveMemory(options, device, (sentence) => line.notice(sentence), recorded);
  const request = { ...options, quantize, targets, device, schedules, ...(model !== undefined && { model }) };
  line.notice('measuring the ceilings of the device');
  const ceilings = await calibrate(device, { warmups: 2, repeats: 30, signal }, options.operands === 'f16');
  return withSubject(request, async (subject) => {
    const sizes = resolveSizes(options, subject.defaults);
    const names = chooseFunctions(subject.functions, options.component);
    const functions: FunctionTiming[] = [];
    for (const name of only === undefined || only === 'kernels' ? names : []) {
      context.signal.throwIfAborted();
      line.notice(`measuring ${name}`);
      functions.push(await measureFunction(subject.compile(name, []), bindSizesOf(name, sizes), device, repetition));
    }
    const hasStages = only === 'stages' || (only === undefined && options.config === undefined);
    const opened = hasStages
      ? await context.openModel({ ...options, schedules, memory, ...(model !== undefined && { model }) }, device)
      : undefined;
    try {
      const stages =
        opened &&
        (await measureStages(
          opened,
          names,
          (name) => bindSizesOf(name, sizes),
          repetition,
          (stage) => {
            context.signal.throwIfAborted();
            line.notice(`measuring the stage: ${stage}`);
          },
        ));
      return {
        version: RESULT_VERSION,
        date: new Date().toISOString(),
        compiler: VERSION,
        model: subject.name,
        device: device.description,
        processor: describeProcessor(),
        sizes: describeSizes('denoise', sizes),
        ceilings,
        functions,
        stages: stages ?? [],
      };
    } finally {
      await opened?.close();
    }
  });
}

async function readResult(path: string): Promise<BenchResult> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new Flux2cError('F2C401', 'the result cannot be read', { where: [path], found: String(cause), cause });
  });
  return decodeResult(text, path);
}

async function write(path: string, text: string): Promise<void> {
  await writeFileAtomically(path, new TextEncoder().encode(text));
}

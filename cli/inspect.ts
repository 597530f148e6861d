/** `flux2c inspect`: what a model compiles to, the text at any stage, and how a picture was made. */
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { writeFileAtomically } from '../frontend/checkpoint/node/write-file.js';
import { Flux2cError } from '../ir/diagnostics.js';
import { printModule } from '../ir/graph/print.js';
import { componentOf } from '../models/flux2/component-functions.js';
import type { NetworkName } from '../models/flux2/networks.js';
import type { VariantName } from '../models/flux2/variants.js';
import type { CliContext } from './context.js';
import { addCostOptions, addPlannedMemoryOptions, type CostOptions, type MemoryOptions } from './memory-options.js';
import { dumpCompiled, emitStage } from './inspect/emit.js';
import { renderInspectPage } from './inspect/html/inspect-page.js';
import { formatMemories } from './inspect/format-memory.js';
import { type MemoryRequestOptions, reportMemory } from './inspect/memory-report.js';
import { PassRecorder } from './inspect/pass-recorder.js';
import { formatMetadata, readMetadata } from './inspect/picture.js';
import { type InspectReport, reportComponents, reportFunction } from './inspect/report.js';
import { bindSizesOf, describeSizes, type PictureSizes, resolveSizes, type SizeOptions } from './inspect/sizes.js';
import { type InspectSubject, withSubject } from './inspect/subject.js';
import { formatReport } from './inspect/summary.js';
import { addComponentOptions, addReportOptions, type ComponentOptions, contradiction, integerOf, operandsOption, type ReportOptions } from './options.js'; // prettier-ignore
import { addPassOptions, createInstruments, type PassOptions } from './pass-options.js';
import { addQuantizeOptions, type QuantizeCliOptions, quantizeOf } from './quantize-options.js';
import { addScheduleOption, type ScheduleChoice, type ScheduleOptions } from './schedule-options.js';
import { chooseTargets } from './target-device.js';
import { addTargetOptions, describeLeftOut, type TargetOptions } from './target-options.js';
import { VERSION } from './version.js';

interface InspectOptions
  extends
    ComponentOptions,
    CostOptions,
    MemoryOptions,
    ReportOptions,
    PassOptions,
    QuantizeCliOptions,
    ScheduleOptions,
    SizeOptions,
    TargetOptions {
  readonly config?: VariantName;
  readonly component?: NetworkName;
  readonly build?: string;
  readonly html?: string;
  readonly memory?: boolean;
}

const configs: readonly VariantName[] = ['dev', 'klein-9b', 'klein-4b'];

const help = `
Examples:
  $ flux2c inspect circle.png
  $ flux2c inspect --config dev --component denoise --html dev.html
  $ flux2c inspect --config dev --component denoise --target cuda --memory --bandwidth 25
  $ flux2c inspect --config dev --component denoise --memory-budget 8GiB --html dev-8.html
  $ flux2c inspect --component vae_decoder --emit source --kernel conv2d
  $ flux2c inspect --adapter lavapipe --schedules lavapipe.json
  $ flux2c inspect ./FLUX.2-dev --component denoise --stop-after merge-projections --emit graph`;

export function inspectCommand(context: CliContext): Command {
  const command = new Command('inspect')
    .description(
      'show what a model compiles to: sizes, kernels, memory, the text at any stage; or how a picture was made',
    )
    .argument('[file]', 'a model, an artifact or a .png that flux2c wrote (default: the embedded flux2-shapes)')
    .addOption(new Option('--config <name>', 'a released model, without its weights').choices(configs))
    .addOption(
      new Option('--component <name>', 'only this function (default: those that make a picture)').choices(
        Object.keys(componentOf),
      ),
    )
    .option('--build <name>', 'which build of an artifact, or of those for several GPUs (default: the first)')
    .option('--width <pixels>', 'multiple of 16', integerOf('--width', 16))
    .option('--height <pixels>', 'multiple of 16', integerOf('--height', 16))
    .option('--steps <number>', 'denoising steps', integerOf('--steps', 1, 1000))
    .option('--references <number>', 'reference pictures, of the same size', integerOf('--references', 0, 10))
    .option('--text-tokens <number>', 'tokens of the prompt', integerOf('--text-tokens', 1, 4096))
    .addOption(operandsOption())
    .option('--memory', 'what it needs in memory, and what smaller budgets cost in time')
    .option('--html <file>', 'write everything as one page: graph, passes, kernels, memory, weights')
    .addHelpText('after', help);
  addQuantizeOptions(
    addCostOptions(addPlannedMemoryOptions(command, { device: 'with --memory, several', host: 'all of them' })),
  );
  addPassOptions(addComponentOptions(addReportOptions(addScheduleOption(addTargetOptions(command)), 'the report')));
  return command.action((file: string | undefined, options: InspectOptions) => inspect(file, options, context));
}

async function inspect(file: string | undefined, options: InspectOptions, context: CliContext): Promise<void> {
  if (file?.toLowerCase().endsWith('.png') === true) {
    const metadata = await readMetadata(file);
    context.stdout.write(options.json === true ? `${JSON.stringify(metadata, null, 2)}\n` : formatMetadata(metadata));
    return;
  }
  if (file !== undefined && options.config !== undefined) {
    throw contradiction('--config takes the place of a model', 'Leave out one of the two.');
  }
  if (options.emit !== undefined && options.json === true) {
    throw contradiction('--emit prints text, --json the report', 'Leave out one of the two.');
  }
  const memory = memoryRequest(options);
  const notice = (sentence: string): void => {
    if (options.quiet !== true) context.stderr.write(`${sentence}\n`);
  };
  const { targets, schedules, origin } = await chooseTargets(options, file, context, notice);
  const leftOut = describeLeftOut(options);
  if (leftOut !== undefined) notice(leftOut);
  const quantize = quantizeOf(options);
  const request = { ...options, quantize, targets, schedules, ...(file !== undefined && { model: file }) };
  await withSubject(request, async (subject) => {
    const names = chooseFunctions(subject, options);
    if (options.emit !== undefined || options.stopAfter !== undefined) emit(subject, names, options, context);
    else await report(subject, names, options, memory, { schedules, origin }, context);
  });
}

function chooseFunctions(subject: InspectSubject, { component }: InspectOptions): readonly NetworkName[] {
  if (component === undefined) return subject.functions;
  const sameNetwork = subject.functions.some((name) => componentOf[name] === componentOf[component]);
  if (subject.source === 'artifact' ? subject.functions.includes(component) : sameNetwork) return [component];
  throw new Flux2cError('F2C618', `the model has no ${component}`, {
    where: [subject.name],
    expected: subject.functions.join(', '),
    found: component,
  });
}

/** Text of one stage; a graph that is stopped at is never compiled further. */
function emit(
  subject: InspectSubject,
  names: readonly NetworkName[],
  options: InspectOptions,
  { stdout, stderr }: CliContext,
): void {
  const { stopAfter, kernel, emit: stage = 'graph' } = options;
  if (stopAfter !== undefined && stage !== 'graph') {
    throw contradiction(`--stop-after ends before there is a stage '${stage}'`, 'Take --emit graph.');
  }
  for (const name of names) {
    const instruments = createInstruments(options, subject.target, name, (text) => void stderr.write(text));
    const text =
      stopAfter === 'none' && subject.build !== undefined
        ? printModule(subject.build(name))
        : emitStage(subject, name, stage, kernel, instruments);
    stdout.write(text);
  }
}

async function report(
  subject: InspectSubject,
  names: readonly NetworkName[],
  options: InspectOptions,
  wanted: MemoryRequestOptions | undefined,
  choice: ScheduleChoice,
  { stdout, stderr }: CliContext,
): Promise<void> {
  const sizes = resolveSizes(options, subject.defaults);
  const misfits: { readonly name: NetworkName; readonly reason: string }[] = [];
  const inspected = names.flatMap((name) => {
    const recorder = new PassRecorder();
    const instruments = createInstruments(options, subject.target, name, (text) => void stderr.write(text));
    const compiled = subject.compile(name, options.html === undefined ? instruments : [...instruments, recorder]);
    if (options.dumpDir !== undefined) dumpCompiled(join(options.dumpDir, name), compiled);
    try {
      const bound = bindSizesOf(name, sizes);
      const memory = wanted && reportMemory(compiled, bound, subject.target, wanted);
      return [{ compiled, recorder, memory, ...reportFunction(compiled, bound, subject.target, choice) }];
    } catch (error) {
      // Sizes that one function does not fit the target with say nothing of the others.
      if (names.length === 1 || !(error instanceof Flux2cError)) throw error;
      misfits.push({ name, reason: error.format() });
      return [];
    }
  });
  const summary: InspectReport = {
    name: subject.name,
    source: subject.source,
    target: subject.target,
    build: subject.buildName,
    builds: subject.builds,
    components: reportComponents(
      inspected.map(({ compiled }) => ({ name: compiled.name, weights: subject.weightsOf(compiled) })),
    ),
    functions: inspected.map((one) => one.report),
    misfits,
    ...(wanted && { memory: inspected.flatMap(({ memory }) => memory?.memory ?? []) }),
  };
  if (options.html !== undefined) {
    const page = renderInspectPage({
      report: summary,
      functions: inspected,
      sizes: describe(names, sizes),
      version: VERSION,
    });
    await writeFileAtomically(options.html, new TextEncoder().encode(page));
  }
  if (options.json === true) stdout.write(`${JSON.stringify(summary, null, 2)}\n`);
  else if (options.html !== undefined) {
    if (options.quiet !== true) stdout.write(`${options.html}\n`);
  } else if (summary.memory !== undefined) stdout.write(formatMemories(summary.memory, summary, sizes));
  else stdout.write(formatReport(summary, sizes));
}

/** Undefined where memory was not asked for. F2C703 for what says something of it nevertheless, and for what is free, which only a device knows. */
function memoryRequest(options: InspectOptions): MemoryRequestOptions | undefined {
  const { memory, memoryBudget, hostBudget, bandwidth, disk, compute } = options;
  if (memory !== true && memoryBudget === undefined) {
    const unused = Object.entries({ '--host-budget': hostBudget, '--bandwidth': bandwidth, '--disk': disk, '--compute': compute }).find(([, value]) => value !== undefined); // prettier-ignore
    if (unused === undefined) return undefined;
    throw contradiction(`${unused[0]} is for predictions of memory`, 'Take it together with --memory or --memory-budget, or leave it out.'); // prettier-ignore
  }
  if (memoryBudget === 'auto')
    throw contradiction('--memory-budget auto asks a device what is free', 'Say how much: 8GiB.');
  return {
    ...options,
    ...(memoryBudget !== undefined && { budgetBytes: memoryBudget }),
    ...(hostBudget !== undefined && { hostBytes: hostBudget }),
  };
}

function describe(names: readonly NetworkName[], sizes: PictureSizes): ReadonlyMap<NetworkName, string> {
  return new Map(names.map((name) => [name, describeSizes(name, sizes)]));
}

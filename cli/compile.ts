/** `flux2c compile`: a model into an artifact. */
import { Command, Option } from 'commander';
import type { Target } from '../backends/target.js';
import { Flux2cError } from '../ir/diagnostics.js';
import { TOKENIZER_FOLDER, tokenizerFiles } from '../models/flux2/artifact-model.js';
import { compileFunctions, type CompiledFunctions, usedTensors } from '../models/flux2/compile-artifact.js';
import { describeModel } from '../models/flux2/compiled-model.js';
import { availableFunctions, componentOf } from '../models/flux2/component-functions.js';
import { encodeDescription } from '../models/flux2/description-json.js';
import { closeModel, loadModel, type LoadedModel, storedTypes } from '../models/flux2/load-model.js';
import type { Flux2Description, NetworkName } from '../models/flux2/networks.js';
import { openModelFiles } from '../models/flux2/node/open-model.js';
import { pipelineConfigOf } from '../models/flux2/pipeline-config.js';
import { type VariantName, variants } from '../models/flux2/variants.js';
import { type ArtifactWeights, encodeArtifact } from '../runtime/artifact.js';
import { kernelHeaders } from '../runtime/cuda/node/open-cuda.js';
import type { LoadableKernel } from '../runtime/plan/bound-plan.js';
import type { PlanStep } from '../ir/plan.js';
import { writeArtifactFolder } from './artifact-folder.js';
import { compileCubins } from './compile-cubins.js';
import { hostBuildLine, printHostFiles } from './compile-host.js';
import { packWeights, type PlannedWeights, pointToWeights } from './compile-weights.js';
import type { CliContext } from './context.js';
import {
  addComponentOptions,
  addReportOptions,
  collect,
  contradiction,
  integersOf,
  operandsOption,
} from './options.js';
import type { Operands } from '../passes/compile.js';
import type { ComponentOptions, ReportOptions } from './options.js';
import { addInstrumentOptions, createInstruments, type PassOptions } from './pass-options.js';
import { createProgressLine, formatSeconds, type ProgressLine } from './progress-line.js';
import { addTargetOptions, chosenArchitectures, type TargetOptions, targetOf } from './target-options.js';
import { VERSION } from './version.js';

interface CompileOptions
  extends ComponentOptions, ReportOptions, TargetOptions, Omit<PassOptions, 'emit' | 'kernel' | 'stopAfter'> {
  readonly output: string;
  readonly cubin: boolean;
  readonly host?: 'cpp';
  readonly config?: VariantName;
  readonly component?: readonly string[];
  readonly packWeights?: boolean;
  readonly layers?: readonly number[];
  readonly operands?: Operands;
}

const help = `
Examples:
  $ flux2c compile ./FLUX.2-dev -o dev-webgpu --target webgpu
  $ flux2c compile -o shapes --pack-weights && flux2c generate "a green star" --model shapes
  $ flux2c compile --config dev -o dev-plans --component transformer
  $ flux2c compile ./FLUX.2-dev -o dev-hopper --target cuda --arch sm_90a
  $ flux2c compile ./FLUX.2-dev -o dev-program --target cuda --arch sm_80 --host cpp`;

export function compileCommand(context: CliContext): Command {
  const command = new Command('compile')
    .description('compile a model into an artifact that runs without its description')
    .argument(
      '[model]',
      'folder in diffusers layout, component or safetensors file (default: the embedded flux2-shapes)',
    )
    .requiredOption('-o, --output <folder>', 'the artifact to write')
    .option('--no-cubin', "with --target cuda, leave machine code out: the GPU's computer compiles the kernels")
    .addOption(
      new Option('--host <language>', 'with --target cuda, a program that runs it without flux2c').choices(['cpp']),
    )
    .addOption(new Option('--config <name>', 'a released model without weights').choices(Object.keys(variants)))
    .option('--component <name>', 'only this function or network, may be repeated (default: all)', collect)
    .option('--pack-weights', 'copy the weights into the artifact, which can then be moved')
    .option('--layers <numbers>', 'hidden states that the text encoder joins: 10,20,30', integersOf('--layers', 0))
    .addOption(operandsOption())
    .addHelpText('after', help);
  addInstrumentOptions(
    addComponentOptions(addReportOptions(addTargetOptions(command), 'functions, kernels and times')),
  );
  return command.action((model: string | undefined, options: CompileOptions) => compile(model, options, context));
}

async function compile(model: string | undefined, options: CompileOptions, context: CliContext): Promise<void> {
  if (options.config !== undefined) {
    if (model !== undefined) throw contradiction('--config takes the place of a model', 'Leave out one of the two.');
    if (options.packWeights === true)
      throw contradiction('--config has no weights to pack', 'Leave out --pack-weights.');
    await compileDescribed(describeVariant(options.config), undefined, options, context);
    return;
  }
  const { vae, textEncoder, tokenizer, layers } = options;
  const files = await openModelFiles(model, {
    ...(vae !== undefined && { vae }),
    ...(textEncoder !== undefined && { textEncoder }),
    ...(tokenizer !== undefined && { tokenizer }),
  });
  const loaded = await loadModel(files, layers === undefined ? {} : { textEncoderLayers: layers });
  try {
    await compileDescribed(describeModel(loaded), loaded, options, context);
  } finally {
    await closeModel(loaded);
  }
}

function describeVariant(name: VariantName): Flux2Description {
  const { transformer, autoencoder, textEncoder } = variants[name];
  const pipeline = pipelineConfigOf(variants[name], !transformer.guidanceEmbeds);
  return { name, pipeline, transformer, autoencoder, textEncoder };
}

async function compileDescribed(
  description: Flux2Description,
  loaded: LoadedModel | undefined,
  options: CompileOptions,
  context: CliContext,
): Promise<void> {
  const started = performance.now();
  if (options.host !== undefined && options.target !== 'cuda')
    throw contradiction('--host is for GPUs', 'Take it together with --target cuda, or leave it out.');
  if (!options.cubin && options.target !== 'cuda')
    throw contradiction('--no-cubin is for GPUs', 'Take it together with --target cuda, or leave it out.');
  const line = createProgressLine(context.stderr, options.quiet === true);
  try {
    const target = targetOf(options);
    const compiled = compileFunctions({
      description,
      functions: chooseFunctions(description, options),
      target,
      ...(options.operands && { operands: options.operands }),
      dtypesOf: (component) => (loaded ? storedTypes(component, loaded[component]!) : () => 'bf16'),
      ...(options.layers && { layers: options.layers }),
      instrumentsOf: (name) => createInstruments(options, target, name, (text) => void context.stderr.write(text)),
      onFunction: (step, of) => line.update({ stage: 'compile', step, of, secondsLeft: undefined }),
    });
    const compileSeconds = (performance.now() - started) / 1000;
    context.signal.throwIfAborted();
    const planned = loaded && (await planWeights(loaded, compiled, options));
    const kernels = await withMachineCode(compiled.kernels, options, context, line);
    const files = await encodeArtifact({
      compiler: VERSION,
      target: neededTarget(target, options),
      model: encodeDescription(description),
      functions: compiled.functions,
      kernels,
      ...(target.backend === 'cuda' && { headers: kernelHeaders }),
      files: new Map([
        ...(compiled.functions.has('text_encoder') && loaded ? await readTokenizer(loaded) : []),
        ...(options.host === undefined
          ? []
          : printHostFiles(hostRequest(description.name, compiled, planned, options))),
      ]),
      weights: planned?.weights ?? null,
    });
    await writeArtifactFolder(options.output, files, async (folder) => {
      await planned?.write(folder);
      context.signal.throwIfAborted();
    });
    line.finish();
    report({ compiled, kernels, target, compileSeconds, weights: planned?.weights }, options, context);
  } finally {
    line.finish();
  }
}

/** What a device must have: 8-bit floats only where kernels use them. */
function neededTarget({ fp8, ...others }: Target, { operands }: CompileOptions): Target {
  return operands === 'fp8' && fp8 !== undefined ? { ...others, fp8 } : others;
}

function hostRequest(
  name: string,
  { functions, kernels }: CompiledFunctions,
  planned: PlannedWeights | undefined,
  options: CompileOptions,
): Parameters<typeof printHostFiles>[0] {
  const architectures = chosenArchitectures(options);
  return { name, functions, kernels, weights: planned?.weights ?? null, architectures };
}

/** The kernels as they go into the artifact. Without a compiler for them the device's computer needs one. */
async function withMachineCode(
  kernels: CompiledFunctions['kernels'],
  options: CompileOptions,
  { signal }: CliContext,
  line: ProgressLine,
): Promise<ReadonlyMap<string, LoadableKernel>> {
  if (options.target !== 'cuda' || !options.cubin) return kernels;
  const made = await compileCubins({
    kernels,
    headers: kernelHeaders,
    architectures: chosenArchitectures(options),
    signal,
    onProgress: (step, of) => line.update({ stage: 'compile', step, of, secondsLeft: undefined }),
  });
  if (typeof made !== 'string') return made;
  line.notice(`No machine code goes into the artifact (${made}): the GPU's computer will compile the kernels.`);
  return kernels;
}

function planWeights(
  loaded: LoadedModel,
  compiled: CompiledFunctions,
  options: CompileOptions,
): Promise<PlannedWeights> {
  const used = usedTensors(compiled);
  return options.packWeights === true ? packWeights(loaded, used) : pointToWeights(loaded, used);
}

/** The functions that `--component` names: themselves, or all that a network has. */
function chooseFunctions(
  description: Flux2Description,
  { component: wanted, layers }: CompileOptions,
): readonly NetworkName[] {
  const known = availableFunctions(description, layers);
  if (wanted === undefined) return known;
  const names = [...new Set([...known, ...known.map((name) => componentOf[name])])];
  for (const name of wanted) {
    if (names.some((candidate) => candidate === name)) continue;
    throw new Flux2cError('F2C618', `the model has no ${name}`, {
      where: [description.name],
      expected: names.join(', '),
      found: name,
    });
  }
  return known.filter((name) => wanted.includes(name) || wanted.includes(componentOf[name]));
}

async function readTokenizer({ files }: LoadedModel): Promise<ReadonlyMap<string, string>> {
  const texts = new Map<string, string>();
  for (const file of tokenizerFiles) {
    const text = await files.components.tokenizer?.readText(file);
    if (text !== undefined) texts.set(`${TOKENIZER_FOLDER}/${file}`, text);
  }
  return texts;
}

interface CompileReport {
  readonly compiled: CompiledFunctions;
  readonly kernels: ReadonlyMap<string, LoadableKernel>;
  readonly target: Target;
  readonly compileSeconds: number;
  readonly weights: ArtifactWeights | undefined;
}

function report(
  { compiled, kernels: made, target, compileSeconds, weights }: CompileReport,
  options: CompileOptions,
  context: CliContext,
): void {
  const functions = [...compiled.functions].map(([name, { plan }]) => ({ name, launches: countLaunches(plan.steps) }));
  const kernels = made.size;
  const architectures = [...new Set([...made.values()].flatMap(({ binaries }) => [...(binaries?.keys() ?? [])]))];
  if (options.json === true) {
    const files = weights?.files.map(({ path, byteLength }) => ({ path, byteLength })) ?? [];
    const summary = {
      output: options.output,
      target,
      functions,
      kernels,
      architectures,
      weights: files,
      compileSeconds,
    };
    context.stdout.write(`${JSON.stringify(summary, null, 2)}\n`);
    return;
  }
  const listed = functions.map(({ name, launches }) => `  ${name}: ${launches} launches\n`).join('');
  context.stdout.write(
    `${options.output}: ${kernels} kernels for ${[target.backend, ...architectures].join(', ')}, compiled in ${formatSeconds(compileSeconds)}\n${listed}`,
  );
  if (options.host === undefined) return;
  context.stdout.write(
    `Build the program with\n  ${hostBuildLine(chosenArchitectures(options))}\nin ${options.output}.\n`,
  );
}

/** As written: a loop's once. */
function countLaunches(steps: readonly PlanStep[]): number {
  return steps.reduce((sum, step) => {
    if (step.kind === 'loop') return sum + countLaunches(step.steps);
    return sum + (step.kind === 'launch' ? 1 : 0);
  }, 0);
}

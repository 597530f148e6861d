/** `flux2c compile`: a model into an artifact. */
import { Command, Option } from 'commander';
import { Flux2cError } from '../ir/diagnostics.js';
import { describeModel, describeRelease } from '../models/flux2/compiled-model.js';
import { availableFunctions, componentOf } from '../models/flux2/component-functions.js';
import { closeModel, loadModel, type LoadedModel, storedTypes } from '../models/flux2/load-model.js';
import type { Flux2Description, NetworkName } from '../models/flux2/networks.js';
import { openModelFiles } from '../models/flux2/node/open-model.js';
import { chooseEncodings, chooseEncodingsOfModule } from '../models/flux2/quantized-tensors.js';
import { type VariantName, variants } from '../models/flux2/variants.js';
import { compileBuilds } from './compile-builds.js';
import { compiledBudget, planMemory } from './compile-memory.js';
import { reportCompiled } from './compile-report.js';
import type { CliContext } from './context.js';
import { addPlannedMemoryOptions, type MemoryOptions } from './memory-options.js';
import { checkKept } from './open-model.js';
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
import { createProgressLine } from './progress-line.js';
import { addScheduleOption, type ScheduleOptions } from './schedule-options.js';
import { addQuantizeOptions, type QuantizeCliOptions, quantizeOf } from './quantize-options.js';
import { chooseTargets } from './target-device.js';
import { addTargetOptions, describeLeftOut, type TargetOptions } from './target-options.js';
import { writeArtifact } from './write-artifact.js';

interface CompileOptions
  extends
    ComponentOptions,
    MemoryOptions,
    QuantizeCliOptions,
    ReportOptions,
    ScheduleOptions,
    TargetOptions,
    Omit<PassOptions, 'emit' | 'kernel' | 'stopAfter'> {
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
  $ flux2c compile ./FLUX.2-dev -o dev-int4 --quantize int4 --keep 'transformer_blocks.0.*'
  $ flux2c compile ./FLUX.2-dev -o dev-8 --quantize int8 --memory-budget 8GiB
  $ flux2c compile --config dev -o dev-plans --component transformer
  $ flux2c compile ./FLUX.2-dev -o dev-hopper --target cuda --arch sm_90a
  $ flux2c compile ./FLUX.2-dev -o dev-program --target cuda --arch sm_80 --host cpp`;

export function compileCommand(context: CliContext): Command {
  const command = new Command('compile')
    .description('compile a model into an artifact that runs without its description')
    .argument(
      '[model]',
      'folder in diffusers layout, component, safetensors or GGUF file (default: the embedded flux2-shapes)',
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
  addPlannedMemoryOptions(addQuantizeOptions(command), {
    device: 'none, what is free where it runs decides',
    host: '60 % of what is free where it runs',
  });
  addInstrumentOptions(
    addComponentOptions(addReportOptions(addScheduleOption(addTargetOptions(command)), 'functions, kernels and times')),
  );
  return command.action((model: string | undefined, options: CompileOptions) => compile(model, options, context));
}

async function compile(model: string | undefined, options: CompileOptions, context: CliContext): Promise<void> {
  if (options.config !== undefined) {
    if (model !== undefined) throw contradiction('--config takes the place of a model', 'Leave out one of the two.');
    if (options.packWeights === true)
      throw contradiction('--config has no weights to pack', 'Leave out --pack-weights.');
    await compileDescribed(describeRelease(options.config, options), undefined, options, context);
    return;
  }
  const { vae, textEncoder, tokenizer, cachedReferences, layers } = options;
  const files = await openModelFiles(model, {
    ...(vae !== undefined && { vae }),
    ...(textEncoder !== undefined && { textEncoder }),
    ...(tokenizer !== undefined && { tokenizer }),
  });
  const loaded = await loadModel(files, {
    ...(layers !== undefined && { textEncoderLayers: layers }),
    ...(cachedReferences !== undefined && { cachedReferences }),
  });
  try {
    await compileDescribed(describeModel(loaded), loaded, options, context);
  } finally {
    await closeModel(loaded);
  }
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
  const budget = compiledBudget(options);
  const quantize = quantizeOf(options);
  if (loaded !== undefined) checkKept(quantize, loaded);
  const line = createProgressLine(context.stderr, options.quiet === true);
  try {
    const { targets, schedules } = await chooseTargets(options, undefined, context, (sentence) =>
      line.notice(sentence),
    );
    const leftOut = describeLeftOut(options);
    if (leftOut !== undefined) line.notice(leftOut);
    const builds = compileBuilds({
      description,
      functions: chooseFunctions(description, options),
      targets,
      ...(options.operands && { operands: options.operands }),
      schedules,
      dtypesOf: (component) => (loaded ? storedTypes(component, loaded[component]!) : () => 'bf16'),
      encodingOf: (component, module) =>
        loaded
          ? chooseEncodings(component, loaded[component]!, quantize)
          : chooseEncodingsOfModule(component, module, quantize),
      ...(options.layers && { layers: options.layers }),
      instrumentsOf: (name) =>
        createInstruments(options, targets[0]!.target, name, (text) => void context.stderr.write(text)),
      onFunction: (step, of, family) => {
        const detail = targets.length > 1 ? { detail: `for ${family}` } : {};
        line.update({ stage: 'compile', ...detail, step, of, secondsLeft: undefined });
      },
    });
    const compileSeconds = (performance.now() - started) / 1000;
    context.signal.throwIfAborted();
    const memory = budget && planMemory(builds, description, budget);
    const { code, weights } = await writeArtifact({ description, loaded, builds, memory }, options, context, line);
    line.finish();
    reportCompiled({ builds, code, compileSeconds, weights, memory }, options, context.stdout);
  } finally {
    line.finish();
  }
}

/** The functions that `--component` names: themselves, or all that a network has. */
function chooseFunctions(description: Flux2Description, { component: wanted }: CompileOptions): readonly NetworkName[] {
  const known = availableFunctions(description);
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

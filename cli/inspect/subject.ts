/** What `inspect` looks at: a model's files, an artifact, or the configuration of a released model. */
import { kernelPrinter } from '../../backends/print-kernel.js';
import { familyOf, type Target } from '../../backends/target.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import type { Module } from '../../ir/graph/graph.js';
import type { Schedule, TileKernel } from '../../ir/kernel/tile.js';
import type { Plan } from '../../ir/plan.js';
import { buildFunction, componentOf } from '../../models/flux2/component-functions.js';
import { pixelsPerToken } from '../../models/flux2/config.js';
import { describeModel, describeRelease } from '../../models/flux2/compiled-model.js';
import { decodeDescription } from '../../models/flux2/description-json.js';
import { closeModel, loadModel, storedTypes } from '../../models/flux2/load-model.js';
import type { Flux2Description, NetworkName } from '../../models/flux2/networks.js';
import { operandsOf } from '../../models/flux2/network-operands.js';
import { openModelFiles } from '../../models/flux2/node/open-model.js';
import {
  chooseEncodings,
  chooseEncodingsOfModule,
  mayQuantize,
  type QuantizeOptions,
} from '../../models/flux2/quantized-tensors.js';
import type { VariantName } from '../../models/flux2/variants.js';
import type { WeightDTypes } from '../../models/flux2/weights.js';
import { type CompileOptions, type EncodingOf, type Operands, passesFor, prepareModule } from '../../passes/compile.js';
import { type Instrument, runGraphPasses } from '../../passes/pass.js';
import { chooseBuild } from '../../runtime/artifact/choose-build.js';
import type { Device } from '../../runtime/device.js';
import type { LoadableKernel } from '../../runtime/plan/bound-plan.js';
import { isArtifact, openArtifactFolder } from '../artifact-folder.js';
import { checkKept } from '../open-model.js';
import { type ComponentOptions, contradiction } from '../options.js';
import { type StoredWeight, weightsOfModule, weightsOfPlan } from './stored-weights.js';
import type { BuildTarget } from '../target-options.js';

export interface InspectSubject {
  readonly name: string;
  readonly source: 'checkpoint' | 'artifact' | 'configuration';
  readonly target: Target;
  /** The name of the one of `builds` that is looked at. */
  readonly buildName: string;
  /** What the artifact has, or what one of the model would have as far as kernels differ. */
  readonly builds: readonly BuildSummary[];
  /** In the order of their use; a loop's variants (with guidance, with cached references) are left to `--component`. */
  readonly functions: readonly NetworkName[];
  readonly defaults: SizeDefaults;
  /** The weights of a function: of its graph, where there is one, because plans rename those that they pack. */
  readonly weightsOf: (compiled: InspectedFunction) => readonly StoredWeight[];
  readonly compile: (name: NetworkName, instruments: readonly Instrument[]) => InspectedFunction;
  /** Compiles a function under schedules, any number of times; absent for artifacts, whose kernels are made. */
  readonly prepare?: (name: NetworkName) => ReturnType<typeof prepareModule>;
  /** The graph as the passes leave it; absent for artifacts, which have none. */
  readonly runPasses?: (name: NetworkName, instruments: readonly Instrument[]) => Module;
  /** The graph as the model's description builds it. */
  readonly build?: (name: NetworkName) => Module;
}

export interface BuildSummary {
  readonly name: string;
  /** GPUs; empty for other devices. */
  readonly architectures: readonly string[];
}

/** Sizes that a model is made for. */
export interface SizeDefaults {
  readonly width: number;
  readonly height: number;
  readonly steps: number;
  readonly textTokens: number;
  readonly pixelsPerToken: number;
}

export interface InspectedFunction {
  readonly name: NetworkName;
  readonly plan: Plan;
  readonly kernels: ReadonlyMap<string, InspectedKernel>;
}

/** A kernel; those of artifacts have lost how they were made. */
export interface InspectedKernel extends LoadableKernel {
  readonly key?: () => string;
  readonly tile?: TileKernel;
  readonly schedule?: Schedule;
}

export interface SubjectRequest extends ComponentOptions {
  /** A model's or an artifact's path; default: the embedded checkpoint. */
  readonly model?: string;
  readonly config?: VariantName;
  /** What to compile for, where it is no artifact. */
  readonly targets: readonly BuildTarget[];
  /** Which of the targets, or of an artifact's builds, by its name; default: the first. */
  readonly build?: string;
  /** Takes an artifact's build for this device instead. */
  readonly device?: Pick<Device, 'target' | 'description'>;
  /** As `compile` and `generate` have them; an artifact has its own. */
  readonly operands?: Operands;
  /** In place of the chosen ones, by kernel key; an artifact has its own. */
  readonly schedules?: CompileOptions['schedules'];
  /** Default: weights are held as they are stored; an artifact has its own. */
  readonly quantize?: QuantizeOptions | undefined;
}

/** What models and configurations are compiled for, and how. */
interface Compiling {
  readonly targets: readonly BuildTarget[];
  readonly build: string | undefined;
  readonly operands: NonNullable<CompileOptions['operands']>;
  readonly schedules: CompileOptions['schedules'];
}

/** What compiles and is of interest, in the order in which a picture is made. */
const order: readonly NetworkName[] = ['text_encoder', 'vae_encoder', 'denoise', 'vae_decoder'];

/** Opens the subject; `use` ends before the files are closed. Errors of files, models and artifacts. */
export async function withSubject<T>(
  request: SubjectRequest,
  use: (subject: InspectSubject) => Promise<T>,
): Promise<T> {
  const { model: path, config, targets, build, device, operands, schedules, quantize, ...components } = request;
  const compiling: Compiling = { targets, build, operands: operands ?? 'stored', schedules };
  if (config !== undefined) {
    const description = describeRelease(config, components);
    const encodingOf = (name: NetworkName, module: Module): EncodingOf =>
      chooseEncodingsOfModule(componentOf[name], module, quantize);
    return use(describedSubject(config, 'configuration', description, { typesOf: () => () => 'bf16', encodingOf }, compiling)); // prettier-ignore
  }
  if (path !== undefined && (await isArtifact(path))) {
    if (operands !== undefined || quantize !== undefined) {
      throw contradiction(
        'operands and encodings of an artifact were chosen when it was compiled',
        'Leave out --operands, --quantize and --keep.',
      );
    }
    return use(await artifactSubject(path, build, device));
  }
  const { cachedReferences } = components;
  const loadOptions = cachedReferences === undefined ? {} : { cachedReferences };
  const model = await loadModel(await openModelFiles(path, components), loadOptions);
  try {
    const typesOf = (name: NetworkName): WeightDTypes => {
      const component = componentOf[name];
      const loaded = model[component];
      return loaded === undefined ? () => 'f32' : storedTypes(component, loaded);
    };
    checkKept(quantize, model);
    const encodingOf = (name: NetworkName): EncodingOf | undefined => {
      const component = componentOf[name];
      const loaded = model[component];
      return loaded && chooseEncodings(component, loaded, quantize);
    };
    return await use(describedSubject(model.name, 'checkpoint', describeModel(model), { typesOf, encodingOf }, compiling)); // prettier-ignore
  } finally {
    await closeModel(model);
  }
}

/** How weights are stored, and are to be held on the device. */
interface StoredWeights {
  readonly typesOf: (name: NetworkName) => WeightDTypes;
  readonly encodingOf: (name: NetworkName, module: Module) => EncodingOf | undefined;
}

function describedSubject(
  name: string,
  source: InspectSubject['source'],
  description: Flux2Description,
  { typesOf, encodingOf }: StoredWeights,
  { targets, build: wanted, operands, schedules }: Compiling,
): InspectSubject {
  const families = new Map<string, BuildTarget>();
  for (const one of targets) {
    const family = familyOf(one.target);
    if (families.has(family)) throw new Error(`internal: two builds are called ${family}`);
    families.set(family, one);
  }
  const chosen = nameBuild(name, families, wanted);
  const { target } = families.get(chosen)!;
  const { transformer, autoencoder, textEncoder, pipeline } = description;
  const optionsOf = (fn: NetworkName, module: Module): CompileOptions => {
    const held = encodingOf(fn, module);
    return {
      print: kernelPrinter(target),
      operands: operandsOf(componentOf[fn], operands, target),
      mayQuantize,
      ...(held && { encodingOf: held }),
    };
  };
  const has = { transformer, vae: autoencoder, text_encoder: textEncoder };
  const build = (fn: NetworkName): Module => {
    const layers = fn === 'text_encoder' && pipeline === undefined ? lastLayer(description) : undefined;
    return buildFunction(description, fn, typesOf(fn), layers);
  };
  return {
    name,
    source,
    target,
    buildName: chosen,
    builds: summarizeBuilds(families),
    functions: order.filter((fn) => has[componentOf[fn]] !== undefined),
    defaults: sizeDefaults(description),
    build,
    weightsOf: ({ name: fn }) => {
      const module = build(fn);
      return weightsOfModule(module, encodingOf(fn, module));
    },
    runPasses: (fn, instruments) => {
      const module = build(fn);
      return runGraphPasses(module, passesFor(module, target, optionsOf(fn, module)), target, instruments);
    },
    prepare: (fn) => {
      const module = build(fn);
      return prepareModule(module, target, optionsOf(fn, module));
    },
    compile: (fn, instruments) => {
      const module = build(fn);
      const { plans, kernels } = prepareModule(module, target, { ...optionsOf(fn, module), instruments })(schedules);
      return { name: fn, plan: plans.get(fn)!, kernels };
    },
  };
}

/** A text encoder alone says nothing of the hidden states that a pipeline would join. */
function lastLayer({ textEncoder }: Flux2Description): readonly number[] | undefined {
  return textEncoder && [textEncoder.layers - 1];
}

/** Of models without a pipeline the usual ones. */
export function sizeDefaults({ pipeline, autoencoder }: Flux2Description): SizeDefaults {
  const { width = 1024, height = 1024, steps = 50 } = pipeline?.sampling ?? {};
  const pixels = autoencoder === undefined ? 16 : pixelsPerToken(autoencoder);
  return { width, height, steps, textTokens: pipeline?.maxSequenceLength ?? 512, pixelsPerToken: pixels };
}

async function artifactSubject(
  path: string,
  wanted: string | undefined,
  device: SubjectRequest['device'],
): Promise<InspectSubject> {
  const { manifest, loadBuild } = await openArtifactFolder(path);
  const { builds, model } = manifest;
  const chosen = device === undefined ? nameBuild(path, builds, wanted) : chooseBuild(path, builds, device);
  const { plans, kernels } = await loadBuild(chosen);
  const names = Object.keys(componentOf) as NetworkName[];
  return {
    name: path,
    source: 'artifact',
    target: builds.get(chosen)!.target,
    buildName: chosen,
    builds: summarizeBuilds(builds),
    functions: names.filter((name) => plans.has(name)),
    defaults: sizeDefaults(decodeDescription(model, path)),
    weightsOf: ({ name, plan }) => weightsOfPlan(plan, manifest.weights?.components.get(componentOf[name])),
    compile: (name) => ({ name, plan: plans.get(name)!, kernels }),
  };
}

/** The build that was asked for, by default the first. F2C618 when there is none of that name. */
function nameBuild(subject: string, builds: ReadonlyMap<string, unknown>, wanted: string | undefined): string {
  const names = [...builds.keys()];
  const found = wanted === undefined ? names[0] : names.find((name) => name === wanted);
  if (found !== undefined) return found;
  throw new Flux2cError('F2C618', `there is no build ${wanted}`, {
    where: [subject],
    expected: names.join(', '),
    found: wanted ?? 'none',
  });
}

function summarizeBuilds(
  builds: ReadonlyMap<string, { readonly architectures: readonly string[] }>,
): readonly BuildSummary[] {
  return [...builds].map(([name, { architectures }]) => ({ name, architectures }));
}

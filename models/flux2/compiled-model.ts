/** A model compiled from its checkpoint, a function at a time, when it is first used. */
import { kernelPrinter } from '../../backends/print-kernel.js';
import { createModule } from '../../frontend/index.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import { isFloat } from '../../ir/dtype.js';
import type { Module } from '../../ir/graph/graph.js';
import { compileModule, type CompileOptions, KernelCache } from '../../passes/compile.js';
import type { CompiledModule } from '../../passes/compiled.js';
import type { Device } from '../../runtime/device.js';
import { kernelsOf } from '../../runtime/session-loading.js';
import { checkpointWeights } from '../../runtime/weights.js';
import { chatFormatOf } from './chat-format.js';
import { availableFunctions, buildFunction, componentOf } from './component-functions.js';
import { collectExpectedWeights } from './expected-weights.js';
import { type HeldWeight, heldWeight } from './held-weights.js';
import { closeModel, type LoadedComponent, type LoadedModel, type LoadOptions, storedTypes } from './load-model.js';
import { type MemoryBudget, MemoryShares } from './memory-shares.js';
import type { Flux2Description, Flux2Model, Network, NetworkName } from './networks.js';
import { pipelineConfigOf, withCachedReferences } from './pipeline-config.js';
import type { ReportProgress } from './progress.js';
import { chooseEncodings, mayQuantize, type QuantizeOptions } from './quantized-tensors.js';
import { addResidualStreams, RESIDUAL_STREAMS } from './residual-streams.js';
import { openSessionNetwork } from './session-network.js';
import { loadTokenizer, type PromptTokenizer } from './tokenizer.js';
import { type VariantName, variants } from './variants.js';
import type { Component } from './weights.js';
import { operandsOf } from './network-operands.js';

export interface CompiledModelOptions extends LoadOptions {
  readonly instruments?: CompileOptions['instruments'];
  /** Default: `stored`. */
  readonly operands?: CompileOptions['operands'];
  /** In place of the chosen ones, by kernel key. */
  readonly schedules?: CompileOptions['schedules'];
  /** What all functions that are open may take together. Default: as much as they need. */
  readonly memory?: MemoryBudget | undefined;
  /** Weights to be encoded while they are loaded. Those that the files hold encoded are kept as they are. */
  readonly quantize?: QuantizeOptions;
}

export class CompiledFlux2Model implements Flux2Model {
  readonly description: Flux2Description;
  readonly maxTensorBytes: number;
  private readonly shares: MemoryShares | undefined;
  private readonly cache = new KernelCache();
  /** Compiled ahead and not opened yet. */
  private readonly prepared = new Map<NetworkName, CompiledModule>();

  /** Takes over `loaded` and closes it with itself. */
  constructor(
    private readonly loaded: LoadedModel,
    private readonly device: Device,
    private readonly options: CompiledModelOptions = {},
  ) {
    this.shares = options.memory && new MemoryShares(options.memory);
    this.description = describeModel(loaded);
    this.maxTensorBytes = device.target.maxBufferBytes;
  }

  /** Compiles one function after the other while their kernels, and those opened meanwhile, are at work in the driver. */
  prepare(names: readonly NetworkName[], signal?: AbortSignal): void {
    if (this.device.prepareKernels === undefined) return;
    const prepareAll = async (): Promise<void> => {
      for (const name of names) {
        if (signal?.aborted === true) return;
        if (!this.prepared.has(name)) this.prepared.set(name, this.compile(name));
        const { plans, kernels } = this.prepared.get(name)!;
        this.device.prepareKernels?.(kernelsOf(plans.get(name)!, kernels));
        // Whoever waits for something else goes first.
        await new Promise((resolve) => setTimeout(resolve));
      }
    };
    prepareAll().catch(() => undefined);
  }

  get hasBudget(): boolean {
    return this.shares?.isLimited === true;
  }

  async open(name: NetworkName, report?: ReportProgress, signal?: AbortSignal, isBeside = false): Promise<Network> {
    const loaded = this.requireComponent(componentOf[name]);
    report?.({ stage: 'compile', step: 0, of: 1, secondsLeft: undefined });
    const compiled = this.prepared.get(name) ?? this.compile(name);
    this.prepared.delete(name);
    return this.openCompiled(name, compiled, loaded, isBeside, report, signal);
  }

  async openResidualStreams(
    blocks: readonly string[],
    withVelocity: boolean,
    report?: ReportProgress,
    signal?: AbortSignal,
  ): Promise<Network> {
    const loaded = this.requireComponent('transformer');
    report?.({ stage: 'compile', step: 0, of: 1, secondsLeft: undefined });
    const module = createModule();
    addResidualStreams(module, this.description.transformer!, blocks, withVelocity, storedTypes('transformer', loaded));
    const compiled = this.compileFunction('transformer', module.build());
    return this.openCompiled(RESIDUAL_STREAMS, compiled, loaded, false, report, signal);
  }

  listWeights(component: Component): readonly HeldWeight[] {
    const loaded = this.loaded[component];
    if (loaded === undefined) return [];
    const { checkpoint, table } = loaded;
    const provider = checkpointWeights(checkpoint, table);
    const encodingOf = chooseEncodings(component, loaded, this.options.quantize);
    const used = this.listUsed(component);
    return [...table.values()].flatMap(({ name, shape, dtype, encoding }): readonly HeldWeight[] => {
      if (!used.has(name) || dtype === undefined || !isFloat(dtype)) return [];
      return [heldWeight(provider, { name, shape, dtype, storedEncoding: encoding?.text, encoding: encodingOf(name) })];
    });
  }

  /** Names of the weights that some function of the network reads: of a text encoder, not those of layers that no result comes from. */
  private listUsed(component: Component): ReadonlySet<string> {
    const functions = availableFunctions(this.description).filter((name) => componentOf[name] === component);
    const modules = functions.map((name) => buildFunction(this.description, name, () => 'f32', this.options.textEncoderLayers)); // prettier-ignore
    return new Set(modules.flatMap((module) => [...collectExpectedWeights(module, component).keys()]));
  }

  /** The function's plan and kernels for the device. F2C618 when the model has not the network. */
  compile(name: NetworkName): CompiledModule {
    const component = componentOf[name];
    const loaded = this.requireComponent(component);
    const dtypes = storedTypes(component, loaded);
    const module = buildFunction(this.description, name, dtypes, this.options.textEncoderLayers);
    return this.compileFunction(component, module);
  }

  private compileFunction(component: Component, module: Module): CompiledModule {
    const loaded = this.requireComponent(component);
    const { target } = this.device;
    const { instruments, operands, schedules, quantize } = this.options;
    return compileModule(module, target, {
      print: kernelPrinter(target),
      ...(instruments && { instruments }),
      ...(schedules && { schedules }),
      operands: operandsOf(component, operands, target),
      mayQuantize,
      encodingOf: chooseEncodings(component, loaded, quantize),
      cache: this.cache,
    });
  }

  private openCompiled(
    name: string,
    { plans, kernels }: CompiledModule,
    { checkpoint, table }: LoadedComponent<unknown>,
    isBeside: boolean,
    report: ReportProgress | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Network> {
    const weights = checkpointWeights(checkpoint, table);
    const memory = this.shares?.take(isBeside);
    const parts = { plan: plans.get(name)!, kernels, device: this.device, weights, memory };
    return openSessionNetwork(parts, report, signal);
  }

  async openTokenizer(): Promise<PromptTokenizer> {
    const { files } = this.loaded;
    const { pipeline } = this.description;
    const folder = files.components.tokenizer;
    const json = await folder?.readText('tokenizer.json');
    if (folder === undefined || json === undefined || pipeline === undefined) {
      throw new Flux2cError('F2C618', 'the model has no tokenizer', {
        where: [files.name],
        hint: `${files.hintFor('tokenizer')} Prompt embeddings can be given instead: --prompt-embeds FILE.`,
      });
    }
    const config = (await folder.readText('tokenizer_config.json')) ?? '{}';
    const template = (await folder.readText('chat_template.jinja')) ?? (await folder.readText('chat_template.json'));
    return loadTokenizer(json, config, chatFormatOf(pipeline), template);
  }

  close(): Promise<void> {
    return closeModel(this.loaded);
  }

  private requireComponent(component: Component): LoadedComponent<unknown> {
    const loaded = this.loaded[component];
    if (loaded !== undefined) return loaded;
    const { files } = this.loaded;
    const embeddings =
      component === 'text_encoder' ? ' Prompt embeddings can be given instead: --prompt-embeds FILE.' : '';
    throw new Flux2cError('F2C618', `the model has no ${component}`, {
      where: [files.name],
      hint: `${files.hintFor(component)}${embeddings}`,
    });
  }
}

export function describeModel({
  name,
  pipeline,
  transformer,
  vae,
  text_encoder: textEncoder,
}: LoadedModel): Flux2Description {
  return {
    name,
    pipeline,
    transformer: transformer?.config,
    autoencoder: vae?.config,
    textEncoder: textEncoder?.config,
  };
}

/** A released model without its files. F2C614 for cached references of one that is not as klein 9b-kv. */
export function describeRelease(
  name: VariantName,
  { cachedReferences = false }: Pick<LoadOptions, 'cachedReferences'> = {},
): Flux2Description {
  const { transformer, autoencoder, textEncoder } = variants[name];
  const pipeline = pipelineConfigOf(variants[name]);
  return {
    name,
    pipeline: cachedReferences ? withCachedReferences(pipeline) : pipeline,
    transformer,
    autoencoder,
    textEncoder,
  };
}

/** Models as artifacts: what `flux2c compile` puts into one, and running from one. */
import { dtypeOfFile } from '../../frontend/checkpoint/file-dtype.js';
import type { JsonValue } from '../../frontend/checkpoint/strict-json.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import { isFloat } from '../../ir/dtype.js';
import type { Artifact, LoadedBuild } from '../../runtime/artifact.js';
import type { Device } from '../../runtime/device.js';
import type { WeightEntry } from '../../runtime/artifact/manifest.js';
import { kernelsOf } from '../../runtime/session-loading.js';
import type { WeightProvider } from '../../runtime/weight-provider.js';
import { chatFormatOf } from './chat-format.js';
import { decodeDescription } from './description-json.js';
import { type HeldWeight, heldWeight } from './held-weights.js';
import { type MemoryBudget, MemoryShares } from './memory-shares.js';
import type { Flux2Description, Flux2Model, Network, NetworkName } from './networks.js';
import type { ReportProgress } from './progress.js';
import { openSessionNetwork } from './session-network.js';
import { loadTokenizer, type PromptTokenizer } from './tokenizer.js';
import type { Component } from './weights.js';

/** Where the tokenizer's files lie in an artifact. */
export const TOKENIZER_FOLDER = 'tokenizer';
export const tokenizerFiles = [
  'tokenizer.json',
  'tokenizer_config.json',
  'chat_template.jinja',
  'chat_template.json',
] as const;

/** The weights of a network of the artifact. */
export type OpenWeights = (component: string) => WeightProvider;

export class ArtifactFlux2Model implements Flux2Model {
  readonly description: Flux2Description;
  readonly maxTensorBytes: number;
  private readonly shares: MemoryShares | undefined;

  /**
   * `build` is the one for the device (`chooseBuild`), `closeWeights` ends what `openWeights` gives, `memory` is for all functions that
   * are open. F2C530 when the model's
   * configurations are malformed.
   */
  constructor(
    private readonly artifact: Artifact,
    private readonly build: LoadedBuild,
    private readonly device: Device,
    private readonly openWeights: OpenWeights,
    private readonly closeWeights: () => Promise<void>,
    memory?: MemoryBudget,
  ) {
    this.shares = memory && new MemoryShares(memory);
    this.description = decodeDescription(artifact.manifest.model as JsonValue, 'manifest.json');
    this.maxTensorBytes = device.target.maxBufferBytes;
  }

  prepare(names: readonly NetworkName[]): void {
    for (const name of names) {
      const plan = this.build.plans.get(name);
      if (plan !== undefined) this.device.prepareKernels?.(kernelsOf(plan, this.build.kernels));
    }
  }

  get hasBudget(): boolean {
    return this.shares?.isLimited === true;
  }

  async open(name: NetworkName, report?: ReportProgress, signal?: AbortSignal, isBeside = false): Promise<Network> {
    const fn = this.artifact.manifest.functions.get(name);
    const plan = this.build.plans.get(name);
    if (fn === undefined || plan === undefined) {
      throw new Flux2cError('F2C618', `the artifact has no ${name}`, {
        where: [this.description.name],
        found: [...this.build.plans.keys()].join(', '),
        hint: `Compile it with --component ${name}, or without --component for all.`,
      });
    }
    const weights = this.openWeights(fn.component);
    const memory = this.shares?.take(isBeside);
    return openSessionNetwork(
      { plan, kernels: this.build.kernels, device: this.device, weights, memory },
      report,
      signal,
    );
  }

  listWeights(component: Component): readonly HeldWeight[] {
    const entries = this.artifact.manifest.weights?.components.get(component) ?? new Map<string, WeightEntry>();
    return [...entries].flatMap(([name, entry]): readonly HeldWeight[] => {
      const { shape } = entry;
      const dtype = dtypeOfFile(entry.dtype);
      const encoding = 'encoding' in entry ? entry.encoding : undefined;
      if (dtype === undefined || !isFloat(dtype)) return [];
      return [heldWeight(this.openWeights(component), { name, shape, dtype, storedEncoding: encoding, encoding })];
    });
  }

  async openTokenizer(): Promise<PromptTokenizer> {
    const read = (file: string): Promise<string | undefined> => this.artifact.readText(`${TOKENIZER_FOLDER}/${file}`);
    const json = await read('tokenizer.json');
    const { pipeline, name } = this.description;
    if (json === undefined || pipeline === undefined) {
      throw new Flux2cError('F2C618', 'the artifact has no tokenizer', {
        where: [name],
        hint: 'Prompt embeddings can be given instead: --prompt-embeds FILE.',
      });
    }
    const config = (await read('tokenizer_config.json')) ?? '{}';
    const template = (await read('chat_template.jinja')) ?? (await read('chat_template.json'));
    return loadTokenizer(json, config, chatFormatOf(pipeline), template);
  }

  close(): Promise<void> {
    return this.closeWeights();
  }
}

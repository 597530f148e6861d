/** Models as artifacts: what `flux2c compile` puts into one, and running from one. */
import type { JsonValue } from '../../frontend/checkpoint/strict-json.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import type { Artifact } from '../../runtime/artifact.js';
import type { Device } from '../../runtime/device.js';
import type { WeightProvider } from '../../runtime/weight-provider.js';
import { chatFormatOf } from './chat-format.js';
import { decodeDescription } from './description-json.js';
import type { Flux2Description, Flux2Model, Network, NetworkName } from './networks.js';
import type { ReportProgress } from './progress.js';
import { openSessionNetwork } from './session-network.js';
import { loadTokenizer, type PromptTokenizer } from './tokenizer.js';

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

  /** `closeWeights` ends what `openWeights` gives. F2C530 when the model's configurations are malformed. */
  constructor(
    private readonly artifact: Artifact,
    private readonly device: Device,
    private readonly openWeights: OpenWeights,
    private readonly closeWeights: () => Promise<void>,
  ) {
    this.description = decodeDescription(artifact.manifest.model as JsonValue, 'manifest.json');
    this.maxTensorBytes = device.target.maxBufferBytes;
    checkTarget(artifact, device);
  }

  async open(name: NetworkName, report?: ReportProgress): Promise<Network> {
    const fn = this.artifact.manifest.functions.get(name);
    const plan = this.artifact.plans.get(name);
    if (fn === undefined || plan === undefined) {
      throw new Flux2cError('F2C618', `the artifact has no ${name}`, {
        where: [this.description.name],
        found: [...this.artifact.plans.keys()].join(', '),
        hint: `Compile it with --component ${name}, or without --component for all.`,
      });
    }
    const weights = this.openWeights(fn.component);
    return openSessionNetwork({ plan, kernels: this.artifact.kernels, device: this.device, weights }, report);
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

/** F2C533 unless the device can do what the kernels and plans were made for. Other limits are met by instantiation. */
function checkTarget({ manifest }: Artifact, { target, description }: Device): void {
  const made = manifest.target;
  const lacks = [
    ...(made.backend === target.backend ? [] : [`${made.backend} kernels`]),
    ...(made.f16 && !target.f16 ? ['f16 arithmetic'] : []),
    ...(made.subgroups && !sameRange(made.subgroups, target.subgroups)
      ? [`subgroups of ${made.subgroups.min} to ${made.subgroups.max}`]
      : []),
    // GPUs with wgmma have mma, too.
    ...(made.matrix && made.matrix !== target.matrix && !(made.matrix === 'mma' && target.matrix === 'wgmma')
      ? [`matrix products by ${made.matrix}`]
      : []),
    ...(made.fp8 === true && target.fp8 !== true ? ['8-bit floats'] : []),
    ...(made.asyncCopy === true && target.asyncCopy !== true ? ['copies beside the computation'] : []),
    ...(made.workgroupMemory > target.workgroupMemory ? [`${made.workgroupMemory} bytes of workgroup memory`] : []),
    ...(made.maxWorkgroupInvocations > target.maxWorkgroupInvocations
      ? [`workgroups of ${made.maxWorkgroupInvocations}`]
      : []),
    ...(made.maxStorageBuffers > target.maxStorageBuffers ? [`${made.maxStorageBuffers} buffers a kernel`] : []),
  ];
  if (lacks.length === 0) return;
  throw new Flux2cError('F2C533', 'the artifact was compiled for another device', {
    expected: lacks.join(', '),
    found: description,
    hint: 'Choose another --device or --adapter, or compile it again for this one.',
  });
}

function sameRange(
  made: { readonly min: number; readonly max: number },
  found: { readonly min: number; readonly max: number } | undefined,
): boolean {
  return found !== undefined && found.min === made.min && found.max === made.max;
}

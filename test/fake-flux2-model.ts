/** A model without weights for tests of pipelines: its functions are small formulas, and it writes down what it was asked. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Flux2cError } from '../ir/diagnostics.js';
import { parseAutoencoderConfig, parseTextEncoderConfig, parseTransformerConfig } from '../models/flux2/config.js';
import { embeddedCheckpoint } from '../models/flux2/node/open-model.js';
import type {
  Flux2Description,
  Flux2Model,
  Network,
  NetworkName,
  NetworkTensor,
  RunObserver,
} from '../models/flux2/networks.js';
import { parsePipelineConfig } from '../models/flux2/pipeline-config.js';

export interface FakeCall {
  readonly name: NetworkName;
  readonly inputs: Readonly<Record<string, NetworkTensor>>;
}

/** The embedded checkpoint's description. */
export function embeddedDescription(): Flux2Description {
  const read = (file: string): string => readFileSync(join(embeddedCheckpoint(), file), 'utf8');
  return {
    name: 'fake',
    pipeline: parsePipelineConfig(read('model_index.json'), 'model_index.json'),
    transformer: parseTransformerConfig(read('transformer/config.json'), 'transformer'),
    autoencoder: parseAutoencoderConfig(read('vae/config.json'), 'vae'),
    textEncoder: parseTextEncoderConfig(read('text_encoder/config.json'), 'text_encoder'),
  };
}

/** Velocity of the fake transformer: constant, so that the predicted end is the true end at every step. */
export const FAKE_VELOCITY = 0.5;

/** Of the functions that `run` is tested with. */
const fakeInputs: Readonly<Partial<Record<NetworkName, Network['inputs']>>> = {
  text_encoder: [
    { name: 'input_ids', dtype: 'i32', shape: ['batch', 'txt'] },
    { name: 'attention_mask', dtype: 'i32', shape: ['batch', 'txt'] },
  ],
  vae_decoder: [{ name: 'latents', dtype: 'f32', shape: ['batch', '128', 'h', 'w'] }],
  vae_encoder: [{ name: 'image', dtype: 'f32', shape: ['batch', '3', '16*h', '16*w'] }],
};

export class FakeFlux2Model implements Flux2Model {
  readonly calls: FakeCall[] = [];
  readonly opened: NetworkName[] = [];
  readonly destroyed: NetworkName[] = [];
  readonly prepared: NetworkName[] = [];
  /** Steps after which an observer was given latents. */
  latentsRead = 0;
  closed = false;
  readonly maxTensorBytes = Infinity;

  constructor(
    readonly description: Flux2Description = embeddedDescription(),
    private readonly options: { readonly nanAtStep?: number; readonly missing?: readonly NetworkName[] } = {},
  ) {}

  prepare(names: readonly NetworkName[]): void {
    this.prepared.push(...names);
  }

  async open(name: NetworkName): Promise<Network> {
    if (this.options.missing?.includes(name) === true) {
      throw new Flux2cError('F2C618', `the model has no ${name}`, { hint: 'Give one.' });
    }
    this.opened.push(name);
    return {
      inputs: fakeInputs[name] ?? [],
      run: async (inputs, observer) => {
        this.calls.push({ name, inputs });
        return this.compute(name, inputs, observer ?? {});
      },
      destroy: async () => void this.destroyed.push(name),
    };
  }

  async openTokenizer(): ReturnType<Flux2Model['openTokenizer']> {
    return {
      encodePrompt: (prompt) => ({
        inputIds: new Int32Array(32).fill(prompt.length),
        attentionMask: new Int32Array(32).fill(1),
        truncatedTokens: Math.max(0, prompt.length - 100),
      }),
    };
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  private async compute(
    name: NetworkName,
    inputs: Readonly<Record<string, NetworkTensor>>,
    observer: RunObserver,
  ): Promise<Readonly<Record<string, NetworkTensor>>> {
    const input = (key: string): NetworkTensor => {
      const tensor = inputs[key];
      if (tensor === undefined) throw new Error(`no input ${key}`);
      return tensor;
    };
    switch (name) {
      case 'text_encoder': {
        const { shape, values } = input('input_ids');
        const width = this.description.transformer?.textWidth ?? 0;
        const [batch = 0, tokens = 0] = shape;
        const embeds = Float32Array.from({ length: values.length * width }, (_, i) => values[Math.floor(i / width)]!);
        return { prompt_embeds: { dtype: 'f32', shape: [batch, tokens, width], values: embeds } };
      }
      case 'vae_encoder': {
        const [batch = 0, , height = 0, width = 0] = input('image').shape;
        const shape = [batch, 128, height / 16, width / 16];
        const values = new Float32Array(shape.reduce((a, b) => a * b)).fill(input('image').values[0]!);
        return { normalized: { dtype: 'f32', shape, values } };
      }
      case 'vae_decoder': {
        // Each pixel is its token's first channel, scaled to fit -1..1: what depends on no neighbour can be tiled exactly.
        const { shape, values } = input('latents');
        const [, , h = 0, w = 0] = shape;
        const plane = Float32Array.from({ length: h * w * 256 }, (_, i) => {
          const y = Math.floor(i / (w * 16));
          return values[Math.floor(y / 16) * w + Math.floor((i % (w * 16)) / 16)]! / 8;
        });
        const image = new Float32Array(plane.length * 3);
        for (let channel = 0; channel < 3; channel++) image.set(plane, channel * plane.length);
        return { image: { dtype: 'f32', shape: [1, 3, h * 16, w * 16], values: image } };
      }
      default: {
        const { shape, values } = input('noise');
        let latents = values as Float32Array;
        for (const [step, delta] of input('sigma_deltas').values.entries()) {
          observer.signal?.throwIfAborted();
          latents = latents.map((value) => value + delta * FAKE_VELOCITY);
          if (this.options.nanAtStep === step) latents[3] = NaN;
          if (observer.onStep !== undefined) this.latentsRead++;
          await observer.onStep?.(step, latents);
          observer.onStepDone?.(step);
        }
        return { latents: { dtype: 'f32', shape, values: latents } };
      }
    }
  }
}

/** The whole way from a prompt to pictures, on any device. Nothing here needs Node.js. */
import { Flux2cError } from '../../ir/diagnostics.js';
import { pixelsPerToken } from './config.js';
import { PictureDecoder } from './decode-picture.js';
import { type DenoiseRequest, denoiseInputs } from './denoise-inputs.js';
import { allFinite, requireFinite } from './finite.js';
import type { Generated, GeneratedPicture, GenerateObserver } from './generate-observer.js';
import {
  type GenerateConfigs,
  type GenerateRequest,
  type ResolvedRequest,
  resolveRequest,
} from './generate-request.js';
import type { GivenTensor, LatentGrid } from './initial-noise.js';
import { packLatents, unpackLatents } from './latents.js';
import type { Flux2Model, Network, NetworkName, NetworkTensor } from './networks.js';
import { pictureFromDecoded, type RgbImage } from './picture.js';
import { type ReportProgress, StageMeter } from './progress.js';
import { prepareReference } from './reference-image.js';
import { buildSchedule } from './schedule.js';
import { functionsOf, requireConfigs } from './requirements.js';
import type { TileOptions } from './tiles.js';
import type { EncodedPrompt, PromptTokenizer } from './tokenizer.js';

/** A reference picture as the transformer sees it. */
export interface EncodedReference {
  /** `[height * width, channels]`. */
  readonly tokens: Float32Array;
  readonly height: number;
  readonly width: number;
}

export interface PipelineOptions {
  /** Free each network when its stage is over: less memory, but the next request loads it again. Default: keep all. */
  readonly freeStages?: boolean;
}

export class Flux2Pipeline {
  private readonly networks = new Map<NetworkName, Network>();
  private notice: GenerateObserver['onNotice'];
  private readonly decoder = new PictureDecoder((size) =>
    this.notice?.(
      `The device has no room to decode the picture as a whole: tiles of ${size} tokens a side that fade into each other.`,
    ),
  );
  private tokenizer: PromptTokenizer | undefined;

  /** The pipeline takes over the model and closes it with itself. */
  constructor(
    readonly model: Flux2Model,
    private readonly options: PipelineOptions = {},
  ) {}

  /**
   * Makes `request.count` pictures. Errors: F2C66x of the request, F2C618 when the model lacks a network that is needed,
   * F2C664 where numbers stop being finite, F2C5xx of the device.
   */
  async generate(request: GenerateRequest, observer: GenerateObserver = {}): Promise<Generated> {
    const configs = requireConfigs(this.model);
    const settings = resolveRequest(this.dropDefaultGuidance(request, configs, observer), configs);
    this.notice = observer.onNotice;
    observer.onSettings?.(settings);
    for (const notice of settings.guidance.notices) observer.onNotice?.(notice);
    const isCached = configs.pipeline.cachedReferences && request.references?.length;
    if (isCached && settings.guidance.cfgScale !== undefined) {
      observer.onNotice?.(
        'With classifier-free guidance (--cfg-scale) reference pictures are run in every step, not once before the steps as this model was trained for.',
      );
    }
    const functions = functionsOf(request, settings, configs.pipeline.cachedReferences);
    this.model.prepare?.(
      functions.filter((name) => !this.networks.has(name)),
      observer.signal,
    );
    const { prompt, negative } = await this.encodeBoth(request, settings, observer);
    const references = await this.encodeReferences(request.references ?? [], observer);
    // What is open at the same time has to share a budget: the decoder says first what it takes.
    const isBeside = observer.preview !== undefined || settings.count > settings.batchSize;
    if (this.model.hasBudget === true && isBeside) await this.open('vae_decoder', observer, true);
    const pictures: GeneratedPicture[] = [];
    const decodeMeter: { current?: StageMeter } = {};
    for (let first = 0; first < settings.count; first += settings.batchSize) {
      const count = Math.min(settings.batchSize, settings.count - first);
      const latents = await this.denoise(
        { settings, first, count, prompt, negative, references, textWidth: configs.transformer.textWidth },
        observer,
      );
      const last = first + count === settings.count;
      if (last) await this.endStage('denoise', 'denoise_cfg', 'denoise_cached');
      await this.open('vae_decoder', observer);
      for (let i = 0; i < count; i++) {
        observer.signal?.throwIfAborted();
        const perPicture = latents.length / count;
        const own = latents.subarray(i * perPicture, (i + 1) * perPicture);
        decodeMeter.current ??= new StageMeter('decode', settings.count, observer.onProgress ?? ignore);
        const decoded = await this.decode(own, settings.grid, settings.tiles, observer.onProgress);
        const picture = { index: first + i, image: toPicture(decoded, settings), decoded };
        decodeMeter.current.done(first + i + 1);
        if (observer.onPicture === undefined) pictures.push(picture);
        else await observer.onPicture(picture);
      }
    }
    await this.endStage('vae_decoder');
    return { settings, pictures };
  }

  /**
   * Embeddings `[prompts, tokens, textWidth]` of texts. F2C618 without text encoder or tokenizer. Tokens that do not fit
   * are cut off with a notice.
   */
  async encodePrompts(prompts: readonly string[], observer: GenerateObserver = {}): Promise<GivenTensor> {
    this.tokenizer ??= await this.model.openTokenizer();
    const { tokenizer } = this;
    const encoded = prompts.map((text) => tokenizer.encodePrompt(text));
    for (const [i, { truncatedTokens }] of encoded.entries()) {
      if (truncatedTokens === 0) continue;
      observer.onNotice?.(
        `${i === 0 ? 'The prompt' : 'The negative prompt'} is too long: its last ${truncatedTokens} tokens are cut off.`,
      );
    }
    const network = await this.open('text_encoder', observer);
    const meter = new StageMeter('prompt', 1, observer.onProgress ?? ignore);
    const length = encoded[0]?.inputIds.length ?? 0;
    const join = (pick: (one: EncodedPrompt) => Int32Array): NetworkTensor => {
      return {
        dtype: 'i32',
        shape: [encoded.length, length],
        values: Int32Array.from(encoded.flatMap((one) => [...pick(one)])),
      };
    };
    const results = await network.run({
      input_ids: join((one) => one.inputIds),
      attention_mask: join((one) => one.attentionMask),
    });
    const { shape, values } = takeFloats(results, 'prompt_embeds');
    requireFinite(values, 'the text encoder');
    meter.done(1);
    return { shape, values };
  }

  /** Scales, crops and encodes a picture; errors as `prepareReference`, and F2C618 without an autoencoder. */
  async encodeReference(image: RgbImage, observer: GenerateObserver = {}): Promise<EncodedReference> {
    const { autoencoder } = requireConfigs(this.model);
    const prepared = prepareReference(image, pixelsPerToken(autoencoder));
    const network = await this.open('vae_encoder', observer);
    const results = await network.run({
      image: { dtype: 'f32', shape: [1, 3, prepared.height, prepared.width], values: prepared.data },
    });
    const { shape, values } = takeFloats(results, 'normalized');
    requireFinite(values, 'the encoding of a reference picture');
    const [batch = 1, channels = 0, height = 0, width = 0] = shape;
    return { tokens: packLatents(values, { batch, channels, height, width }), height, width };
  }

  /** All steps of a batch: latents `[count, tokens, channels]`. */
  async denoise(request: DenoiseRequest, observer: GenerateObserver = {}): Promise<Float32Array> {
    const { settings, first, count } = request;
    const { grid, steps } = settings;
    const { cachedReferences } = requireConfigs(this.model).pipeline;
    const schedule = buildSchedule(grid.height * grid.width, steps);
    const { name, inputs } = denoiseInputs(request, schedule, cachedReferences);
    const network = await this.open(name, observer);
    const meter = new StageMeter('denoise', steps, observer.onProgress ?? ignore);
    let before = (inputs['noise'] as NetworkTensor).values as Float32Array;
    const { preview, onLatents, signal } = observer;
    const checkStep = (step: number, latents: Float32Array): void =>
      requireFinite(latents, `step ${step + 1} of ${steps}`);
    const lookAtLatents = async (step: number, latents: Float32Array): Promise<void> => {
      checkStep(step, latents);
      await onLatents?.(step, first, latents);
      if (preview && (step + 1) % preview.every(steps) === 0 && step + 1 < steps) {
        const sigmas = [schedule.sigmas[step]!, schedule.sigmas[step + 1]!] as const;
        await this.showPreviews(request, predictEnd(before, latents, sigmas), step, preview.show);
      }
      before = latents;
    };
    // Latents are only read where somebody wants them: otherwise the device need not wait between steps.
    const isWatched = preview !== undefined || onLatents !== undefined;
    const results = await network.run(inputs, {
      ...(signal && { signal }),
      onStepDone: (step) => meter.done(step + 1),
      ...(isWatched && { onStep: lookAtLatents }),
    });
    const { values } = takeFloats(results, 'latents');
    if (!isWatched && !allFinite(values)) {
      // The same steps once more say where it began.
      await network.run(inputs, { ...(signal && { signal }), onStep: checkStep });
    }
    requireFinite(values, `the last of ${steps} steps of picture ${first + 1} to ${first + count}`);
    return values;
  }

  /** Tokens `[height * width, channels]` of one picture to the decoder's `[3, height, width]`, in tiles if it is large or the device small. */
  async decode(
    tokens: Float32Array,
    grid: LatentGrid,
    tiles?: TileOptions,
    report?: ReportProgress,
  ): Promise<Float32Array> {
    const { autoencoder } = requireConfigs(this.model);
    const network = await this.open('vae_decoder', report ? { onProgress: report } : {});
    const { channels, height, width } = grid;
    const latents = unpackLatents(tokens, { batch: 1, channels, height, width });
    const run = async (values: Float32Array, rows: number, columns: number): Promise<Float32Array> => {
      const results = await network.run({ latents: { dtype: 'f32', shape: [1, channels, rows, columns], values } });
      const image = takeFloats(results, 'image').values;
      requireFinite(image, 'the decoder');
      return image;
    };
    const shape = {
      channels,
      height,
      width,
      imageChannels: autoencoder.imageChannels,
      scale: pixelsPerToken(autoencoder),
    };
    return this.decoder.decode(run, latents, shape, tiles);
  }

  /** Frees the networks' memory; they load again when they are needed. */
  async release(): Promise<void> {
    await this.free(...this.networks.keys());
  }

  async close(): Promise<void> {
    await this.release();
    await this.model.close();
  }

  /** A model's default of classifier-free guidance must not demand a text encoder that the request does without. */
  private dropDefaultGuidance(
    request: GenerateRequest,
    { pipeline }: GenerateConfigs,
    observer: GenerateObserver,
  ): GenerateRequest {
    const { promptEmbeds, negativePromptEmbeds, cfgScale } = request;
    const isDefault = cfgScale === undefined && pipeline.sampling.cfgScale !== 1;
    const lacksNegative = promptEmbeds !== undefined && negativePromptEmbeds === undefined;
    if (!isDefault || !lacksNegative || this.model.description.textEncoder !== undefined) return request;
    observer.onNotice?.(
      'Classifier-free guidance is off: there are no embeddings of a negative prompt, and no text encoder to make them.',
    );
    return { ...request, cfgScale: 1 };
  }

  private async encodeBoth(
    request: GenerateRequest,
    { guidance }: ResolvedRequest,
    observer: GenerateObserver,
  ): Promise<{ readonly prompt: GivenTensor; readonly negative: GivenTensor | undefined }> {
    const guided = guidance.cfgScale !== undefined;
    if (!guided && request.negativePrompt) {
      observer.onNotice?.('Without classifier-free guidance (--cfg-scale) the negative prompt has no effect.');
    }
    const texts: string[] = [];
    if (request.promptEmbeds === undefined) texts.push(this.requirePrompt(request));
    if (guided && request.negativePromptEmbeds === undefined) {
      texts.push(request.negativePrompt ?? requireConfigs(this.model).pipeline.sampling.negativePrompt);
    }
    const encoded = texts.length === 0 ? [] : splitRows(await this.encodePrompts(texts, observer));
    await this.endStage('text_encoder');
    const prompt = request.promptEmbeds ?? encoded.shift();
    const negative = guided ? (request.negativePromptEmbeds ?? encoded.shift()) : undefined;
    return { prompt: prompt as GivenTensor, negative };
  }

  private requirePrompt(request: GenerateRequest): string {
    if (request.prompt !== undefined) return request.prompt;
    throw new Flux2cError('F2C667', 'there is nothing to draw', {
      expected: 'a prompt, or prompt embeddings',
      hint: 'Say what to draw: flux2c generate "a red circle on a white background".',
    });
  }

  private async encodeReferences(
    images: readonly RgbImage[],
    observer: GenerateObserver,
  ): Promise<readonly EncodedReference[]> {
    if (images.length === 0) return [];
    const encoded: EncodedReference[] = [];
    let meter: StageMeter | undefined;
    for (const image of images) {
      observer.signal?.throwIfAborted();
      await this.open('vae_encoder', observer);
      meter ??= new StageMeter('references', images.length, observer.onProgress ?? ignore);
      encoded.push(await this.encodeReference(image, observer));
      meter.done(encoded.length);
    }
    await this.endStage('vae_encoder');
    return encoded;
  }

  private async showPreviews(
    { settings, first, count }: DenoiseRequest,
    latents: Float32Array,
    step: number,
    show: NonNullable<GenerateObserver['preview']>['show'],
  ): Promise<void> {
    const perPicture = latents.length / count;
    for (let i = 0; i < count; i++) {
      const own = latents.subarray(i * perPicture, (i + 1) * perPicture);
      await show(first + i, step, toPicture(await this.decode(own, settings.grid, settings.tiles), settings));
    }
  }

  private async open(name: NetworkName, observer: GenerateObserver, isBeside = false): Promise<Network> {
    const known = this.networks.get(name);
    if (known !== undefined) return known;
    const network = await this.model.open(name, observer.onProgress, observer.signal, isBeside);
    this.networks.set(name, network);
    return network;
  }

  private async endStage(...names: readonly NetworkName[]): Promise<void> {
    if (this.options.freeStages === true) await this.free(...names);
  }

  private async free(...names: readonly NetworkName[]): Promise<void> {
    for (const name of names) {
      await this.networks.get(name)?.destroy();
      this.networks.delete(name);
    }
  }
}

/** x0 = x' - sigma' * v, with v from the step that led from x to x': v = (x' - x) / (sigma' - sigma). */
export function predictEnd(
  before: Float32Array,
  after: Float32Array,
  [sigma, next]: readonly [number, number],
): Float32Array {
  return after.map((value, i) => value - (next * (value - before[i]!)) / (next - sigma));
}

function toPicture(decoded: Float32Array, { height, width }: ResolvedRequest): RgbImage {
  return pictureFromDecoded(decoded, height, width);
}

function takeFloats(
  results: Readonly<Record<string, NetworkTensor>>,
  name: string,
): { readonly shape: readonly number[]; readonly values: Float32Array } {
  const tensor = results[name];
  if (tensor?.dtype === 'f32') return tensor;
  throw new Error(`internal: no f32 result ${name}, only ${Object.keys(results).join(', ')}`);
}

function splitRows({ shape: [rows = 0, ...rest], values }: GivenTensor): GivenTensor[] {
  const size = rows === 0 ? 0 : values.length / rows;
  return Array.from({ length: rows }, (_, i) => {
    return { shape: [1, ...rest], values: values.slice(i * size, (i + 1) * size) };
  });
}

function ignore(): void {
  return undefined;
}

/** How far a model is from the one that it was made from: its weights, prompts, blocks and pictures. */
import type { Flux2Model } from '../../models/flux2/networks.js';
import type { RgbImage } from '../../models/flux2/picture.js';
import type { GenerateObserver } from '../../models/flux2/generate-observer.js';
import { compareStreams, defaultLimits, keepStreams, showsStreams, type StreamLimits } from './compare-blocks.js';
import { compareWeights } from './compare-weights.js';
import { draw, type Drawn, type DrawRequest, passesOf, repeatRequest } from './draw.js';
import { meanSquaredError, psnrOf, RelativeError } from './errors.js';
import { requireAlike } from './require-alike.js';
import type { PictureQuality, QualityResult, QualitySettings, QualitySummary } from './result.js';

export interface QualityRequest {
  /** What both draw. */
  readonly draw: DrawRequest;
  readonly original: Flux2Model;
  readonly other: Flux2Model;
  /** How they are called in reports. */
  readonly names: readonly [original: string, other: string];
  readonly device: string;
  /** Whether the other model is of the original's files, encoded while they are loaded. */
  readonly isSameFiles: boolean;
  readonly limits?: StreamLimits;
}

export type QualityObserver = Pick<GenerateObserver, 'onProgress' | 'onNotice' | 'signal'>;

export interface MeasuredQuality {
  readonly result: QualityResult;
  /** In the result's order. */
  readonly pictures: readonly PicturePair[];
}

export interface PicturePair {
  readonly original: RgbImage;
  readonly other: RgbImage;
}

/**
 * Measures both models, one after the other: never more than one of their networks is on the device. Errors as
 * `Flux2Pipeline.generate`, F2C715 where the models are not of one form.
 */
export async function measureQuality(request: QualityRequest, observer: QualityObserver): Promise<MeasuredQuality> {
  const { original, other, names, limits = defaultLimits } = request;
  const { signal, onProgress: report = () => undefined } = observer;
  const say = (sentence: string): void => observer.onNotice?.(sentence);
  requireSameForm(original, other);
  const weights = await compareWeights(original, other, request.isSameFiles, report, signal);
  if (weights === null) say('Weights are not compared: one of the models does not give them.');

  say(`drawing with ${names[0]}`);
  const expected = await draw(original, request.draw, observer);
  const passes = passesOf(expected);
  const areShown = showsStreams(original) && showsStreams(other);
  const streams = areShown ? await keepStreams(original, passes, limits, report, signal) : undefined;

  say(`drawing with ${names[1]}`);
  const found = await draw(other, repeatRequest(request.draw, expected), observer);
  const blocks = streams ? await compareStreams(other, passes, streams, limits, report, signal) : null;
  if (blocks === null) say('Blocks are not compared: the functions of an artifact are made already.');

  const pictures = comparePictures(request.draw, expected, found);
  const result: QualityResult = {
    original: names[0],
    other: names[1],
    device: request.device,
    settings: describeSettings(expected),
    weights,
    prompts: request.draw.prompts.map((prompt, at) => {
      const [own, others] = [expected.prompts[at]!, found.prompts[at]!];
      requireAlike('prompt embeddings', `[${own.shape.join(', ')}]`, `[${others.shape.join(', ')}]`);
      return { prompt, relativeL2: new RelativeError().add(own.values, others.values).value };
    }),
    blocks,
    pictures,
    summary: summarize(pictures, expected, found),
  };
  return { result, pictures: expected.pictures.map((one, at) => ({ original: one, other: found.pictures[at]! })) };
}

function requireSameForm(original: Flux2Model, other: Flux2Model): void {
  const parts = [
    ['the transformer', original.description.transformer, other.description.transformer],
    ['the autoencoder', original.description.autoencoder, other.description.autoencoder],
  ] as const;
  for (const [what, one, another] of parts) {
    if (one === undefined || another === undefined) continue;
    const [own, others] = [new Map(Object.entries(one)), new Map(Object.entries(another))];
    for (const [key, value] of own) {
      requireAlike(what, `${key} ${JSON.stringify(value)}`, `${key} ${JSON.stringify(others.get(key))}`);
    }
  }
}

function describeSettings({ settings }: Drawn): QualitySettings {
  const { width, height, steps, guidance } = settings;
  return { width, height, steps, guidance: guidance.embedded ?? null, cfgScale: guidance.cfgScale ?? null };
}

function comparePictures({ prompts, seeds }: DrawRequest, expected: Drawn, found: Drawn): readonly PictureQuality[] {
  return prompts.flatMap((prompt, row) =>
    seeds.map((seed, column): PictureQuality => {
      const at = row * seeds.length + column;
      const mse = meanSquaredError(expected.pictures[at]!, found.pictures[at]!);
      const latents = new RelativeError().add(expected.latents[at]!, found.latents[at]!).value;
      return { prompt, seed: String(seed), meanSquaredError: mse, psnr: finiteOrNull(psnrOf(mse)), latents };
    }),
  );
}

function summarize(pictures: readonly PictureQuality[], expected: Drawn, found: Drawn): QualitySummary {
  const errors = pictures.map(({ meanSquaredError: mse }) => mse);
  const latents = new RelativeError();
  for (const [at, values] of expected.latents.entries()) latents.add(values, found.latents[at]!);
  return {
    psnr: finiteOrNull(psnrOf(errors.reduce((sum, mse) => sum + mse, 0) / errors.length)),
    worstPsnr: finiteOrNull(psnrOf(Math.max(...errors))),
    latents: latents.value,
  };
}

function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

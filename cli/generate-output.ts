/** What `generate` leaves behind: pictures with their settings, previews, latents, a report. */
import { join } from 'node:path';
import type { ResolvedRequest } from '../models/flux2/generate-request.js';
import type { NetworkTensor } from '../models/flux2/networks.js';
import { encodeImage, writeImage } from '../models/flux2/node/image-files.js';
import type { PictureMetadata } from '../models/flux2/picture-metadata.js';
import type { RgbImage } from '../models/flux2/picture.js';
import type { GenerateObserver } from '../models/flux2/generate-observer.js';
import type { CliContext } from './context.js';
import type { GenerateOptions } from './generate-options.js';
import { formatSeconds } from './progress-line.js';
import { showImage } from './show.js';
import { writeTensors } from './tensor-files.js';

/** How a picture was made, for its metadata and for `--json`. */
export function describePicture(
  index: number,
  prompt: string | undefined,
  options: GenerateOptions,
  settings: ResolvedRequest,
  model: string,
): PictureMetadata {
  const { width, height, steps, guidance, count, seeds, noiseDType } = settings;
  const seed = seeds.length > 1 ? seeds[index] : seeds[0];
  return {
    prompt: prompt ?? '',
    ...(options.negativePrompt !== undefined && { negativePrompt: options.negativePrompt }),
    seed: seed === undefined ? '' : String(seed),
    settings: {
      model,
      width,
      height,
      steps,
      ...(guidance.embedded !== undefined && { guidance: guidance.embedded }),
      cfgScale: guidance.cfgScale ?? 1,
      noiseDtype: noiseDType,
      // One seed draws the noise of all pictures at once: to draw this one again takes all of them.
      ...(count > 1 && seeds.length <= 1 && { picture: index + 1, count }),
      ...(options.image !== undefined && { references: options.image.length }),
      ...(options.noise !== undefined && { noise: options.noise }),
      ...(options.promptEmbeds !== undefined && { promptEmbeds: options.promptEmbeds }),
    },
  };
}

/** Shows a picture in the terminal; says how when the terminal cannot. */
export async function showPicture(
  image: RgbImage,
  context: CliContext,
  notice: (sentence: string) => void,
): Promise<void> {
  const png = await encodeImage(image, 'png');
  if (showImage(png, image.data, image.width, image.height, context.stdout, context.env)) return;
  notice('This terminal is not known to show pictures (FLUX2C_GRAPHICS=kitty|iterm2|sixel says that it does).');
}

/** The observer's part for `--preview`. */
export function createPreview(
  options: GenerateOptions,
  context: CliContext,
  notice: (sentence: string) => void,
): Pick<GenerateObserver, 'preview'> {
  const { preview, previewEvery } = options;
  if (preview === undefined) return {};
  return {
    preview: {
      every: (steps) => previewEvery ?? Math.max(1, Math.round(steps / 5)),
      show: async (index, step, picture) => {
        if (preview === true) return showPicture(picture, context, notice);
        const number = (value: number, digits: number): string => String(value).padStart(digits, '0');
        await writeImage(join(preview, `preview-${number(index + 1, 4)}-step-${number(step + 1, 3)}.png`), picture);
      },
    },
  };
}

/** Gathers what `--save-latents` writes: `mid.latents.N` [pictures, tokens, channels] after step N, `out.decoded`. */
export class LatentRecorder {
  private readonly steps: Float32Array[][] = [];
  private readonly decoded: Float32Array[] = [];

  record(step: number, _first: number, latents: Float32Array): void {
    (this.steps[step] ??= []).push(latents.slice());
  }

  recordDecoded(decoded: Float32Array): void {
    this.decoded.push(decoded);
  }

  async write(path: string, settings: ResolvedRequest): Promise<void> {
    const { count, grid, height, width } = settings;
    const tensors = new Map<string, NetworkTensor>();
    this.steps.forEach((batches, step) => {
      const shape = [count, grid.height * grid.width, grid.channels];
      tensors.set(`mid.latents.${step}`, { dtype: 'f32', shape, values: joinFloats(batches) });
    });
    const decoded = joinFloats(this.decoded);
    tensors.set('out.decoded', { dtype: 'f32', shape: [count, 3, height, width], values: decoded });
    await writeTensors(path, tensors);
  }
}

export interface GenerateReport {
  readonly files: readonly { readonly path: string; readonly metadata: PictureMetadata }[];
  readonly device: string;
  readonly seconds: number;
}

/** One line a file, or everything as JSON. */
export function writeReport(
  { files, device, seconds }: GenerateReport,
  options: GenerateOptions,
  context: CliContext,
): void {
  if (options.json === true) {
    const listed = files.map(({ path, metadata }) => ({ path, ...metadata }));
    context.stdout.write(`${JSON.stringify({ files: listed, device, seconds }, null, 2)}\n`);
    return;
  }
  for (const { path, metadata } of files) {
    const { width, height, steps } = metadata.settings;
    const seed = metadata.seed === '' ? '' : `, seed ${metadata.seed}`;
    context.stdout.write(`${path}  ${width}x${height}, ${steps} steps${seed}\n`);
  }
  if (options.quiet !== true) context.stderr.write(`${formatSeconds(seconds)} on ${device}\n`);
}

function joinFloats(parts: readonly Float32Array[]): Float32Array {
  const joined = new Float32Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}

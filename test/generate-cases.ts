/** Golden cases of whole pipelines, run on a device and compared with the reference implementations. */
import { mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { CompiledFlux2Model } from '../models/flux2/compiled-model.js';
import type { GenerateRequest } from '../models/flux2/generate-request.js';
import type { GivenTensor } from '../models/flux2/initial-noise.js';
import { loadModel } from '../models/flux2/load-model.js';
import { readImage } from '../models/flux2/node/image-files.js';
import { openModelFiles } from '../models/flux2/node/open-model.js';
import { Flux2Pipeline } from '../models/flux2/pipeline.js';
import type { Device } from '../runtime/device.js';
import { readSafetensors, type GoldenFile } from './read-safetensors.js';

const golden = resolve('test/golden');

/** A pipeline over the embedded checkpoint, or over golden components without text encoder. */
/** Operands of products stay f32, as in the reference. */
export async function openPipeline(device: Device, folder?: string): Promise<Flux2Pipeline> {
  const loaded = await loadModel(await openModelFiles(folder));
  return new Flux2Pipeline(new CompiledFlux2Model(loaded, device, { operands: 'f32' }));
}

/** A diffusers folder of golden components in a folder for temporary files; the caller removes it. */
export function assembleModel(transformer: string, vae: string, index: object): string {
  const folder = mkdtempSync(join(tmpdir(), 'flux2c-golden-'));
  mkdirSync(folder, { recursive: true });
  symlinkSync(join(golden, transformer), join(folder, 'transformer'));
  symlinkSync(join(golden, vae), join(folder, 'vae'));
  writeFileSync(join(folder, 'model_index.json'), JSON.stringify(index));
  return folder;
}

export interface ShapesCase {
  readonly name: string;
  readonly prompt: string;
  readonly steps: number;
  readonly guidance_scale: number;
  readonly references: number;
}

/** The samples of the embedded checkpoint. */
export function shapesCases(): readonly ShapesCase[] {
  const text = readFileSync(join(golden, 'flux2-shapes-samples/cases.json'), 'utf8');
  return (JSON.parse(text) as { cases: ShapesCase[] }).cases;
}

export interface PipelineDifferences {
  /** Relative L2 of the prompt's embeddings; 0 when they were given. */
  readonly promptEmbeds: number;
  /** The largest relative L2 of the latents after any step. */
  readonly latents: number;
  readonly decodedMaxAbs: number;
  /** Largest difference of 8-bit levels, and the share of values that differ by more than one. */
  readonly levels: number;
  readonly beyondOneLevel: number;
}

/** From the prompt's text to the picture, with the case's noise. */
export async function runShapesCase(pipeline: Flux2Pipeline, shapes: ShapesCase): Promise<PipelineDifferences> {
  const folder = join(golden, 'flux2-shapes-samples');
  const file = readSafetensors(join(folder, `${shapes.name}.safetensors`));
  const references = [];
  for (let k = 0; k < shapes.references; k++) {
    references.push(await readImage(join(folder, `${shapes.name}_reference_${k}.png`)));
  }
  const embeds = await pipeline.encodePrompts([shapes.prompt]);
  const { steps, guidance_scale: guidance, prompt } = shapes;
  const request = { prompt, references, steps, guidance, cfgScale: 1, noise: given(file, 'noise') };
  const stacked = file.tensor('latents');
  const size = stacked.values.length / steps;
  const wanted = (step: number): Float64Array => stacked.values.subarray(step * size, (step + 1) * size);
  return {
    ...(await compareRun(pipeline, request, wanted, file.tensor('image').values)),
    promptEmbeds: relativeL2(embeds.values, file.tensor('prompt_embeds').values),
  };
}

/** A case of `pipeline-tiny`: embeddings and noise are given. */
export async function runTinyCase(pipeline: Flux2Pipeline, name: string): Promise<PipelineDifferences> {
  const folder = join(golden, 'pipeline-tiny');
  const file = readSafetensors(join(folder, `${name}.safetensors`));
  const references = [];
  const count = (JSON.parse(file.metadata['refs'] ?? '[]') as unknown[]).length;
  for (let k = 0; k < count; k++) references.push(await readImage(join(folder, `${name}.ref${k}.png`)));
  const request = {
    promptEmbeds: given(file, 'in.prompt_embeds'),
    ...(file.names.includes('in.negative_prompt_embeds') && {
      negativePromptEmbeds: given(file, 'in.negative_prompt_embeds'),
    }),
    references,
    noise: given(file, 'in.noise'),
    steps: Number(file.metadata['steps']),
    guidance: Number(file.metadata['guidance']),
  };
  const wanted = (step: number): Float64Array => file.tensor(`mid.latents.${step}`).values;
  return { ...(await compareRun(pipeline, request, wanted, file.tensor('out.decoded').values)), promptEmbeds: 0 };
}

/** @param wantedLatents of all pictures, after a step; @param wantedImage what the decoder makes of the first picture */
export async function compareRun(
  pipeline: Flux2Pipeline,
  request: GenerateRequest,
  wantedLatents: (step: number) => Float64Array,
  wantedImage: Float64Array,
): Promise<Omit<PipelineDifferences, 'promptEmbeds'>> {
  let latents = 0;
  let stepsSeen = 0;
  const { pictures } = await pipeline.generate(request, {
    onLatents: (step, _first, values) => {
      stepsSeen++;
      latents = Math.max(latents, relativeL2(values, wantedLatents(step)));
    },
  });
  if (stepsSeen !== request.steps) latents = Infinity;
  const { decoded, image } = pictures[0]!;
  let decodedMaxAbs = 0;
  let levels = 0;
  let beyond = 0;
  const plane = image.width * image.height;
  wantedImage.forEach((want, i) => {
    decodedMaxAbs = Math.max(decodedMaxAbs, Math.abs(decoded[i]! - want));
    const level = Math.round(255 * Math.min(1, Math.max(0, want / 2 + 0.5)));
    const difference = Math.abs(image.data[(i % plane) * 3 + Math.floor(i / plane)]! - level);
    levels = Math.max(levels, difference);
    if (difference > 1) beyond++;
  });
  return { latents, decodedMaxAbs, levels, beyondOneLevel: beyond / wantedImage.length };
}

function given(file: GoldenFile, name: string): GivenTensor {
  const { shape, values } = file.tensor(name);
  return { shape, values: Float32Array.from(values) };
}

/** |got - want| / |want|; NaN and missing values count as infinitely far. */
function relativeL2(got: Float32Array, want: Float64Array): number {
  if (got.length !== want.length) return Infinity;
  let difference = 0;
  let norm = 0;
  want.forEach((value, i) => {
    difference += (got[i]! - value) ** 2;
    norm += value ** 2;
  });
  const relative = Math.sqrt(difference / norm);
  return Number.isFinite(relative) ? relative : Infinity;
}

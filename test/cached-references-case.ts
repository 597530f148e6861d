/**
 * Pictures drawn with cached references (klein 9b-kv) on a device, held against the same steps driven by hand on the
 * graph interpreter: a first pass that also returns the references' keys and values, then passes that are given them.
 * Both passes are held against diffusers by the golden case `kv_cache`; the numbers here come from other golden cases.
 */
import { readFileSync } from 'node:fs';
import { createModule } from '../frontend/index.js';
import type { HostTensor } from '../ir/host-tensor.js';
import { addVaeDecoder } from '../models/flux2/autoencoder.js';
import { parseAutoencoderConfig, parseTransformerConfig } from '../models/flux2/config.js';
import { packLatents, unpackLatents } from '../models/flux2/latents.js';
import { readImage } from '../models/flux2/node/image-files.js';
import type { Flux2Pipeline } from '../models/flux2/pipeline.js';
import { imagePositionIds, referencePositionIds, textPositionIds } from '../models/flux2/position-ids.js';
import { addTransformerCached, addTransformerExtract } from '../models/flux2/reference-cache.js';
import { goldenTensor, interpretWith, loadComponent, storedTypes, tensorOfNumbers } from './flux2-components.js';
import { compareRun, type PipelineDifferences } from './generate-cases.js';
import { readSafetensors } from './read-safetensors.js';

const golden = 'test/golden';
const transformerFolder = `${golden}/transformer-klein-tiny`;
const autoencoderFolder = `${golden}/vae-tiny`;

/** Prompt, noise and noise levels. */
const textCase = `${golden}/pipeline-tiny/klein_t2i_64x48_4steps`;
/** Reference pictures, and what the reference implementation's encoder makes of them. */
const referenceCase = `${golden}/pipeline-tiny/i2i_64x64_2refs_4steps`;

const channels = 128;
const grid = { height: 4, width: 3 };

/** One picture's latents `[1, channels, height, width]` as tokens. */
function pack({ shape, data }: HostTensor): Float32Array {
  const [, , height = 0, width = 0] = shape;
  return packLatents(Float32Array.from(data), { batch: 1, channels, height, width });
}

/** `[1, tokens, channels]`. */
function tokensOf(values: ArrayLike<number>): HostTensor {
  return tensorOfNumbers('f32', [1, values.length / channels, channels], values);
}

function idsOf(ids: Int32Array): HostTensor {
  return tensorOfNumbers('i32', [ids.length / 4, 4], ids);
}

interface CaseNumbers {
  /** `[1, tokens, textWidth]`. */
  readonly prompt: HostTensor;
  /** Latents of the reference pictures, `[1, channels, height, width]` each. */
  readonly references: readonly HostTensor[];
  readonly sigmas: Float64Array;
}

interface Passes {
  /** Latents `[tokens, channels]` of one picture after every step. */
  denoise(noise: HostTensor, numbers: CaseNumbers): readonly Float64Array[];
  /** The decoder's output for them. */
  decode(tokens: Float64Array): Float64Array;
}

async function loadPasses(): Promise<Passes> {
  const components = [
    await loadComponent('transformer', transformerFolder),
    await loadComponent('vae', `${autoencoderFolder}/diffusion_pytorch_model.safetensors`),
  ];
  const readConfig = (folder: string): [string, string] => {
    return [readFileSync(`${folder}/config.json`, 'utf8'), `${folder}/config.json`];
  };
  const config = parseTransformerConfig(...readConfig(transformerFolder));
  const dtypes = storedTypes(...components);
  const graph = createModule();
  addTransformerExtract(graph, config, dtypes);
  addTransformerCached(graph, config, dtypes);
  addVaeDecoder(graph, parseAutoencoderConfig(...readConfig(autoencoderFolder)), dtypes);
  const module = graph.build();
  const run = (name: string, inputs: Readonly<Record<string, HostTensor>>): ReadonlyMap<string, HostTensor> =>
    interpretWith(components, module, name, inputs, 'f32');
  return {
    denoise: (noise, { prompt, references, sigmas }) => {
      const grids = references.map(({ shape: [, , height = 0, width = 0] }) => ({ height, width }));
      const common = {
        encoder_hidden_states: prompt,
        img_ids: idsOf(imagePositionIds(grid.height, grid.width)),
        txt_ids: idsOf(textPositionIds(prompt.shape[1] ?? 0)),
      };
      const ofReferences = {
        reference_hidden_states: tokensOf(references.flatMap((latents) => [...pack(latents)])),
        ref_ids: idsOf(referencePositionIds(grids)),
      };
      let latents = tokensOf(pack(noise));
      let cache: Readonly<Record<string, HostTensor>> | undefined;
      return [...sigmas.slice(0, -1)].map((sigma, step) => {
        const own = { ...common, hidden_states: latents, timestep: tensorOfNumbers('f32', [1], [sigma]) };
        const results =
          cache === undefined
            ? run('transformer_extract', { ...own, ...ofReferences })
            : run('transformer_cached', { ...own, ...cache });
        const { sample, ...rest } = Object.fromEntries(results);
        cache ??= rest;
        const delta = sigmas[step + 1]! - sigma;
        latents = tokensOf(latents.data.map((value, i) => value + delta * sample!.data[i]!));
        return Float64Array.from(latents.data);
      });
    },
    decode: (tokens) => {
      const shape = { batch: 1, channels, ...grid };
      const unpacked = unpackLatents(Float32Array.from(tokens), shape);
      const latents = tensorOfNumbers('f32', [1, channels, grid.height, grid.width], unpacked);
      return Float64Array.from(run('vae_decoder', { latents }).get('image')!.data);
    },
  };
}

/** Two pictures as one batch with two references of different sizes. The pipeline's model is the one named above. */
export async function runCachedReferencesCase(pipeline: Flux2Pipeline): Promise<PipelineDifferences> {
  const text = readSafetensors(`${textCase}.safetensors`);
  const edit = readSafetensors(`${referenceCase}.safetensors`);
  const numbers = {
    prompt: goldenTensor(text, 'in.prompt_embeds'),
    references: [0, 1].map((k) => goldenTensor(edit, `mid.ref.${k}.latents`)),
    sigmas: text.tensor('mid.sigmas').values,
  };
  const first = goldenTensor(text, 'in.noise');
  const noises = [first, { ...first, data: first.data.map((value) => -value) }];

  const passes = await loadPasses();
  const steps = noises.map((noise) => passes.denoise(noise, numbers));
  const wanted = (step: number): Float64Array => Float64Array.from(steps.flatMap((latents) => [...latents[step]!]));

  const request = {
    promptEmbeds: { shape: numbers.prompt.shape, values: Float32Array.from(numbers.prompt.data) },
    noise: {
      shape: [noises.length, ...first.shape.slice(1)],
      values: Float32Array.from(noises.flatMap(({ data }) => [...data])),
    },
    references: await Promise.all([0, 1].map((k) => readImage(`${referenceCase}.ref${k}.png`))),
    steps: numbers.sigmas.length - 1,
  };
  const image = passes.decode(steps[0]!.at(-1)!);
  return { ...(await compareRun(pipeline, request, wanted, image)), promptEmbeds: 0 };
}

/** A denoising loop that is small enough to interpret, with made-up weights and inputs. */
import { bf16ToF32, f32ToBf16 } from '../ir/dtype.js';
import type { Module } from '../ir/graph/graph.js';
import { countElements, type HostTensor } from '../ir/host-tensor.js';
import { createModule } from '../frontend/index.js';
import type { TransformerConfig } from '../models/flux2/config.js';
import { addDenoise } from '../models/flux2/denoise.js';
import { Random } from './random.js';

export const smallTransformer: TransformerConfig = {
  inChannels: 8,
  outChannels: 8,
  hidden: 32,
  heads: 2,
  headDim: 16,
  doubleBlocks: 1,
  singleBlocks: 1,
  textWidth: 12,
  mlpHidden: 48,
  ropeAxes: [4, 4, 4, 4],
  ropeTheta: 2000,
  timestepChannels: 16,
  eps: 1e-6,
  guidanceEmbeds: false,
};

export function buildDenoise(transformer: TransformerConfig, cfg: boolean): Module {
  const module = createModule();
  addDenoise(module, transformer, { guidance: transformer.guidanceEmbeds, cfg, references: true }, () => 'bf16');
  return module.build();
}

function tensor(random: Random, shape: readonly number[], scale: number): HostTensor {
  const data = Float64Array.from({ length: countElements(shape) }, () => Math.fround(random.between(-scale, scale)));
  return { dtype: 'f32', shape, data };
}

/** (t, h, w, l) of tokens in a row. */
function ids(count: number, t: number, axis: number): HostTensor {
  const data = new Float64Array(count * 4);
  for (let token = 0; token < count; token++) {
    data[token * 4] = t;
    data[token * 4 + axis] = token;
  }
  return { dtype: 'i32', shape: [count, 4], data };
}

export function denoiseTensors(module: Module): ReadonlyMap<string, HostTensor> {
  const random = new Random(5);
  const tensors = new Map<string, HostTensor>();
  for (const { source, type } of module.weights.values()) {
    if (source.kind !== 'tensor') throw new Error('the model declares plain tensors');
    const shape = type.shape.map((dim) => dim.evaluate({}));
    const data = tensor(random, shape, 0.3).data.map((value) => bf16ToF32(f32ToBf16(value)));
    tensors.set(source.tensor, { dtype: 'bf16', shape, data });
  }
  return tensors;
}

/** Of `denoise_cfg` with two steps. */
export function denoiseInputs(img: number, txt: number, ref: number): ReadonlyMap<string, HostTensor> {
  const random = new Random(7);
  return new Map<string, HostTensor>([
    ['noise', tensor(random, [1, img, 8], 1)],
    ['prompt_embeds', tensor(random, [1, txt, 12], 1)],
    ['negative_prompt_embeds', tensor(random, [1, txt, 12], 1)],
    ['cfg_scale', { dtype: 'f32', shape: [], data: Float64Array.of(3) }],
    ['reference_latents', tensor(random, [1, ref, 8], 1)],
    ['img_ids', ids(img, 0, 2)],
    ['ref_ids', ids(ref, 10, 1)],
    ['txt_ids', ids(txt, 0, 3)],
    ['timesteps', { dtype: 'f32', shape: [2], data: Float64Array.of(1, 0.5) }],
    ['sigma_deltas', { dtype: 'f32', shape: [2], data: Float64Array.of(-0.5, -0.5) }],
  ]);
}

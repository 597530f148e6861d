/** The autoencoder of the embedded checkpoint, whose residual stream f16 does not hold, and a picture for it. */
import { readFileSync } from 'node:fs';
import { createModule } from '../frontend/index.js';
import type { Module } from '../ir/graph/graph.js';
import type { HostTensor } from '../ir/host-tensor.js';
import { addVaeDecoder, addVaeEncoder } from '../models/flux2/autoencoder.js';
import { parseAutoencoderConfig } from '../models/flux2/config.js';
import { interpretWith, loadComponent, type LoadedComponent, storedTypes } from './flux2-components.js';

const folder = 'models/flux2/checkpoint/vae';

export interface EmbeddedAutoencoder {
  readonly module: Module;
  readonly weights: LoadedComponent;
  /** Of a scene of 64×96 pixels, as the encoder makes them in f32. */
  readonly latents: HostTensor;
}

export async function openEmbeddedAutoencoder(): Promise<EmbeddedAutoencoder> {
  const weights = await loadComponent('vae', `${folder}/diffusion_pytorch_model.safetensors`);
  const config = parseAutoencoderConfig(readFileSync(`${folder}/config.json`, 'utf8'), `${folder}/config.json`);
  const graph = createModule();
  addVaeEncoder(graph, config, storedTypes(weights));
  addVaeDecoder(graph, config, storedTypes(weights));
  const module = graph.build();
  const image = drawScene(64, 96);
  const latents = interpretWith([weights], module, 'vae_encoder', { image }, 'f32').get('normalized')!;
  return { module, weights, latents };
}

/** f32[1, 3, height, width] in -1..1: a ball and a box before a sky, like what the model draws. */
function drawScene(height: number, width: number): HostTensor {
  const data = Float64Array.from({ length: 3 * height * width }, (_, at) => {
    const [channel, y, x] = [Math.floor(at / (height * width)), Math.floor(at / width) % height, at % width];
    if (Math.hypot(x - width * 0.3, y - height * 0.55) < height * 0.3) return [0.9, -0.6, -0.5][channel]!;
    if (x > width * 0.6 && x < width * 0.85 && y > height * 0.35) return [-0.7, 0.1, 0.8][channel]!;
    return (2 * y) / height - 1 + channel * 0.2 - 0.2;
  });
  return { dtype: 'f32', shape: [1, 3, height, width], data };
}

/** The largest difference of two pictures in -1..1, in the levels of 8 bits; NaN where a pixel is none. */
export function differenceInLevels(a: HostTensor, b: HostTensor): number {
  return a.data.reduce((most, value, at) => Math.max(most, Math.abs(value - (b.data[at] as number)) * 127.5), 0);
}

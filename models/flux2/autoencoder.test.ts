import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { createModule } from '../../frontend/index.js';
import type { Module } from '../../ir/graph/graph.js';
import type { HostTensor } from '../../ir/host-tensor.js';
import {
  compareWithGolden,
  goldenTensor,
  interpretWith,
  loadComponent,
  type LoadedComponent,
  storedTypes,
} from '../../test/flux2-components.js';
import { readSafetensors } from '../../test/read-safetensors.js';
import { addVaeDecoder, addVaeEncoder } from './autoencoder.js';
import { parseAutoencoderConfig } from './config.js';

/** test/golden/README.md: VAE encode and decode. */
const tolerance = { maxAbs: 3e-5, relativeL2: 1e-5 };
const precisions = ['f32', 'f64'] as const;
const sizes = ['b1_64x64', 'b2_48x80'] as const;
const folder = 'test/golden/vae-tiny';

interface Network {
  readonly weights: LoadedComponent;
  readonly module: Module;
}

async function loadAutoencoder(file: string): Promise<Network> {
  const config = parseAutoencoderConfig(readFileSync(`${folder}/config.json`, 'utf8'), `${folder}/config.json`);
  const weights = await loadComponent('vae', file);
  const module = createModule();
  addVaeEncoder(module, config, storedTypes(weights));
  addVaeDecoder(module, config, storedTypes(weights));
  return { weights, module: module.build() };
}

function expectClose(results: ReadonlyMap<string, HostTensor>, result: string, want: HostTensor): void {
  const difference = compareWithGolden(results, result, want);
  expect(difference.maxAbs, `${result}: largest difference`).toBeLessThan(tolerance.maxAbs);
  expect(difference.relativeL2, `${result}: relative L2`).toBeLessThan(tolerance.relativeL2);
}

describe('autoencoder', () => {
  let network: Network;
  beforeAll(async () => {
    network = await loadAutoencoder(`${folder}/diffusion_pytorch_model.safetensors`);
  });

  it.each(sizes.flatMap((size) => precisions.map((precision) => ({ size, precision }))))(
    'encodes $size in $precision as the reference',
    ({ size, precision }) => {
      const file = readSafetensors(`${folder}/cases/encode_${size}.safetensors`);
      const inputs = { image: goldenTensor(file, 'in.image') };
      const results = interpretWith([network.weights], network.module, 'vae_encoder', inputs, precision);
      expectClose(results, 'mode', goldenTensor(file, 'out.mode'));
      expectClose(results, 'normalized', goldenTensor(file, 'out.normalized'));
    },
  );

  it.each(sizes.flatMap((size) => precisions.map((precision) => ({ size, precision }))))(
    'decodes $size in $precision as the reference',
    ({ size, precision }) => {
      const file = readSafetensors(`${folder}/cases/decode_${size}.safetensors`);
      const inputs = { latents: goldenTensor(file, 'in.latents') };
      const results = interpretWith([network.weights], network.module, 'vae_decoder', inputs, precision);
      expectClose(results, 'image', goldenTensor(file, 'out.image'));
    },
  );

  it('decodes with the single-file layout', async () => {
    const single = await loadAutoencoder(`${folder}/bfl-ae-tiny.safetensors`);
    const file = readSafetensors(`${folder}/cases/decode_b2_48x80.safetensors`);
    const inputs = { latents: goldenTensor(file, 'in.latents') };
    const results = interpretWith([single.weights], single.module, 'vae_decoder', inputs, 'f32');
    expectClose(results, 'image', goldenTensor(file, 'out.image'));
  });
});

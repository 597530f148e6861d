import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { createModule } from '../../frontend/index.js';
import type { Module } from '../../ir/graph/graph.js';
import type { HostTensor } from '../../ir/host-tensor.js';
import {
  compareWithGolden,
  goldenIds,
  goldenTensor,
  interpretWith,
  loadComponent,
  type LoadedComponent,
  storedTypes,
  tensorOfNumbers,
} from '../../test/flux2-components.js';
import { type GoldenFile, readSafetensors } from '../../test/read-safetensors.js';
import { parseTransformerConfig, type TransformerConfig } from './config.js';
import { imagePositionIds, textPositionIds } from './position-ids.js';
import { addTransformerCached, addTransformerExtract } from './reference-cache.js';
import { addTransformer } from './transformer.js';

const precisions = ['f32', 'f64'] as const;

/** test/golden/README.md: outputs with sinusoids of one's own. */
const tolerance = { maxAbs: 1e-3, relativeL2: 2e-4 };

interface Network {
  readonly config: TransformerConfig;
  readonly weights: LoadedComponent;
}

async function loadNetwork(folder: string, file = folder): Promise<Network> {
  const configPath = `${folder}/config.json`;
  const config = parseTransformerConfig(readFileSync(configPath, 'utf8'), configPath);
  return { config, weights: await loadComponent('transformer', file) };
}

function buildTransformer({ config, weights }: Network): Module {
  const module = createModule();
  addTransformer(module, config, storedTypes(weights));
  return module.build();
}

function inputsOf(file: GoldenFile): Record<string, HostTensor> {
  return {
    hidden_states: goldenTensor(file, 'in.hidden_states'),
    encoder_hidden_states: goldenTensor(file, 'in.encoder_hidden_states'),
    timestep: goldenTensor(file, 'in.timestep'),
    ...(file.names.includes('in.guidance') ? { guidance: goldenTensor(file, 'in.guidance') } : {}),
    img_ids: goldenIds(file, 'in.img_ids'),
    txt_ids: goldenIds(file, 'in.txt_ids'),
  };
}

function expectClose(results: ReadonlyMap<string, HostTensor>, result: string, file: GoldenFile, want: string): void {
  const difference = compareWithGolden(results, result, goldenTensor(file, want));
  expect(difference.maxAbs, `${want}: largest difference`).toBeLessThan(tolerance.maxAbs);
  expect(difference.relativeL2, `${want}: relative L2`).toBeLessThan(tolerance.relativeL2);
}

describe('a transformer with guidance embedding', () => {
  const folder = 'test/golden/transformer-tiny';
  let network: Network;
  let module: Module;
  beforeAll(async () => {
    network = await loadNetwork(folder, `${folder}/diffusion_pytorch_model.safetensors`);
    module = buildTransformer(network);
  });

  const cases = ['b1_3x4_t5_small', 'b1_6x4_2refs_t10', 'b1_7x5_t9', 'b1_8x6_t16', 'b2_4x4_t12'];
  it.each(cases.flatMap((name) => precisions.map((precision) => ({ name, precision }))))(
    'gives the reference output of $name in $precision',
    ({ name, precision }) => {
      const file = readSafetensors(`${folder}/cases/${name}.safetensors`);
      const results = interpretWith([network.weights], module, 'transformer', inputsOf(file), precision);
      expectClose(results, 'sample', file, 'out.sample');
    },
  );

  it('gives the same output with the single-file layout', async () => {
    const single = await loadNetwork(folder, `${folder}/bfl-tiny.safetensors`);
    const file = readSafetensors(`${folder}/cases/b1_3x4_t5_small.safetensors`);
    const results = interpretWith([single.weights], buildTransformer(single), 'transformer', inputsOf(file), 'f32');
    expectClose(results, 'sample', file, 'out.sample');
  });
});

describe('a transformer without guidance embedding', () => {
  const folder = 'test/golden/transformer-klein-tiny';
  let network: Network;
  beforeAll(async () => {
    network = await loadNetwork(folder);
  });

  const cases = ['b1_5x6_t13', 'b2_4x3_1ref_t8'];
  it.each(cases.flatMap((name) => precisions.map((precision) => ({ name, precision }))))(
    'gives the reference output of $name in $precision',
    ({ name, precision }) => {
      const file = readSafetensors(`${folder}/cases/${name}.safetensors`);
      const results = interpretWith(
        [network.weights],
        buildTransformer(network),
        'transformer',
        inputsOf(file),
        precision,
      );
      expectClose(results, 'sample', file, 'out.sample');
    },
  );

  it.each(precisions)('runs references once and attends to what they left in %s', (precision) => {
    const module = createModule();
    addTransformerExtract(module, network.config, storedTypes(network.weights));
    addTransformerCached(module, network.config, storedTypes(network.weights));
    const built = module.build();
    const file = readSafetensors(`${folder}/cases/kv_cache.safetensors`);
    const common = {
      encoder_hidden_states: goldenTensor(file, 'in.encoder_hidden_states'),
      img_ids: goldenIds(file, 'in.img_ids'),
      txt_ids: goldenIds(file, 'in.txt_ids'),
    };
    const first = interpretWith(
      [network.weights],
      built,
      'transformer_extract',
      {
        ...common,
        hidden_states: goldenTensor(file, 'in.x0'),
        timestep: goldenTensor(file, 'in.t0'),
        reference_hidden_states: goldenTensor(file, 'in.ref'),
        ref_ids: goldenIds(file, 'in.ref_ids'),
      },
      precision,
    );
    expectClose(first, 'sample', file, 'out.extract');
    const { sample: _, ...cache } = Object.fromEntries(first);
    expect(Object.keys(cache).sort()).toEqual(
      file.names.flatMap((name) => (name.startsWith('mid.') ? [name.slice(4)] : [])).sort(),
    );
    for (const name of Object.keys(cache)) expectClose(first, name, file, `mid.${name}`);

    const inputs = {
      ...common,
      ...(cache as Record<string, HostTensor>),
      hidden_states: goldenTensor(file, 'in.x1'),
      timestep: goldenTensor(file, 'in.t1'),
    };
    const second = interpretWith([network.weights], built, 'transformer_cached', inputs, precision);
    expectClose(second, 'sample', file, 'out.cached');
  });
});

describe('the embedded checkpoint', () => {
  it('predicts the stored velocity at the first step', async () => {
    const network = await loadNetwork('models/flux2/checkpoint/transformer');
    const file = readSafetensors('test/golden/flux2-shapes-samples/case_1.safetensors');
    const inputs = {
      hidden_states: goldenTensor(file, 'noise'),
      encoder_hidden_states: goldenTensor(file, 'prompt_embeds'),
      timestep: tensorOfNumbers('f32', [1], file.tensor('timesteps').values.slice(0, 1)),
      guidance: tensorOfNumbers('f32', [1], [4]),
      img_ids: tensorOfNumbers('i32', [64, 4], imagePositionIds(8, 8)),
      txt_ids: tensorOfNumbers('i32', [32, 4], textPositionIds(32)),
    };
    const results = interpretWith([network.weights], buildTransformer(network), 'transformer', inputs, 'f32');
    expectClose(results, 'sample', file, 'velocity_first');
  });
});

import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { createModule } from '../../frontend/index.js';
import type { Module } from '../../ir/graph/graph.js';
import { compareTensors, type HostTensor } from '../../ir/host-tensor.js';
import {
  goldenTensor,
  interpretWith,
  loadComponent,
  type LoadedComponent,
  storedTypes,
  tensorOfNumbers,
} from '../../test/flux2-components.js';
import { type GoldenFile, readSafetensors } from '../../test/read-safetensors.js';
import { parseTransformerConfig, type TransformerConfig } from './config.js';
import { addDenoise, addDenoiseCached, type DenoiseOptions } from './denoise.js';
import { packLatents } from './latents.js';
import { imagePositionIds, referencePositionIds, textPositionIds, type TokenGrid } from './position-ids.js';
import { addTransformerCached, addTransformerExtract } from './reference-cache.js';

/** test/golden/README.md: pipeline latents after any step. */
const tolerance = { maxAbs: 1e-3, relativeL2: 2e-4 };

const precisions = ['f32', 'f64'] as const;

interface Network {
  readonly config: TransformerConfig;
  readonly weights: LoadedComponent;
}

async function loadNetwork(folder: string, file = folder): Promise<Network> {
  const config = parseTransformerConfig(readFileSync(`${folder}/config.json`, 'utf8'), `${folder}/config.json`);
  return { config, weights: await loadComponent('transformer', file) };
}

function buildDenoise({ config, weights }: Network, options: Omit<DenoiseOptions, 'guidance'>): Module {
  const module = createModule();
  addDenoise(module, config, { ...options, guidance: config.guidanceEmbeds }, storedTypes(weights));
  return module.build();
}

/** [1, C, h, w] -> [1, h·w, C]. */
function pack({ shape, data }: HostTensor): HostTensor {
  const [batch = 0, channels = 0, height = 0, width = 0] = shape;
  const tokens = packLatents(Float32Array.from(data), { batch, channels, height, width });
  return tensorOfNumbers('f32', [batch, height * width, channels], tokens);
}

function joinTokens(parts: readonly HostTensor[], channels: number): HostTensor {
  const values = parts.flatMap((part) => [...part.data]);
  return tensorOfNumbers('f32', [1, values.length / channels, channels], values);
}

function idsOf(ids: Int32Array): HostTensor {
  return tensorOfNumbers('i32', [ids.length / 4, 4], ids);
}

/** The steps from `first` (counted from 0) to before `end` of a schedule. */
function steps(sigmas: Float64Array, first: number, end: number): Record<string, HostTensor> {
  const levels = [...sigmas.slice(first, end)];
  const deltas = levels.map((sigma, index) => Math.fround((sigmas[first + index + 1] as number) - sigma));
  return {
    timesteps: tensorOfNumbers('f32', [levels.length], levels),
    sigma_deltas: tensorOfNumbers('f32', [levels.length], deltas),
  };
}

function expectClose(got: HostTensor, want: HostTensor, what: string): void {
  const difference = compareTensors(got, want);
  expect(difference.maxAbs, `${what}: largest difference`).toBeLessThan(tolerance.maxAbs);
  expect(difference.relativeL2, `${what}: relative L2`).toBeLessThan(tolerance.relativeL2);
}

interface PipelineCase {
  readonly name: string;
  readonly network: 'dev' | 'klein';
  readonly grid: TokenGrid;
  readonly references: readonly TokenGrid[];
  readonly cfg: boolean;
}

const pipelineCases: readonly PipelineCase[] = [
  { name: 't2i_64x64_4steps', network: 'dev', grid: { height: 4, width: 4 }, references: [], cfg: false },
  {
    name: 'i2i_64x64_2refs_4steps',
    network: 'dev',
    grid: { height: 4, width: 4 },
    references: [
      { height: 4, width: 4 },
      { height: 4, width: 5 },
    ],
    cfg: false,
  },
  { name: 'klein_t2i_64x48_4steps', network: 'klein', grid: { height: 4, width: 3 }, references: [], cfg: false },
  { name: 'klein_cfg_48x64_3steps', network: 'klein', grid: { height: 3, width: 4 }, references: [], cfg: true },
];

describe('denoise', () => {
  let networks: Readonly<Record<PipelineCase['network'], Network>>;
  beforeAll(async () => {
    const dev = 'test/golden/transformer-tiny';
    networks = {
      dev: await loadNetwork(dev, `${dev}/diffusion_pytorch_model.safetensors`),
      klein: await loadNetwork('test/golden/transformer-klein-tiny'),
    };
  });

  function inputsOf(file: GoldenFile, { grid, references, cfg }: PipelineCase): Record<string, HostTensor> {
    const noise = pack(goldenTensor(file, 'in.noise'));
    const prompt = goldenTensor(file, 'in.prompt_embeds');
    const scale = Number(file.metadata['guidance']);
    const latents = references.map((_, index) => pack(goldenTensor(file, `mid.ref.${index}.latents`)));
    return {
      noise,
      prompt_embeds: prompt,
      ...(cfg && {
        negative_prompt_embeds: goldenTensor(file, 'in.negative_prompt_embeds'),
        cfg_scale: tensorOfNumbers('f32', [], [scale]),
      }),
      img_ids: idsOf(imagePositionIds(grid.height, grid.width)),
      txt_ids: idsOf(textPositionIds(prompt.shape[1] as number)),
      ...(references.length > 0 && {
        reference_latents: joinTokens(latents, 128),
        ref_ids: idsOf(referencePositionIds(references)),
      }),
      ...(file.metadata['pipe'] === '"dev"' && { guidance: tensorOfNumbers('f32', [1], [scale]) }),
    };
  }

  it.each(pipelineCases.flatMap((each) => precisions.map((precision) => ({ ...each, precision }))))(
    'gives the reference latents of $name after every step and in one loop in $precision',
    (each) => {
      const file = readSafetensors(`test/golden/pipeline-tiny/${each.name}.safetensors`);
      const network = networks[each.network];
      const { cfg, precision } = each;
      const module = buildDenoise(network, { cfg, references: each.references.length > 0 });
      const inputs = inputsOf(file, each);
      const sigmas = file.tensor('mid.sigmas').values;
      const count = sigmas.length - 1;
      const run = (noise: HostTensor, first: number, end: number): HostTensor => {
        const all = { ...inputs, ...steps(sigmas, first, end), noise };
        const results = interpretWith([network.weights], module, cfg ? 'denoise_cfg' : 'denoise', all, precision);
        return results.get('latents') as HostTensor;
      };
      let latents = inputs['noise'] as HostTensor;
      for (let step = 0; step < count; step++) {
        latents = run(latents, step, step + 1);
        expectClose(latents, goldenTensor(file, `mid.latents.${step}`), `after step ${step}`);
      }
      const whole = run(inputs['noise'] as HostTensor, 0, count);
      expect(compareTensors(whole, latents)).toEqual({ maxAbs: 0, relativeL2: 0 });
    },
  );

  it('takes no reference tokens where it could', () => {
    const [each] = pipelineCases as [PipelineCase];
    const file = readSafetensors(`test/golden/pipeline-tiny/${each.name}.safetensors`);
    const inputs = {
      ...inputsOf(file, each),
      ...steps(file.tensor('mid.sigmas').values, 0, 1),
      reference_latents: tensorOfNumbers('f32', [1, 0, 128], []),
      ref_ids: tensorOfNumbers('i32', [0, 4], []),
    };
    const module = buildDenoise(networks.dev, { cfg: false, references: true });
    const results = interpretWith([networks.dev.weights], module, 'denoise', inputs, 'f32');
    expectClose(results.get('latents') as HostTensor, goldenTensor(file, 'mid.latents.0'), 'after step 0');
  });

  it('treats every picture of a batch as it would alone', () => {
    const each = pipelineCases[3] as PipelineCase;
    const file = readSafetensors(`test/golden/pipeline-tiny/${each.name}.safetensors`);
    const inputs = inputsOf(file, each);
    const twice = (name: string): HostTensor => {
      const { dtype, shape, data } = inputs[name] as HostTensor;
      return { dtype, shape: [2, ...shape.slice(1)], data: Float64Array.from([...data, ...data]) };
    };
    const batched = Object.fromEntries(
      ['noise', 'prompt_embeds', 'negative_prompt_embeds'].map((name) => [name, twice(name)]),
    );
    const all = { ...inputs, ...batched, ...steps(file.tensor('mid.sigmas').values, 0, 1) };
    const module = buildDenoise(networks.klein, { cfg: true, references: false });
    const got = interpretWith([networks.klein.weights], module, 'denoise_cfg', all, 'f32').get('latents') as HostTensor;
    const want = goldenTensor(file, 'mid.latents.0');
    const wantTwice = {
      ...want,
      shape: [2, ...want.shape.slice(1)],
      data: Float64Array.from([...want.data, ...want.data]),
    };
    expectClose(got, wantTwice, 'after step 0');
  });

  it('runs cached references before the first step', () => {
    const { config, weights } = networks.klein;
    const module = createModule();
    addDenoiseCached(module, config, storedTypes(weights));
    addTransformerExtract(module, config, storedTypes(weights));
    addTransformerCached(module, config, storedTypes(weights));
    const built = module.build();
    const file = readSafetensors('test/golden/transformer-klein-tiny/cases/kv_cache.safetensors');
    const noise = goldenTensor(file, 'in.x0');
    const ids = (name: string): HostTensor => {
      const { dtype, shape, data } = goldenTensor(file, name);
      return { dtype, shape: shape.slice(1), data };
    };
    const common = { img_ids: ids('in.img_ids'), txt_ids: ids('in.txt_ids') };
    const references = { latents: goldenTensor(file, 'in.ref'), ids: ids('in.ref_ids') };
    const prompt = goldenTensor(file, 'in.encoder_hidden_states');
    const levels = Float64Array.from([...file.tensor('in.t0').values, ...file.tensor('in.t1').values, 0]);
    const denoised = interpretWith(
      [weights],
      built,
      'denoise_cached',
      {
        ...common,
        noise,
        prompt_embeds: prompt,
        reference_latents: references.latents,
        ref_ids: references.ids,
        ...steps(levels, 0, 2),
      },
      'f64',
    ).get('latents') as HostTensor;

    const pass = { ...common, encoder_hidden_states: prompt };
    const step = (x: HostTensor, velocity: HostTensor, index: number): HostTensor => {
      const delta = Math.fround((levels[index + 1] as number) - (levels[index] as number));
      return { ...x, data: x.data.map((value, at) => value + delta * (velocity.data[at] as number)) };
    };
    const first = step(noise, goldenTensor(file, 'out.extract'), 0);
    const { sample: _, ...cache } = Object.fromEntries(
      interpretWith(
        [weights],
        built,
        'transformer_extract',
        {
          ...pass,
          hidden_states: noise,
          timestep: goldenTensor(file, 'in.t0'),
          reference_hidden_states: references.latents,
          ref_ids: references.ids,
        },
        'f64',
      ),
    );
    const velocity = interpretWith(
      [weights],
      built,
      'transformer_cached',
      {
        ...pass,
        ...(cache as Record<string, HostTensor>),
        hidden_states: first,
        timestep: goldenTensor(file, 'in.t1'),
      },
      'f64',
    ).get('sample') as HostTensor;
    expectClose(denoised, step(first, velocity, 1), 'after both steps');
  });

  it('refuses a guidance input that the network does not have, or lacks', () => {
    const add = (network: Network, guidance: boolean) => () =>
      addDenoise(createModule(), network.config, { guidance, cfg: false, references: false }, () => 'bf16');
    expect(add(networks.klein, true)).toThrow(expect.objectContaining({ code: 'F2C651' }));
    expect(add(networks.dev, false)).toThrow(expect.objectContaining({ code: 'F2C651' }));
  });
});

describe('the embedded checkpoint', () => {
  it.each([
    { name: 'case_1', references: [] },
    { name: 'edit_0', references: [{ height: 8, width: 8 }] },
  ])('gives the stored latents of the first steps of $name', async ({ name, references }) => {
    const network = await loadNetwork('models/flux2/checkpoint/transformer');
    const file = readSafetensors(`test/golden/flux2-shapes-samples/${name}.safetensors`);
    const all = file.tensor('latents');
    const count = 2;
    const inputs = {
      noise: goldenTensor(file, 'noise'),
      prompt_embeds: goldenTensor(file, 'prompt_embeds'),
      img_ids: idsOf(imagePositionIds(8, 8)),
      txt_ids: idsOf(textPositionIds(32)),
      guidance: tensorOfNumbers('f32', [1], [4]),
      ...steps(file.tensor('timesteps').values, 0, count),
      ...(references.length > 0 && {
        reference_latents: goldenTensor(file, 'reference_latents_0'),
        ref_ids: idsOf(referencePositionIds(references)),
      }),
    };
    const module = buildDenoise(network, { cfg: false, references: references.length > 0 });
    const got = interpretWith([network.weights], module, 'denoise', inputs, 'f32').get('latents') as HostTensor;
    const size = 64 * 128;
    const want = tensorOfNumbers('f32', [1, 64, 128], all.values.slice((count - 1) * size, count * size));
    expectClose(got, want, `after step ${count - 1}`);
  });
});

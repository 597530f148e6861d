import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { cpuTarget, portableWebgpu, type Target } from '../backends/target.js';
import { createModule, type ModuleGraph } from '../frontend/index.js';
import { Dim } from '../ir/dim.js';
import type { Block, Module, Operation, Value } from '../ir/graph/graph.js';
import type { HostTensor } from '../ir/host-tensor.js';
import { addVaeDecoder, addVaeEncoder } from '../models/flux2/autoencoder.js';
import { parseAutoencoderConfig, parseTextEncoderConfig, parseTransformerConfig } from '../models/flux2/config.js';
import { addDenoise } from '../models/flux2/denoise.js';
import { packLatents } from '../models/flux2/latents.js';
import {
  imagePositionIds,
  referencePositionIds,
  textPositionIds,
  type TokenGrid,
} from '../models/flux2/position-ids.js';
import { addTextEncoder } from '../models/flux2/text-encoder.js';
import { addTransformer } from '../models/flux2/transformer.js';
import type { Component, WeightDTypes } from '../models/flux2/weights.js';
import { joinsGates } from '../passes/graph/fuse-heads.js';
import { verifyEach } from '../passes/instrument.js';
import { runGraphPasses } from '../passes/pass.js';
import { graphPassesFor } from '../passes/pipeline.js';
import {
  compareWithGolden,
  goldenIds,
  goldenTensor,
  interpretWith,
  loadComponent,
  type LoadedComponent,
  storedTypes,
  tensorOfNumbers,
} from './flux2-components.js';
import { type GoldenFile, readSafetensors } from './read-safetensors.js';

/**
 * The whole graph pipeline on the tiny networks: verified after every pass, interpreted at the end and compared with the
 * reference implementations' outputs, within the tolerances that the networks themselves are held to.
 */
interface Network {
  readonly weights: LoadedComponent;
  readonly module: Module;
}

const dev = 'test/golden/transformer-tiny';
const klein = 'test/golden/transformer-klein-tiny';

async function compile(
  component: Component,
  path: string,
  build: (module: ModuleGraph, dtypes: WeightDTypes) => void,
  target: Target = cpuTarget,
): Promise<Network> {
  const weights = await loadComponent(component, path);
  const graph = createModule();
  build(graph, storedTypes(weights));
  return { weights, module: runGraphPasses(graph.build(), graphPassesFor(target), target, [verifyEach()]) };
}

function transformerConfig(folder: string) {
  return parseTransformerConfig(readFileSync(`${folder}/config.json`, 'utf8'), `${folder}/config.json`);
}

function expectGolden(
  { weights, module }: Network,
  functionName: string,
  inputs: Readonly<Record<string, HostTensor>>,
  wanted: Readonly<Record<string, HostTensor>>,
  tolerance: { readonly maxAbs: number; readonly relativeL2: number },
): void {
  const results = interpretWith([weights], module, functionName, inputs, 'f32');
  for (const [name, want] of Object.entries(wanted)) {
    const difference = compareWithGolden(results, name, want);
    expect(difference.maxAbs, `${name}: largest difference`).toBeLessThan(tolerance.maxAbs);
    expect(difference.relativeL2, `${name}: relative L2`).toBeLessThan(tolerance.relativeL2);
  }
}

describe('the graph pipeline keeps the results of', () => {
  it.each([
    { folder: dev, file: `${dev}/diffusion_pytorch_model.safetensors`, name: 'b1_7x5_t9' },
    { folder: dev, file: `${dev}/diffusion_pytorch_model.safetensors`, name: 'b2_4x4_t12' },
    { folder: klein, file: klein, name: 'b2_4x3_1ref_t8' },
  ])('one pass of the transformer: $folder $name', async ({ folder, file, name }) => {
    const config = transformerConfig(folder);
    const network = await compile('transformer', file, (module, dtypes) => addTransformer(module, config, dtypes));
    const golden = readSafetensors(`${folder}/cases/${name}.safetensors`);
    const inputs = {
      hidden_states: goldenTensor(golden, 'in.hidden_states'),
      encoder_hidden_states: goldenTensor(golden, 'in.encoder_hidden_states'),
      timestep: goldenTensor(golden, 'in.timestep'),
      ...(golden.names.includes('in.guidance') ? { guidance: goldenTensor(golden, 'in.guidance') } : {}),
      img_ids: goldenIds(golden, 'in.img_ids'),
      txt_ids: goldenIds(golden, 'in.txt_ids'),
    };
    const wanted = { sample: goldenTensor(golden, 'out.sample') };
    expectGolden(network, 'transformer', inputs, wanted, { maxAbs: 1e-3, relativeL2: 2e-4 });
  });

  it.each<{ name: string; folder: string; grid: TokenGrid; references: readonly TokenGrid[]; cfg: boolean }>([
    {
      name: 'i2i_64x64_2refs_4steps',
      folder: dev,
      grid: { height: 4, width: 4 },
      references: [
        { height: 4, width: 4 },
        { height: 4, width: 5 },
      ],
      cfg: false,
    },
    { name: 'klein_cfg_48x64_3steps', folder: klein, grid: { height: 3, width: 4 }, references: [], cfg: true },
  ])('all steps of $name', async ({ name, folder, grid, references, cfg }) => {
    const config = transformerConfig(folder);
    const guidance = config.guidanceEmbeds;
    const file = folder === dev ? `${dev}/diffusion_pytorch_model.safetensors` : folder;
    const network = await compile('transformer', file, (module, dtypes) =>
      addDenoise(module, config, { guidance, cfg, references: references.length > 0 }, dtypes),
    );
    const golden = readSafetensors(`test/golden/pipeline-tiny/${name}.safetensors`);
    const sigmas = golden.tensor('mid.sigmas').values;
    const steps = sigmas.length - 1;
    const prompt = goldenTensor(golden, 'in.prompt_embeds');
    const scale = Number(golden.metadata['guidance']);
    const inputs = {
      noise: pack(goldenTensor(golden, 'in.noise')),
      prompt_embeds: prompt,
      img_ids: idsOf(imagePositionIds(grid.height, grid.width)),
      txt_ids: idsOf(textPositionIds(prompt.shape[1] as number)),
      timesteps: tensorOfNumbers('f32', [steps], sigmas.slice(0, steps)),
      sigma_deltas: tensorOfNumbers('f32', [steps], deltasOf(sigmas)),
      ...(references.length > 0 && {
        reference_latents: joinTokens(references.map((_, at) => pack(goldenTensor(golden, `mid.ref.${at}.latents`)))),
        ref_ids: idsOf(referencePositionIds(references)),
      }),
      ...(guidance && { guidance: tensorOfNumbers('f32', [1], [scale]) }),
      ...(cfg && {
        negative_prompt_embeds: goldenTensor(golden, 'in.negative_prompt_embeds'),
        cfg_scale: tensorOfNumbers('f32', [], [scale]),
      }),
    };
    const wanted = { latents: goldenTensor(golden, `mid.latents.${steps - 1}`) };
    const functionName = cfg ? 'denoise_cfg' : 'denoise';
    expectGolden(network, functionName, inputs, wanted, { maxAbs: 1e-3, relativeL2: 2e-4 });
  });

  it('the autoencoder', async () => {
    const folder = 'test/golden/vae-tiny';
    const config = parseAutoencoderConfig(readFileSync(`${folder}/config.json`, 'utf8'), `${folder}/config.json`);
    const network = await compile('vae', `${folder}/diffusion_pytorch_model.safetensors`, (module, dtypes) => {
      addVaeEncoder(module, config, dtypes);
      addVaeDecoder(module, config, dtypes);
    });
    const tolerance = { maxAbs: 3e-5, relativeL2: 1e-5 };
    const encode = readSafetensors(`${folder}/cases/encode_b1_64x64.safetensors`);
    const encoded = { mode: goldenTensor(encode, 'out.mode'), normalized: goldenTensor(encode, 'out.normalized') };
    expectGolden(network, 'vae_encoder', { image: goldenTensor(encode, 'in.image') }, encoded, tolerance);
    const decode = readSafetensors(`${folder}/cases/decode_b1_64x64.safetensors`);
    const decoded = { image: goldenTensor(decode, 'out.image') };
    expectGolden(network, 'vae_decoder', { latents: goldenTensor(decode, 'in.latents') }, decoded, tolerance);
  });

  it.each([
    ['text-encoder-tiny', 'b2_left_pad'],
    ['text-encoder-qwen3-tiny', 'b2_right_pad'],
  ])('the text encoder: %s %s', async (name, example) => {
    const folder = `test/golden/${name}`;
    const config = parseTextEncoderConfig(readFileSync(`${folder}/config.json`, 'utf8'), `${folder}/config.json`);
    const golden: GoldenFile = readSafetensors(`${folder}/cases/${example}.safetensors`);
    const layers = JSON.parse(golden.metadata['layers'] as string) as readonly number[];
    const network = await compile('text_encoder', folder, (module, dtypes) =>
      addTextEncoder(module, config, { layers }, dtypes),
    );
    const inputs = {
      input_ids: goldenTensor(golden, 'in.input_ids'),
      attention_mask: goldenTensor(golden, 'in.attention_mask'),
    };
    const wanted = { prompt_embeds: goldenTensor(golden, 'out.prompt_embeds') };
    expectGolden(network, 'text_encoder', inputs, wanted, { maxAbs: 5e-5, relativeL2: 1e-5 });
  });
});

describe.each([
  ['cpu', cpuTarget],
  ['webgpu', portableWebgpu],
])('after the graph pipeline for %s', (_, target) => {
  const config = transformerConfig(dev);
  const graph = createModule();
  addDenoise(graph, config, { guidance: true, cfg: false, references: true }, () => 'bf16');
  const module = runGraphPasses(graph.build(), graphPassesFor(target), target, [verifyEach()]);
  const body = module.functions.get('denoise')?.body as Block;

  it('the loop computes nothing that depends only on the step: it takes rows', () => {
    const loop = body.operations.find(({ kind }) => kind === 'loop')?.body as Block;
    const changing = new Set<Value>(loop.parameters);
    const others: Operation[] = [];
    for (const operation of loop.operations) {
      if (operation.operands.some((operand) => changing.has(operand))) {
        for (const result of operation.results) changing.add(result);
      } else others.push(operation);
    }
    const isRow = ({ kind, attributes }: Operation): boolean =>
      kind === 'slice' && 'start' in attributes && attributes.start.equals(Dim.symbol('step'));
    const weights = new Set(listKind(body, 'weight').flatMap(({ results }) => results));
    // Rows of a weight are addresses.
    const isOfWeight = ({ kind, operands: [x] }: Operation): boolean => kind === 'slice' && weights.has(x as Value);
    const computing = others.filter((operation) => ![isRow, isOfTextTokens, isOfWeight].some((is) => is(operation)));
    expect(computing.map(({ kind, results }) => `${kind} ${results[0]?.name}`)).toEqual([]);
    expect(others.length).toBeGreaterThan(10);
  });

  it('the modulations of all steps and of all blocks are one product', () => {
    const { hidden } = config;
    const products = listKind(body, 'matmul').filter(
      ({ results }) => (results[0] as Value).type.shape.map(String).join() === `steps,${(6 + 6 + 3 + 2) * hidden}`,
    );
    expect(products).toHaveLength(1);
    const loop = body.operations.find(({ kind }) => kind === 'loop')?.body as Block;
    for (const { operands } of listKind(loop, 'matmul')) expect((operands[0] as Value).type.shape).toHaveLength(3);
  });

  it('q, k and v are one product in every block', () => {
    const loop = body.operations.find(({ kind }) => kind === 'loop')?.body as Block;
    const perDouble = 2 * 5; // projections in and out, gate, up and MLP out, of two streams
    // The projection in and out; gate and up where they are products of their own.
    const perSingle = joinsGates(target) ? 2 : 4;
    const around = 2; // latents in, velocity out
    const expected = config.doubleBlocks * perDouble + config.singleBlocks * perSingle + around;
    expect(listKind(loop, 'matmul')).toHaveLength(expected);
  });
});

/**
 * Until the first attention the text tokens depend on the step and the prompt alone; computed for all steps at once they
 * would be as many times more tokens, and save nothing.
 */
function isOfTextTokens({ operands }: Operation): boolean {
  return operands.some((operand) => operand.type.shape.some((dim) => dim.equals('txt')));
}

function listKind(block: Block, kind: Operation['kind']): readonly Operation[] {
  return block.operations.flatMap((operation) => [
    ...(operation.kind === kind ? [operation] : []),
    ...(operation.body === undefined ? [] : listKind(operation.body, kind)),
  ]);
}

/** [1, C, h, w] -> [1, h·w, C]. */
function pack({ shape, data }: HostTensor): HostTensor {
  const [batch = 0, channels = 0, height = 0, width = 0] = shape;
  const tokens = packLatents(Float32Array.from(data), { batch, channels, height, width });
  return tensorOfNumbers('f32', [batch, height * width, channels], tokens);
}

function joinTokens(parts: readonly HostTensor[]): HostTensor {
  const values = parts.flatMap((part) => [...part.data]);
  return tensorOfNumbers('f32', [1, values.length / 128, 128], values);
}

function idsOf(ids: Int32Array): HostTensor {
  return tensorOfNumbers('i32', [ids.length / 4, 4], ids);
}

function deltasOf(sigmas: Float64Array): Float64Array {
  return sigmas.slice(0, -1).map((sigma, at) => Math.fround((sigmas[at + 1] as number) - sigma));
}

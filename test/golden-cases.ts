/** The golden cases of single networks, as data; whole pipelines are in `generate-cases.ts`. */
import { readFileSync } from 'node:fs';
import { createModule, type ModuleGraph } from '../frontend/index.js';
import type { Module } from '../ir/graph/graph.js';
import type { HostTensor } from '../ir/host-tensor.js';
import { addVaeDecoder, addVaeEncoder } from '../models/flux2/autoencoder.js';
import { parseAutoencoderConfig, parseTextEncoderConfig, parseTransformerConfig } from '../models/flux2/config.js';
import { addTransformerCached, addTransformerExtract } from '../models/flux2/reference-cache.js';
import { addTextEncoder } from '../models/flux2/text-encoder.js';
import { addTransformer } from '../models/flux2/transformer.js';
import type { Component, WeightDTypes } from '../models/flux2/weights.js';
import { memoryWeights, type WeightProvider } from '../runtime/weight-provider.js';
import { goldenIds, goldenTensor, loadComponent, storedTypes } from './flux2-components.js';
import { type GoldenFile, readSafetensors } from './read-safetensors.js';

export interface Tolerance {
  readonly maxAbs: number;
  readonly relativeL2: number;
}

/** What a golden file expects of a result. */
export interface ExpectedResult {
  readonly result: string;
  readonly want: HostTensor;
}

export interface GoldenRun {
  readonly inputs: Readonly<Record<string, HostTensor>>;
  readonly expected: readonly ExpectedResult[];
}

export interface GoldenCase {
  readonly name: string;
  /** Function of the network's module. */
  readonly function: string;
  /** Reads the golden file. */
  read(): GoldenRun;
}

/** A network's module and weights, and the cases it must pass. */
export interface GoldenNetwork {
  readonly name: string;
  readonly tolerance: Tolerance;
  readonly cases: readonly GoldenCase[];
  load(): Promise<{ readonly module: Module; readonly weights: WeightProvider }>;
}

/** test/golden/README.md */
const tolerances: Readonly<Record<Component, Tolerance>> = {
  transformer: { maxAbs: 1e-3, relativeL2: 2e-4 },
  vae: { maxAbs: 3e-5, relativeL2: 1e-5 },
  text_encoder: { maxAbs: 5e-5, relativeL2: 1e-5 },
};

const golden = 'test/golden';

type AddFunctions = (module: ModuleGraph, config: string, path: string, dtypes: WeightDTypes) => void;

/** `weights` names a file of the folder or, without one, the folder itself. */
function network(
  component: Component,
  folder: string,
  weights: string | undefined,
  cases: readonly GoldenCase[],
  add: AddFunctions,
): GoldenNetwork {
  const path = `${golden}/${folder}/config.json`;
  return {
    name: weights === undefined ? folder : `${folder}/${weights}`,
    tolerance: tolerances[component],
    cases,
    load: async () => {
      const loaded = await loadComponent(component, `${golden}/${folder}${weights === undefined ? '' : `/${weights}`}`);
      const module = createModule();
      add(module, readFileSync(path, 'utf8'), path, storedTypes(loaded));
      return { module: module.build(), weights: memoryWeights(loaded.tensors) };
    },
  };
}

function goldenCase(folder: string, name: string, fn: string, read: (file: GoldenFile) => GoldenRun): GoldenCase {
  const path = `${golden}/${folder}/cases/${name}.safetensors`;
  return { name, function: fn, read: () => read(readSafetensors(path)) };
}

function transformerCase(folder: string, name: string): GoldenCase {
  return goldenCase(folder, name, 'transformer', (file) => ({
    inputs: {
      hidden_states: goldenTensor(file, 'in.hidden_states'),
      encoder_hidden_states: goldenTensor(file, 'in.encoder_hidden_states'),
      timestep: goldenTensor(file, 'in.timestep'),
      ...(file.names.includes('in.guidance') && { guidance: goldenTensor(file, 'in.guidance') }),
      img_ids: goldenIds(file, 'in.img_ids'),
      txt_ids: goldenIds(file, 'in.txt_ids'),
    },
    expected: [{ result: 'sample', want: goldenTensor(file, 'out.sample') }],
  }));
}

const kleinFolder = 'transformer-klein-tiny';

/** Keys and values of the references, by result of the first and input of the second function. */
function referenceCache(file: GoldenFile): readonly ExpectedResult[] {
  const names = file.names.filter((name) => name.startsWith('mid.'));
  return names.map((name) => ({ result: name.slice('mid.'.length), want: goldenTensor(file, name) }));
}

function cachedInputs(file: GoldenFile, step: 0 | 1): GoldenRun['inputs'] {
  return {
    encoder_hidden_states: goldenTensor(file, 'in.encoder_hidden_states'),
    img_ids: goldenIds(file, 'in.img_ids'),
    txt_ids: goldenIds(file, 'in.txt_ids'),
    hidden_states: goldenTensor(file, `in.x${step}`),
    timestep: goldenTensor(file, `in.t${step}`),
  };
}

const extractCase = goldenCase(kleinFolder, 'kv_cache', 'transformer_extract', (file) => ({
  inputs: {
    ...cachedInputs(file, 0),
    reference_hidden_states: goldenTensor(file, 'in.ref'),
    ref_ids: goldenIds(file, 'in.ref_ids'),
  },
  expected: [{ result: 'sample', want: goldenTensor(file, 'out.extract') }, ...referenceCache(file)],
}));

const cachedCase = goldenCase(kleinFolder, 'kv_cache', 'transformer_cached', (file) => ({
  inputs: {
    ...cachedInputs(file, 1),
    ...Object.fromEntries(referenceCache(file).map(({ result, want }) => [result, want])),
  },
  expected: [{ result: 'sample', want: goldenTensor(file, 'out.cached') }],
}));

function encodeCase(name: string): GoldenCase {
  return goldenCase('vae-tiny', name, 'vae_encoder', (file) => ({
    inputs: { image: goldenTensor(file, 'in.image') },
    expected: ['mode', 'normalized'].map((result) => ({ result, want: goldenTensor(file, `out.${result}`) })),
  }));
}

function decodeCase(name: string): GoldenCase {
  return goldenCase('vae-tiny', name, 'vae_decoder', (file) => ({
    inputs: { latents: goldenTensor(file, 'in.latents') },
    expected: [{ result: 'image', want: goldenTensor(file, 'out.image') }],
  }));
}

function textCase(folder: string, name: string): GoldenCase {
  return goldenCase(folder, name, 'text_encoder', (file) => ({
    inputs: {
      input_ids: goldenTensor(file, 'in.input_ids'),
      attention_mask: goldenTensor(file, 'in.attention_mask'),
    },
    expected: [{ result: 'prompt_embeds', want: goldenTensor(file, 'out.prompt_embeds') }],
  }));
}

const addOneTransformer: AddFunctions = (module, config, path, dtypes) =>
  addTransformer(module, parseTransformerConfig(config, path), dtypes);

const addCachingTransformer: AddFunctions = (module, config, path, dtypes) => {
  const parsed = parseTransformerConfig(config, path);
  addTransformer(module, parsed, dtypes);
  addTransformerExtract(module, parsed, dtypes);
  addTransformerCached(module, parsed, dtypes);
};

const addAutoencoder: AddFunctions = (module, config, path, dtypes) => {
  const parsed = parseAutoencoderConfig(config, path);
  addVaeEncoder(module, parsed, dtypes);
  addVaeDecoder(module, parsed, dtypes);
};

/** `layers` as in the golden files' metadata. */
const addPromptEncoder: AddFunctions = (module, config, path, dtypes) =>
  addTextEncoder(module, parseTextEncoderConfig(config, path), { layers: [1, 3, 5] }, dtypes);

export const transformerTiny = network(
  'transformer',
  'transformer-tiny',
  'diffusion_pytorch_model.safetensors',
  ['b1_3x4_t5_small', 'b1_6x4_2refs_t10', 'b1_7x5_t9', 'b1_8x6_t16', 'b2_4x4_t12'].map((name) =>
    transformerCase('transformer-tiny', name),
  ),
  addOneTransformer,
);

export const autoencoderTiny = network(
  'vae',
  'vae-tiny',
  'diffusion_pytorch_model.safetensors',
  [
    ...['encode_b1_64x64', 'encode_b2_48x80'].map(encodeCase),
    ...['decode_b1_64x64', 'decode_b2_48x80'].map(decodeCase),
  ],
  addAutoencoder,
);

/** Every public case of the transformers, autoencoders and text encoders, in both file layouts. */
export const goldenNetworks: readonly GoldenNetwork[] = [
  transformerTiny,
  network(
    'transformer',
    'transformer-tiny',
    'bfl-tiny.safetensors',
    [transformerCase('transformer-tiny', 'b1_3x4_t5_small')],
    addOneTransformer,
  ),
  network(
    'transformer',
    kleinFolder,
    undefined,
    [...['b1_5x6_t13', 'b2_4x3_1ref_t8'].map((name) => transformerCase(kleinFolder, name)), extractCase, cachedCase],
    addCachingTransformer,
  ),
  autoencoderTiny,
  network('vae', 'vae-tiny', 'bfl-ae-tiny.safetensors', [decodeCase('decode_b2_48x80')], addAutoencoder),
  network(
    'text_encoder',
    'text-encoder-tiny',
    undefined,
    ['b1_no_pad', 'b2_left_pad', 'b2_right_pad'].map((name) => textCase('text-encoder-tiny', name)),
    addPromptEncoder,
  ),
  network(
    'text_encoder',
    'text-encoder-qwen3-tiny',
    undefined,
    ['b1_no_pad', 'b2_right_pad'].map((name) => textCase('text-encoder-qwen3-tiny', name)),
    addPromptEncoder,
  ),
];

/**
 * One case of each kind of function of these networks' folders, with the tolerance given, of the whole result: for linear layers
 * in 8 bits, where what a single element is off by says nothing.
 */
export function oneCaseOfEachFunction(relativeL2s: Readonly<Record<string, number>>): readonly GoldenNetwork[] {
  return Object.entries(relativeL2s).flatMap(([folder, relativeL2]) =>
    goldenNetworks
      .filter(({ name }) => name.split('/')[0] === folder)
      .map((network) => {
        const kinds = new Set(network.cases.map((golden) => golden.function));
        const chosen = [...kinds].map((kind) => network.cases.find((golden) => golden.function === kind)!);
        return { ...network, cases: chosen, tolerance: { maxAbs: Infinity, relativeL2 } };
      }),
  );
}

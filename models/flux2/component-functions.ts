/** The functions of a model as graph modules, from the configurations alone. */
import { createModule } from '../../frontend/index.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import type { Module } from '../../ir/graph/graph.js';
import { addVaeDecoder, addVaeEncoder } from './autoencoder.js';
import { addDenoise, addDenoiseCached } from './denoise.js';
import type { Flux2Description, NetworkName } from './networks.js';
import type { PipelineConfig } from './pipeline-config.js';
import { addTextEncoder } from './text-encoder.js';
import { addTransformer } from './transformer.js';
import type { Component, WeightDTypes } from './weights.js';

/** The network whose weights a function uses. */
export const componentOf: Readonly<Record<NetworkName, Component>> = {
  text_encoder: 'text_encoder',
  vae_encoder: 'vae',
  vae_decoder: 'vae',
  transformer: 'transformer',
  denoise: 'transformer',
  denoise_cfg: 'transformer',
  denoise_cached: 'transformer',
};

/**
 * The module of one function. `layers` are the hidden states that the text encoder joins, by default the pipeline's.
 * F2C618 when the description has no such network or no pipeline that says what to join, F2C652 for hidden states that the
 * text encoder does not have.
 */
export function buildFunction(
  description: Flux2Description,
  name: NetworkName,
  dtypes: WeightDTypes,
  layers?: readonly number[],
): Module {
  const module = createModule();
  const { transformer, autoencoder, textEncoder } = description;
  switch (name) {
    case 'text_encoder': {
      const config = require(textEncoder, description, name);
      addTextEncoder(module, config, { layers: layers ?? requirePipeline(description).textEncoderOutLayers }, dtypes);
      break;
    }
    case 'vae_encoder':
      addVaeEncoder(module, require(autoencoder, description, name), dtypes);
      break;
    case 'vae_decoder':
      addVaeDecoder(module, require(autoencoder, description, name), dtypes);
      break;
    case 'transformer':
      addTransformer(module, require(transformer, description, name), dtypes);
      break;
    case 'denoise':
    case 'denoise_cfg': {
      const config = require(transformer, description, name);
      const options = { guidance: config.guidanceEmbeds, cfg: name === 'denoise_cfg', references: true };
      addDenoise(module, config, options, dtypes);
      break;
    }
    case 'denoise_cached':
      addDenoiseCached(module, require(transformer, description, name), dtypes);
      break;
  }
  return module.build();
}

/** The functions that the description's networks can have, in a fixed order. */
export function availableFunctions({
  transformer,
  autoencoder,
  textEncoder,
  pipeline,
}: Flux2Description): readonly NetworkName[] {
  return [
    ...(textEncoder ? (['text_encoder'] as const) : []),
    ...(autoencoder ? (['vae_encoder', 'vae_decoder'] as const) : []),
    ...(transformer ? (['transformer', 'denoise', 'denoise_cfg'] as const) : []),
    ...(transformer && pipeline?.cachedReferences === true ? (['denoise_cached'] as const) : []),
  ];
}

function require<T>(part: T | undefined, { name }: Flux2Description, what: string): T {
  if (part !== undefined) return part;
  throw new Flux2cError('F2C618', `the model has no ${what}`, {
    where: [name],
    hint: 'Components that are missing are given with --vae and --text-encoder.',
  });
}

/** A text encoder alone does not say what a transformer is given of it. */
function requirePipeline({ name, pipeline, textEncoder }: Flux2Description): PipelineConfig {
  if (pipeline !== undefined) return pipeline;
  throw new Flux2cError('F2C618', 'the text encoder stands alone: nothing says which of its hidden states to join', {
    where: [name],
    expected: `--layers with numbers from 0 to ${(textEncoder?.layers ?? 1) - 1}`,
    found: 'neither --layers nor a pipeline that it belongs to',
    hint: 'Give them, as in --layers 1,3,5, or name the whole model.',
  });
}

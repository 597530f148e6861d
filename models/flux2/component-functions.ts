/** The functions of a model as graph modules, from the configurations alone. */
import { createModule } from '../../frontend/index.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import type { Module } from '../../ir/graph/graph.js';
import { addVaeDecoder, addVaeEncoder } from './autoencoder.js';
import { addDenoise, addDenoiseCached } from './denoise.js';
import type { Flux2Description, NetworkName } from './networks.js';
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
 * F2C618 when the description has no such network, F2C652 for hidden states that the text encoder does not have.
 */
export function buildFunction(
  description: Flux2Description,
  name: NetworkName,
  dtypes: WeightDTypes,
  layers?: readonly number[],
): Module {
  const module = createModule();
  const { transformer, autoencoder, textEncoder, pipeline } = description;
  switch (name) {
    case 'text_encoder':
      addTextEncoder(
        module,
        require(textEncoder, description, name),
        {
          layers: require(layers ?? pipeline?.textEncoderOutLayers, description, 'list of hidden states to join'),
        },
        dtypes,
      );
      break;
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

/** The functions that the description's networks can have, in a fixed order; `layers` are the text encoder's, if given. */
export function availableFunctions(
  { transformer, autoencoder, textEncoder, pipeline }: Flux2Description,
  layers?: readonly number[],
): readonly NetworkName[] {
  return [
    ...(textEncoder && (layers ?? pipeline) ? (['text_encoder'] as const) : []),
    ...(autoencoder ? (['vae_encoder', 'vae_decoder'] as const) : []),
    ...(transformer ? (['transformer', 'denoise', 'denoise_cfg'] as const) : []),
    ...(transformer && pipeline?.cachedReferences === true ? (['denoise_cached'] as const) : []),
  ];
}

function require<T>(part: T | undefined, { name }: Flux2Description, what: string): T {
  if (part !== undefined) return part;
  throw new Flux2cError('F2C618', `the model has no ${what}`, {
    where: [name],
    hint: 'Hidden states are chosen with --layers; components that are missing with --vae and --text-encoder.',
  });
}

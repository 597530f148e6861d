/** What a picture needs of a model. */
import { Flux2cError } from '../../ir/diagnostics.js';
import { denoiseFunction } from './denoise-inputs.js';
import type { GenerateConfigs, GenerateRequest, ResolvedRequest } from './generate-request.js';
import type { Flux2Model, NetworkName } from './networks.js';

/** The functions that a request goes through, in order. */
export function functionsOf(
  { promptEmbeds, negativePromptEmbeds, references = [] }: GenerateRequest,
  { guidance }: ResolvedRequest,
  cachedReferences: boolean,
): readonly NetworkName[] {
  const isGuided = guidance.cfgScale !== undefined;
  const encodes = promptEmbeds === undefined || (isGuided && negativePromptEmbeds === undefined);
  return [
    ...(encodes ? (['text_encoder'] as const) : []),
    ...(references.length > 0 ? (['vae_encoder'] as const) : []),
    denoiseFunction(isGuided, references.length > 0, cachedReferences),
    'vae_decoder',
  ];
}

/** The descriptions that no picture can be made without. F2C618 where one is missing. */
export function requireConfigs({ description, maxTensorBytes }: Flux2Model): GenerateConfigs {
  const { transformer, autoencoder, pipeline, name } = description;
  if (transformer !== undefined && autoencoder !== undefined && pipeline !== undefined) {
    return { transformer, autoencoder, pipeline, maxTensorBytes };
  }
  const missing = [transformer ?? 'transformer', autoencoder ?? 'vae', pipeline ?? 'model_index.json'];
  throw new Flux2cError('F2C618', 'the model is not complete', {
    where: [name],
    expected: 'transformer, vae and model_index.json (or the shapes of a released model)',
    found: `no ${missing.filter((part) => typeof part === 'string').join(', no ')}`,
    hint: 'Components that a model does not bring are given with --vae, --text-encoder and --tokenizer.',
  });
}

/**
 * FLUX.2 for programs, in Node.js and in browsers:
 *
 *     const model = new CompiledFlux2Model(await loadModel(files), device);
 *     const pipeline = new Flux2Pipeline(model);
 *     const { pictures } = await pipeline.generate({ prompt: 'a red circle', seeds: [1n] });
 *
 * `files` say where the model is: a `ModelFiles` of one's own, or in Node.js `openPipeline` of `flux2c/flux2/node`
 * does all of it for a path.
 */
export { type EncodedReference, Flux2Pipeline, type PipelineOptions } from './pipeline.js';
export type { Generated, GeneratedPicture, GenerateObserver } from './generate-observer.js';
export type { GenerateRequest, ResolvedRequest } from './generate-request.js';
export type { GivenTensor } from './initial-noise.js';
export type { Progress, ReportProgress, Stage } from './progress.js';
export type { RgbImage } from './picture.js';
export { CompiledFlux2Model, type CompiledModelOptions } from './compiled-model.js';
export { closeModel, type LoadedModel, loadModel, type LoadOptions } from './load-model.js';
export type { MemoryBudget } from './memory-shares.js';
export type { QuantizeOptions } from './quantized-tensors.js';
export type { ComponentFiles, ComponentName, ModelFiles } from './model-files.js';
export type { Flux2Description, Flux2Model, Network, NetworkInput, NetworkName, NetworkTensor } from './networks.js';
export type { AutoencoderConfig, TextEncoderConfig, TransformerConfig } from './config.js';
export { type Variant, type VariantName, variants } from './variants.js';
export { addTransformer } from './transformer.js';
export { applyDoubleBlock, applySingleBlock, type BlockContext } from './transformer-blocks.js';
export { addTextEncoder } from './text-encoder.js';
export { addVaeDecoder, addVaeEncoder } from './autoencoder.js';
export { addDenoise, addDenoiseCached } from './denoise.js';
export { ComponentWeights, type StoredFloat, type WeightDTypes } from './weights.js';

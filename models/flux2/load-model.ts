/** From a model's files to configurations and tables of weights that have been checked against each other. */
import {
  canonicalizeAutoencoder,
  canonicalizeTextEncoder,
  canonicalizeTransformer,
  type Checkpoint,
  checkStrict,
  ignorableAutoencoderTensors,
  ignorableTextEncoderTensors,
  type WeightTable,
} from '../../frontend/checkpoint/index.js';
import { createModule } from '../../frontend/index.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import { isFloat } from '../../ir/dtype.js';
import type { Module } from '../../ir/graph/graph.js';
import type { EncodingOf } from '../../passes/compile.js';
import { addVaeDecoder, addVaeEncoder, unusedAutoencoderWeights } from './autoencoder.js';
import type { AutoencoderConfig, TextEncoderConfig, TransformerConfig } from './config.js';
import { readAutoencoderConfig, readTextEncoderConfig, readTransformerConfig } from './component-config.js';
import { collectExpectedWeights } from './expected-weights.js';
import type { ComponentFiles, ComponentName, ModelFiles } from './model-files.js';
import {
  checkPipelineParts,
  parsePipelineConfig,
  type PipelineConfig,
  pipelineConfigOf,
  withCachedReferences,
} from './pipeline-config.js';
import { addTextEncoder, unusedTextEncoderWeights } from './text-encoder.js';
import { addTransformer } from './transformer.js';
import { findVariant } from './variants.js';
import type { Component, WeightDTypes } from './weights.js';

/** A network's files, opened and checked. */
export interface LoadedComponent<Config> {
  readonly config: Config;
  readonly checkpoint: Checkpoint;
  /** The weights under diffusers' names. */
  readonly table: WeightTable;
  /** How a weight is stored, if in fewer bits than its numbers (`ir/encoding.ts`), by its name in the table. */
  readonly encodingOf: EncodingOf;
}

/** The networks of a model that its files hold; what a command needs of the others is an error there. */
export interface LoadedModel {
  readonly name: string;
  readonly files: ModelFiles;
  readonly transformer: LoadedComponent<TransformerConfig> | undefined;
  readonly vae: LoadedComponent<AutoencoderConfig> | undefined;
  readonly text_encoder: LoadedComponent<TextEncoderConfig> | undefined;
  /** Undefined when neither a `model_index.json` nor the transformer's shapes say what the pipeline is. */
  readonly pipeline: PipelineConfig | undefined;
}

export interface LoadOptions {
  /** Whether the model is distilled, where no `model_index.json` says it. */
  readonly distilled?: boolean;
  /** Whether reference pictures are run once, where no `model_index.json` says it: klein 9b-kv has the shapes of klein 9B. */
  readonly cachedReferences?: boolean;
  /** Hidden states of the text encoder to join, instead of the pipeline's. */
  readonly textEncoderLayers?: readonly number[];
}

/**
 * Opens every network that is there and checks that each has exactly the weights its configuration asks for, and that
 * they fit each other. Errors: F2C4xx of the files, F2C431 weights missing, left over or misshapen, F2C610 to F2C614
 * configurations. Close the result with `closeModel`.
 */
export async function loadModel(files: ModelFiles, options: LoadOptions = {}): Promise<LoadedModel> {
  const opened: Checkpoint[] = [];
  const open = async <Config>(
    name: Exclude<ComponentName, 'tokenizer'>,
    canonicalize: (checkpoint: Checkpoint) => WeightTable,
    readConfig: (component: ComponentFiles, table: WeightTable, checkpoint: Checkpoint) => Promise<Config>,
  ): Promise<LoadedComponent<Config> | undefined> => {
    const component = files.components[name];
    if (component === undefined) return undefined;
    const checkpoint = await component.openCheckpoint();
    opened.push(checkpoint);
    const table = canonicalize(checkpoint);
    const config = await readConfig(component, table, checkpoint);
    return { config, checkpoint, table, encodingOf: (tensor) => table.get(tensor)?.encoding?.text };
  };
  try {
    const transformer = await open('transformer', canonicalizeTransformer, readTransformerConfig);
    const vae = await open('vae', canonicalizeAutoencoder, readAutoencoderConfig);
    const textEncoder = await open('text_encoder', canonicalizeTextEncoder, readTextEncoderConfig);
    const pipeline = choosePipeline(files, transformer?.config, options);
    if (transformer !== undefined) checkTransformer(transformer);
    if (vae !== undefined) checkAutoencoder(vae);
    if (textEncoder !== undefined) {
      checkTextEncoder(textEncoder, options.textEncoderLayers ?? pipeline?.textEncoderOutLayers);
    }
    if (transformer !== undefined && pipeline !== undefined) {
      checkPipelineParts({
        transformer: transformer.config,
        autoencoder: vae?.config,
        textEncoder: textEncoder?.config,
        pipeline,
      });
    }
    return { name: files.name, files, transformer, vae, text_encoder: textEncoder, pipeline };
  } catch (error) {
    await Promise.all(opened.map((checkpoint) => checkpoint.close()));
    throw error;
  }
}

export async function closeModel(model: LoadedModel): Promise<void> {
  const loaded = [model.transformer, model.vae, model.text_encoder];
  await Promise.all(loaded.map((component) => component?.checkpoint.close()));
}

/** The element types that a module's weights have in these files, by `component.tensor`. F2C414 for types without arithmetic. */
export function storedTypes(component: Component, { table, checkpoint }: LoadedComponent<unknown>): WeightDTypes {
  return (name) => {
    const slice = table.get(name.slice(component.length + 1));
    if (slice === undefined) throw missingWeight(checkpoint, name);
    if (slice.dtype !== undefined && isFloat(slice.dtype)) return slice.dtype;
    throw new Flux2cError('F2C414', `weights of type ${slice.fileDType} are not supported`, {
      where: [checkpoint.name, slice.name],
      expected: 'F32, F16 or BF16, or codes with their scales beside them',
      found: slice.fileDType,
      hint: 'Take the checkpoint of full precision.',
    });
  };
}

function missingWeight(checkpoint: Checkpoint, name: string): Flux2cError {
  return new Flux2cError('F2C403', 'the checkpoint has no such tensor', { where: [checkpoint.name, name] });
}

function choosePipeline(
  files: ModelFiles,
  transformer: TransformerConfig | undefined,
  options: LoadOptions,
): PipelineConfig | undefined {
  const pipeline = files.index
    ? parsePipelineConfig(files.index.text, files.index.file)
    : pipelineOfShapes(transformer, options);
  return pipeline && options.cachedReferences === true ? withCachedReferences(pipeline) : pipeline;
}

function pipelineOfShapes(
  transformer: TransformerConfig | undefined,
  { distilled }: LoadOptions,
): PipelineConfig | undefined {
  const variant = transformer && findVariant(transformer);
  return variant && pipelineConfigOf(variant, distilled);
}

/** Shapes only: which type a weight is stored in makes no difference to what must be there. */
const anyType: WeightDTypes = () => 'f32';

function checkTransformer({ config, table }: LoadedComponent<TransformerConfig>): void {
  const module = createModule();
  addTransformer(module, config, anyType);
  checkComponent(module.build(), 'transformer', table, []);
}

function checkAutoencoder({ config, table }: LoadedComponent<AutoencoderConfig>): void {
  const module = createModule();
  addVaeEncoder(module, config, anyType);
  addVaeDecoder(module, config, anyType);
  checkComponent(module.build(), 'vae', table, [...unusedAutoencoderWeights, ...ignorableAutoencoderTensors]);
}

function checkTextEncoder(
  { config, table }: LoadedComponent<TextEncoderConfig>,
  layers: readonly number[] = [config.layers - 1],
): void {
  const module = createModule();
  addTextEncoder(module, config, { layers }, anyType);
  const ignorable = [...unusedTextEncoderWeights(config, layers), ...ignorableTextEncoderTensors];
  checkComponent(module.build(), 'text_encoder', table, ignorable);
}

function checkComponent(module: Module, component: Component, table: WeightTable, ignorable: readonly RegExp[]): void {
  checkStrict(table, collectExpectedWeights(module, component), ignorable);
}

/** How the networks are put together: `model_index.json`, with the extra keys of small checkpoints. */
import { Flux2cError } from '../../ir/diagnostics.js';
import { ConfigReader } from './config-reader.js';
import { LONGEST_PROMPT, pixelsPerToken } from './config.js';
import type { AutoencoderConfig, TextEncoderConfig, TextEncoderFamily, TransformerConfig } from './config.js';
import { SYSTEM_MESSAGE } from './system-message.js';
import { samplingDefaults, type GuidanceKind, type SamplingDefaults, type Variant } from './variants.js';

export interface PipelineConfig {
  readonly textEncoderFamily: TextEncoderFamily;
  /** Indices into the text encoder's hidden states (0 is the embedding), joined per token. */
  readonly textEncoderOutLayers: readonly number[];
  /** Prompts are padded and truncated to this many tokens. */
  readonly maxSequenceLength: number;
  /** The system turn before the prompt, or null for none. */
  readonly systemMessage: string | null;
  /** Distilled in its steps: few steps, and no guidance. */
  readonly distilled: boolean;
  /** Reference pictures are run once, before the steps (klein 9b-kv). */
  readonly cachedReferences: boolean;
  readonly sampling: SamplingDefaults;
}

interface Family {
  readonly textEncoderFamily: TextEncoderFamily;
  readonly outLayers: readonly number[];
  readonly systemMessage: string | null;
}

const devFamily: Family = { textEncoderFamily: 'mistral', outLayers: [10, 20, 30], systemMessage: SYSTEM_MESSAGE };
const kleinFamily: Family = { textEncoderFamily: 'qwen3', outLayers: [9, 18, 27], systemMessage: null };

/**
 * Parses `text`, the content of `file` (`model_index.json`). Keys beyond diffusers' own: `text_encoder_out_layers`,
 * `max_sequence_length`, `system_message` (null for none), `default_height`, `default_width`,
 * `default_num_inference_steps`, `default_guidance_scale`, `default_cfg_scale`. Errors F2C610 to F2C613.
 */
export function parsePipelineConfig(text: string, file: string): PipelineConfig {
  const index = ConfigReader.parse(text, file);
  const className = index.string('_class_name');
  if (!className.startsWith('Flux2')) throw index.unsupported('_class_name', 'a FLUX.2 pipeline ("Flux2Pipeline", …)');
  const klein = className.startsWith('Flux2Klein');
  const family = klein ? kleinFamily : devFamily;
  // The cached-reference pipeline exists for distilled checkpoints only and has no such key.
  const cachedReferences = className === 'Flux2KleinKVPipeline';
  const distilled = index.boolean('is_distilled', cachedReferences);
  const defaults = samplingDefaults(guidanceOf(klein, distilled));
  const maxSequenceLength = index.positiveInteger('max_sequence_length', 512);
  if (maxSequenceLength > LONGEST_PROMPT) throw index.wrong('max_sequence_length', `at most ${LONGEST_PROMPT}`);
  return {
    textEncoderFamily: family.textEncoderFamily,
    textEncoderOutLayers: index.positiveIntegers('text_encoder_out_layers', family.outLayers),
    maxSequenceLength,
    systemMessage: readSystemMessage(index, family),
    distilled,
    cachedReferences,
    sampling: {
      ...defaults,
      height: index.positiveInteger('default_height', defaults.height),
      width: index.positiveInteger('default_width', defaults.width),
      steps: index.positiveInteger('default_num_inference_steps', defaults.steps),
      guidanceScale: index.positiveNumber('default_guidance_scale', defaults.guidanceScale),
      cfgScale: index.positiveNumber('default_cfg_scale', defaults.cfgScale),
    },
  };
}

/** The pipeline of a released variant whose checkpoint has no `model_index.json`; klein is distilled unless it is said not to be. */
export function pipelineConfigOf(variant: Variant, distilled = !variant.transformer.guidanceEmbeds): PipelineConfig {
  const klein = variant.textEncoder.family === 'qwen3';
  return {
    textEncoderFamily: variant.textEncoder.family,
    textEncoderOutLayers: variant.textEncoderOutLayers,
    maxSequenceLength: variant.maxSequenceLength,
    systemMessage: (klein ? kleinFamily : devFamily).systemMessage,
    distilled,
    cachedReferences: false,
    sampling: samplingDefaults(guidanceOf(klein, distilled)),
  };
}

/** The pipeline of a 9b-kv checkpoint that nothing else tells from klein 9B. F2C614 unless it is a distilled klein's. */
export function withCachedReferences(pipeline: PipelineConfig): PipelineConfig {
  const { textEncoderFamily, distilled } = pipeline;
  if (textEncoderFamily === 'qwen3' && distilled) return { ...pipeline, cachedReferences: true };
  throw new Flux2cError('F2C614', 'the model does not run reference pictures once before the steps', {
    expected: 'a distilled klein model, as klein 9b-kv is',
    found: textEncoderFamily === 'qwen3' ? 'a klein model that is not distilled' : 'a model that is no klein',
    hint: 'Leave out --cached-references.',
  });
}

/** The parts' configurations, as they have to fit each other; a part that is undefined is not there. */
export interface PipelineParts {
  readonly transformer: TransformerConfig;
  readonly textEncoder: TextEncoderConfig | undefined;
  readonly autoencoder: AutoencoderConfig | undefined;
  readonly pipeline: PipelineConfig;
}

/** F2C614 unless the parts fit: family, layers and widths of the prompt embedding, latent channels, picture size. */
export function checkPipelineParts({ transformer, textEncoder, autoencoder, pipeline }: PipelineParts): void {
  if (textEncoder !== undefined) checkTextWidth(transformer, textEncoder, pipeline);
  if (autoencoder === undefined) return;
  const { latentChannels, patchSize } = autoencoder;
  const tokenChannels = latentChannels * patchSize ** 2;
  if (tokenChannels !== transformer.inChannels || tokenChannels !== transformer.outChannels) {
    throw misfit(
      'the latent tokens do not fit the transformer',
      `${transformer.inChannels} channels in, ${transformer.outChannels} out`,
      `${latentChannels} x ${patchSize}^2 = ${tokenChannels}`,
    );
  }
  const multiple = pixelsPerToken(autoencoder);
  const { height, width } = pipeline.sampling;
  if (height % multiple !== 0 || width % multiple !== 0) {
    const expected = `multiples of ${multiple}`;
    throw misfit('the default size is not a whole number of tokens', expected, `${width}x${height}`);
  }
}

function checkTextWidth(transformer: TransformerConfig, encoder: TextEncoderConfig, pipeline: PipelineConfig): void {
  const layers = pipeline.textEncoderOutLayers;
  if (encoder.family !== pipeline.textEncoderFamily) {
    const message = 'the text encoder is of another family than the pipeline';
    throw misfit(message, pipeline.textEncoderFamily, encoder.family);
  }
  if (layers.some((layer) => layer > encoder.layers)) {
    const message = 'the pipeline reads hidden states that the text encoder does not have';
    throw misfit(message, `layers up to ${encoder.layers}`, layers.join(', '));
  }
  const textWidth = layers.length * encoder.hidden;
  if (textWidth !== transformer.textWidth) {
    throw misfit(
      'the prompt embedding does not fit the transformer',
      `width ${transformer.textWidth} (joint_attention_dim)`,
      `${layers.length} x ${encoder.hidden} = ${textWidth}`,
    );
  }
}

function guidanceOf(klein: boolean, distilled: boolean): GuidanceKind {
  if (!klein) return 'embedded';
  return distilled ? 'none' : 'classifier-free';
}

function readSystemMessage(index: ConfigReader, family: Family): string | null {
  if (!index.mentions('system_message')) return family.systemMessage;
  return index.has('system_message') ? index.string('system_message') : null;
}

function misfit(message: string, expected: string, found: string): Flux2cError {
  return new Flux2cError('F2C614', message, { expected, found, hint: 'Take all parts from one checkpoint.' });
}

/** The text encoder's configuration as GGUF files have it: properties of the language model (`docs/gguf.md` of ggml). */
import type { Checkpoint, WeightTable } from '../../frontend/checkpoint/index.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import { LONGEST_PROMPT, type TextEncoderConfig, type TextEncoderFamily } from './config.js';

const families: ReadonlyMap<unknown, TextEncoderFamily> = new Map<unknown, TextEncoderFamily>([
  ['llama', 'mistral'],
  ['mistral', 'mistral'],
  ['mistral3', 'mistral'],
  ['qwen3', 'qwen3'],
]);

/**
 * Undefined for other files than a language model's in GGUF.
 * @throws Flux2cError F2C611, F2C612 for properties that are missing or no positive numbers, F2C613 for an attention window
 */
export function textEncoderConfigOfGguf(
  { name, properties }: Checkpoint,
  table: WeightTable,
): TextEncoderConfig | undefined {
  const architecture = properties?.get('general.architecture');
  const family = families.get(architecture);
  if (properties === undefined || family === undefined) return undefined;
  const positive = (key: string, fallback?: number): number => {
    const full = `${String(architecture)}.${key}`;
    const value = properties.get(full) ?? fallback;
    if (typeof value === 'number' && value > 0 && Number.isFinite(value)) return value;
    throw new Flux2cError(value === undefined ? 'F2C611' : 'F2C612', 'a property of the language model is not usable', {
      where: [name, full],
      expected: 'a positive number',
      found: value === undefined ? 'none' : String(value),
    });
  };
  const window = positive('attention.sliding_window', LONGEST_PROMPT);
  if (window < LONGEST_PROMPT) {
    throw new Flux2cError('F2C613', 'the language model sees a part of the prompt only', {
      where: [name, `${String(architecture)}.attention.sliding_window`],
      expected: `none, or at least ${LONGEST_PROMPT}`,
      found: String(window),
    });
  }
  const hidden = positive('embedding_length');
  const heads = positive('attention.head_count');
  return {
    family,
    vocabularySize: table.get('model.embed_tokens.weight')?.shape[0] ?? 0,
    hidden,
    layers: positive('block_count'),
    heads,
    keyValueHeads: positive('attention.head_count_kv', heads),
    headDim: positive('attention.key_length', hidden / heads),
    intermediate: positive('feed_forward_length'),
    ropeTheta: positive('rope.freq_base', 10000),
    rmsNormEps: roundEpsilon(positive('attention.layer_norm_rms_epsilon')),
    queryKeyNorm: family === 'qwen3',
    tiedEmbeddings: !table.has('lm_head.weight'),
  };
}

/** Files hold f32: what was written as 1e-6 is meant to be that. */
function roundEpsilon(value: number): number {
  return Number(value.toPrecision(6));
}

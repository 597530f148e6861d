import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Flux2cError } from '../../ir/diagnostics.js';
import { parseAutoencoderConfig, parseTextEncoderConfig, parseTransformerConfig, pixelsPerToken } from './config.js';
import { checkPipelineParts, parsePipelineConfig, pipelineConfigOf } from './pipeline-config.js';
import { SYSTEM_MESSAGE } from './system-message.js';
import { findVariant, variants } from './variants.js';

const checkpoint = 'models/flux2/checkpoint';
const read = (path: string): string => readFileSync(path, 'utf8');
const change = (path: string, fields: object): string =>
  JSON.stringify({ ...(JSON.parse(read(path)) as object), ...fields });

function errorOf(action: () => unknown): Flux2cError {
  try {
    action();
  } catch (error) {
    if (error instanceof Flux2cError) return error;
    throw error;
  }
  throw new Error('no error');
}

describe('the embedded checkpoint', () => {
  const transformer = parseTransformerConfig(read(`${checkpoint}/transformer/config.json`), 'config.json');
  const textEncoder = parseTextEncoderConfig(read(`${checkpoint}/text_encoder/config.json`), 'config.json');
  const autoencoder = parseAutoencoderConfig(read(`${checkpoint}/vae/config.json`), 'config.json');
  const pipeline = parsePipelineConfig(read(`${checkpoint}/model_index.json`), 'model_index.json');

  it('is read whole', () => {
    expect(transformer).toEqual({
      inChannels: 128,
      outChannels: 128,
      hidden: 192,
      heads: 4,
      headDim: 48,
      doubleBlocks: 2,
      singleBlocks: 6,
      textWidth: 288,
      mlpHidden: 576,
      ropeAxes: [12, 12, 12, 12],
      ropeTheta: 2000,
      timestepChannels: 256,
      eps: 1e-6,
      guidanceEmbeds: true,
    });
    expect(textEncoder).toEqual({
      family: 'mistral',
      vocabularySize: 537,
      hidden: 96,
      layers: 7,
      heads: 4,
      keyValueHeads: 2,
      headDim: 32,
      intermediate: 256,
      ropeTheta: 10000,
      rmsNormEps: 1e-5,
      queryKeyNorm: false,
      tiedEmbeddings: true,
    });
    expect(autoencoder).toMatchObject({ encoderChannels: [16, 32, 48, 48], layersPerBlock: 1, normGroups: 4 });
    expect(pixelsPerToken(autoencoder)).toBe(16);
    expect(pipeline).toEqual({
      textEncoderFamily: 'mistral',
      textEncoderOutLayers: [2, 4, 6],
      maxSequenceLength: 32,
      systemMessage: null,
      distilled: false,
      cachedReferences: false,
      sampling: {
        height: 128,
        width: 128,
        steps: 20,
        guidanceScale: 4,
        guidance: 'embedded',
        cfgScale: 2.5,
        negativePrompt: '',
      },
    });
  });

  it('has parts that fit each other', () => {
    expect(() => checkPipelineParts({ transformer, textEncoder, autoencoder, pipeline })).not.toThrow();
    const other = { ...textEncoder, hidden: 128 };
    const error = errorOf(() => checkPipelineParts({ transformer, textEncoder: other, autoencoder, pipeline }));
    expect(error.code).toBe('F2C614');
    expect(error.detail.found).toBe('3 x 128 = 384');
    const tooDeep = { ...pipeline, textEncoderOutLayers: [2, 4, 8] };
    expect(
      errorOf(() => checkPipelineParts({ transformer, textEncoder, autoencoder, pipeline: tooDeep })).message,
    ).toMatch(/hidden states/);
  });
});

describe('text encoder configurations', () => {
  it('are read nested (mistral3), plain and with query and key norms (qwen3)', () => {
    const mistral3 = parseTextEncoderConfig(read('test/golden/text-encoder-tiny/config.json'), 'config.json');
    expect(mistral3).toMatchObject({ family: 'mistral', layers: 6, ropeTheta: 1e9, queryKeyNorm: false });
    const qwen3 = parseTextEncoderConfig(read('test/golden/text-encoder-qwen3-tiny/config.json'), 'config.json');
    expect(qwen3).toMatchObject({ family: 'qwen3', layers: 6, ropeTheta: 1e6, queryKeyNorm: true, rmsNormEps: 1e-6 });
  });

  const path = 'test/golden/text-encoder-qwen3-tiny/config.json';

  it('may hold the rotary base in rope_parameters or rope_scaling', () => {
    for (const key of ['rope_parameters', 'rope_scaling']) {
      const text = change(path, { rope_theta: undefined, [key]: { rope_type: 'default', rope_theta: 5e5 } });
      expect(parseTextEncoderConfig(text, 'config.json').ropeTheta).toBe(5e5);
    }
    const text = change(path, { rope_scaling: null });
    expect(parseTextEncoderConfig(text, 'config.json').ropeTheta).toBe(1e6);
  });

  it('are refused when they ask for another rotary embedding, activation, window or family', () => {
    const refused: readonly (readonly [object, string])[] = [
      [{ rope_scaling: { rope_type: 'yarn', factor: 4 } }, 'config.json › rope_scaling › rope_type'],
      [{ hidden_act: 'gelu' }, 'config.json › hidden_act'],
      [{ sliding_window: 256 }, 'config.json › sliding_window'],
      [{ model_type: 'llama' }, 'config.json › model_type'],
      [{ attention_bias: true }, 'config.json › attention_bias'],
    ];
    for (const [fields, where] of refused) {
      const error = errorOf(() => parseTextEncoderConfig(change(path, fields), 'config.json'));
      expect(error.code).toBe('F2C613');
      expect(error.format()).toContain(where);
    }
  });

  it('ignore a window that is switched off or wider than any prompt', () => {
    for (const fields of [{ sliding_window: 256, use_sliding_window: false }, { sliding_window: 4096 }]) {
      expect(parseTextEncoderConfig(change(path, fields), 'config.json').layers).toBe(6);
    }
  });
});

describe('errors', () => {
  const path = 'test/golden/transformer-tiny/config.json';

  it('name the file and the key', () => {
    const missing = errorOf(() => parseTransformerConfig(change(path, { num_layers: undefined }), 'a/config.json'));
    expect(missing.code).toBe('F2C611');
    expect(missing.detail.where).toEqual(['a/config.json', 'num_layers']);
    const wrong = errorOf(() => parseTransformerConfig(change(path, { num_layers: 2.5 }), 'a/config.json'));
    expect(wrong.code).toBe('F2C612');
    expect(wrong.detail).toMatchObject({ expected: 'a positive integer', found: '2.5' });
    const axes = errorOf(() => parseTransformerConfig(change(path, { axes_dims_rope: [8, 8, 8] }), 'config.json'));
    expect(axes.detail.expected).toContain('add up to the head size 32');
    const className = errorOf(() => parseTransformerConfig(change(path, { _class_name: 'FluxX' }), 'config.json'));
    expect(className.code).toBe('F2C613');
  });

  it('say when a file is cut off or not an object', () => {
    expect(errorOf(() => parseTransformerConfig('{"a": ', 'config.json')).code).toBe('F2C610');
    expect(errorOf(() => parseTransformerConfig('[1]', 'config.json')).detail.found).toBe('[1]');
  });

  it('refuse levels and groups that do not fit', () => {
    const vae = 'test/golden/vae-tiny/config.json';
    expect(errorOf(() => parseAutoencoderConfig(change(vae, { norm_num_groups: 7 }), 'c')).detail.where).toEqual([
      'c',
      'norm_num_groups',
    ]);
    const small = change(vae, { decoder_block_out_channels: [8, 16, 24, 24] });
    expect(parseAutoencoderConfig(small, 'c').decoderChannels).toEqual([8, 16, 24, 24]);
    expect(errorOf(() => parseAutoencoderConfig(change(vae, { decoder_block_out_channels: [8] }), 'c')).code).toBe(
      'F2C612',
    );
  });
});

describe('variants', () => {
  it('have parts that fit each other', () => {
    for (const variant of Object.values(variants)) {
      const { transformer, textEncoder, autoencoder } = variant;
      expect(transformer.hidden).toBe(transformer.heads * transformer.headDim);
      expect(transformer.mlpHidden).toBe(transformer.hidden * 3);
      const pipeline = pipelineConfigOf(variant, true);
      expect(() => checkPipelineParts({ transformer, textEncoder, autoencoder, pipeline })).not.toThrow();
    }
  });

  it('are told by their shapes', () => {
    expect(findVariant(variants['klein-4b'].transformer)?.name).toBe('klein-4b');
    expect(findVariant({ ...variants.dev.transformer, singleBlocks: 47 })).toBeUndefined();
  });

  it('have the parameters that the releases state', () => {
    const billions = (name: 'dev' | 'klein-9b' | 'klein-4b'): number => {
      const t = variants[name].transformer;
      const modulation = t.hidden * t.hidden * (6 + 6 + 3);
      const embedders = t.hidden * (t.inChannels + t.textWidth + t.outChannels + 2 * t.hidden);
      const time = (t.timestepChannels * t.hidden + t.hidden ** 2) * (t.guidanceEmbeds ? 2 : 1);
      const double = 2 * (4 * t.hidden ** 2 + 3 * t.hidden * t.mlpHidden);
      const single = 4 * t.hidden ** 2 + 3 * t.hidden * t.mlpHidden;
      return (modulation + embedders + time + t.doubleBlocks * double + t.singleBlocks * single) / 1e9;
    };
    expect(billions('dev')).toBeCloseTo(32.2, 1);
    expect(billions('klein-9b')).toBeCloseTo(9.1, 1);
    expect(billions('klein-4b')).toBeCloseTo(3.9, 1);
  });
});

describe('pipelines', () => {
  const index = (fields: object): string => JSON.stringify(fields);

  it('take defaults by class and by distillation', () => {
    const dev = parsePipelineConfig(index({ _class_name: 'Flux2Pipeline' }), 'model_index.json');
    expect(dev).toMatchObject({ textEncoderOutLayers: [10, 20, 30], systemMessage: SYSTEM_MESSAGE });
    expect(dev.sampling).toMatchObject({ steps: 50, guidanceScale: 4, guidance: 'embedded', cfgScale: 1 });
    const base = parsePipelineConfig(index({ _class_name: 'Flux2KleinPipeline' }), 'model_index.json');
    expect(base).toMatchObject({ textEncoderOutLayers: [9, 18, 27], systemMessage: null, distilled: false });
    expect(base.sampling).toMatchObject({ steps: 50, guidance: 'classifier-free', negativePrompt: '' });
    const klein = parsePipelineConfig(index({ _class_name: 'Flux2KleinPipeline', is_distilled: true }), 'm');
    expect(klein.sampling).toMatchObject({ steps: 4, guidance: 'none', height: 1024 });
    expect(parsePipelineConfig(index({ _class_name: 'Flux2KleinKVPipeline' }), 'm').distilled).toBe(true);
  });

  it('of other models are refused', () => {
    expect(errorOf(() => parsePipelineConfig(index({ _class_name: 'FluxPipeline' }), 'm')).code).toBe('F2C613');
    expect(errorOf(() => parsePipelineConfig(index({}), 'm')).code).toBe('F2C611');
  });
});

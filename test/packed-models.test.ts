/** The embedded checkpoint as files of other programs hold it: it opens, and its pictures are nearly those of the original. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CompiledFlux2Model, type CompiledModelOptions } from '../models/flux2/compiled-model.js';
import { closeModel, loadModel } from '../models/flux2/load-model.js';
import { openModelFiles } from '../models/flux2/node/open-model.js';
import { Flux2Pipeline } from '../models/flux2/pipeline.js';
import { createCpuDevice } from '../runtime/cpu/node/cpu-device.js';
import { packFp8, type PackMatrix, packMatrices, packNf4 } from './packed-checkpoints.js';
import { inBlocks, PackedModels, tensorsOf } from './packed-models.js';
import { writeRawSafetensors } from './raw-files.js';

const folders = new PackedModels();
afterAll(() => folders.remove());
const ggufModel = (): string => folders.gguf();
const safetensorsModel = (pack: PackMatrix): string => folders.safetensors(pack);

describe('opening', () => {
  it('GGUF files without a configuration beside them', async () => {
    const [model, original] = [
      await loadModel(await openModelFiles(ggufModel())),
      await loadModel(await openModelFiles()),
    ];
    expect(model.transformer!.config).toEqual(original.transformer!.config);
    expect(model.text_encoder!.config).toEqual(original.text_encoder!.config);
    expect([...model.transformer!.table.keys()].sort()).toEqual([...original.transformer!.table.keys()].sort());
    const { encodingOf } = model.transformer!;
    expect(encodingOf('transformer_blocks.0.attn.to_k.weight')).toBe('q8_0');
    expect(encodingOf('norm_out.linear.weight')).toBe('q8_0');
    expect(encodingOf('x_embedder.weight')).toBeUndefined();
    await Promise.all([closeModel(model), closeModel(original)]);
  });

  it('refuses scales that belong to no weight', async () => {
    const tensors = new Map(packMatrices(tensorsOf('transformer'), packNf4, inBlocks));
    tensors.set('x_embedder.weight.absmax', { type: 'F32', shape: [1], bytes: new Uint8Array(4) });
    const folder = folders.assemble({ transformer: { 'model.safetensors': writeRawSafetensors(tensors) } });
    await expect(openModelFiles(folder).then((files) => loadModel(files))).rejects.toMatchObject({
      code: 'F2C431',
      detail: { found: expect.stringContaining('x_embedder.weight.absmax') as string },
    });
  });

  it('refuses a weight in 8-bit floats that has lost its scale', async () => {
    const tensors = new Map(packMatrices(tensorsOf('transformer'), packFp8('scale_weight'), inBlocks));
    tensors.delete('transformer_blocks.1.attn.to_v.scale_weight');
    const folder = folders.assemble({ transformer: { 'model.safetensors': writeRawSafetensors(tensors) } });
    await expect(openModelFiles(folder).then((files) => loadModel(files))).rejects.toMatchObject({
      code: 'F2C416',
      detail: { where: [expect.anything(), 'transformer_blocks.1.attn.to_v.weight'] },
    });
  });
});

it('gives plans the arrays of encoded matrices, of files as they are and of all others but those to be kept', async () => {
  const device = createCpuDevice();
  const listEncodings = async (
    folder: string | undefined,
    options: CompiledModelOptions,
  ): Promise<readonly string[]> => {
    const model = new CompiledFlux2Model(await loadModel(await openModelFiles(folder)), device, options);
    const { weights } = model.compile('transformer').plans.get('transformer')!;
    await model.close();
    return weights.flatMap(({ name, source }) =>
      source.kind === 'encoded_rows' && source.field === 'codes' ? [`${name.replace('transformer.', '')} ${source.encoding}`] : [],
    ); // prettier-ignore
  };
  const quantize = { encoding: 'int8', keep: ['single_transformer_blocks.3.*', 'transformer.transformer_blocks.*'] };
  const made = await listEncodings(undefined, { quantize });
  expect(made.filter((text) => text.startsWith('single_transformer_blocks.'))).toHaveLength(made.length);
  expect(made.some((text) => text.startsWith('single_transformer_blocks.2.'))).toBe(true);
  expect(made.some((text) => text.startsWith('single_transformer_blocks.3.'))).toBe(false);
  const stored = await listEncodings(ggufModel(), { quantize });
  expect(stored.length).toBeGreaterThan(made.length);
  expect(stored.every((text) => text.endsWith(' q8_0'))).toBe(true);
  await device.destroy();
});

describe('pictures on the processor', () => {
  const device = createCpuDevice();
  afterAll(() => device.destroy());

  async function draw(folder: string | undefined, options: CompiledModelOptions = {}): Promise<Uint8Array> {
    const loaded = await loadModel(await openModelFiles(folder));
    const pipeline = new Flux2Pipeline(new CompiledFlux2Model(loaded, device, { operands: 'f32', ...options }));
    try {
      const request = { prompt: 'a red circle on a blue background', steps: 8, seeds: [3n], cfgScale: 1, width: 128, height: 128 };
      const { pictures } = await pipeline.generate(request);
      return pictures[0]!.image.data;
    } finally {
      await pipeline.close();
    }
  } // prettier-ignore

  let original: Uint8Array;
  beforeAll(async () => {
    original = await draw(undefined);
  }, 120_000);

  /** Peak signal to noise of 8-bit levels, in dB. */
  function psnr(picture: Uint8Array): number {
    const squares = picture.reduce((sum, level, at) => sum + (level - original[at]!) ** 2, 0);
    return 10 * Math.log10(255 ** 2 / (squares / picture.length));
  }

  it.each<readonly [string, () => string | undefined, CompiledModelOptions, number]>([
    ['GGUF Q8_0', ggufModel, {}, 48],
    ['NF4 of bitsandbytes', () => safetensorsModel(packNf4), {}, 33],
    ['fp8 with scale_weight', () => safetensorsModel(packFp8('scale_weight')), {}, 42],
    ['fp8 with weight_scale', () => safetensorsModel(packFp8('weight_scale')), {}, 42],
    ['int8 made while loading', () => undefined, { quantize: { encoding: 'int8', keep: [] } }, 50],
    ['int4 made while loading', () => undefined, { quantize: { encoding: 'int4:64', keep: ['transformer_blocks.0.*'] } }, 34],
  ])('of %s', async (_, folder, options, least) => {
    expect(psnr(await draw(folder(), options))).toBeGreaterThan(least);
  }, 120_000); // prettier-ignore
});

import { describe, expect, it } from 'vitest';
import { embeddedDescription, FAKE_VELOCITY, FakeFlux2Model } from '../../test/fake-flux2-model.js';
import type { Progress } from './progress.js';
import type { GenerateRequest } from './generate-request.js';
import type { GenerateObserver } from './generate-observer.js';
import { Flux2Pipeline } from './pipeline.js';
import { torchRandn } from './noise.js';
import { pictureFromDecoded } from './picture.js';

const noisy = { prompt: 'x', steps: 4, width: 32, height: 16, seeds: [7n], cfgScale: 1 } as const;

function gradient(size: number): { width: number; height: number; data: Uint8Array } {
  return { width: size, height: size, data: Uint8Array.from({ length: size * size * 3 }, (_, i) => i % 251) };
}

describe('generate', () => {
  it('draws the noise of all pictures at once, whatever the batches, and integrates every step', async () => {
    const model = new FakeFlux2Model();
    const { pictures, settings } = await new Flux2Pipeline(model).generate({ ...noisy, count: 5, batchSize: 2 });
    expect(settings.seeds).toEqual([7n]);
    const noise = torchRandn(7, 5 * 128 * 2, 'f32');
    expect(model.calls.filter(({ name }) => name === 'denoise').map(({ inputs }) => inputs['noise']?.shape)).toEqual([
      [2, 2, 128],
      [2, 2, 128],
      [1, 2, 128],
    ]);
    pictures.forEach(({ index, decoded }, i) => {
      expect(index).toBe(i);
      // Sigma goes from 1 to 0, so x0 = noise - velocity; channel 0 of the two tokens stands first in [C, 1, 2].
      for (const column of [0, 1]) {
        expect(decoded[column * 16]).toBeCloseTo((noise[i * 256 + column]! - FAKE_VELOCITY) / 8, 5);
      }
    });
  });

  it('gives every picture a seed of its own when there are several', async () => {
    const several = await new Flux2Pipeline(new FakeFlux2Model()).generate({ ...noisy, count: 2, seeds: [7n, 8n] });
    const alone = await new Flux2Pipeline(new FakeFlux2Model()).generate({ ...noisy, seeds: [8n] });
    expect(several.pictures[1]?.decoded).toEqual(alone.pictures[0]?.decoded);
    await expect(
      new Flux2Pipeline(new FakeFlux2Model()).generate({ ...noisy, count: 3, seeds: [7n, 8n] }),
    ).rejects.toMatchObject({ code: 'F2C662' });
  });

  it('reports every stage from 0 to its end, with an estimate after the first step', async () => {
    const events: Progress[] = [];
    const references = [gradient(64), gradient(80)];
    await new Flux2Pipeline(new FakeFlux2Model()).generate(
      { ...noisy, references },
      { onProgress: (event) => void events.push(event) },
    );
    expect(events.map(({ stage, step, of }) => `${stage} ${step}/${of}`)).toEqual([
      ...['prompt 0/1', 'prompt 1/1'],
      ...['references 0/2', 'references 1/2', 'references 2/2'],
      ...['denoise 0/4', 'denoise 1/4', 'denoise 2/4', 'denoise 3/4', 'denoise 4/4'],
      ...['decode 0/1', 'decode 1/1'],
    ]);
    expect(events.filter(({ step }) => step > 0).every(({ secondsLeft }) => (secondsLeft ?? -1) >= 0)).toBe(true);
  });

  it('previews what the picture would be, which is the picture itself when the velocity does not change', async () => {
    const shown: [number, number, Uint8Array][] = [];
    const { pictures } = await new Flux2Pipeline(new FakeFlux2Model()).generate(
      { ...noisy, count: 2 },
      { preview: { every: () => 2, show: (index, step, { data }) => void shown.push([index, step, data]) } },
    );
    expect(shown.map(([index, step]) => [index, step])).toEqual([
      [0, 1],
      [1, 1],
    ]);
    shown.forEach(([index, , data]) => {
      const want = pictures[index]!.image.data;
      expect(data.every((value, i) => Math.abs(value - want[i]!) <= 1)).toBe(true);
    });
  });

  it('places references at 10, 20 and gives their tokens to every picture of the batch', async () => {
    const model = new FakeFlux2Model();
    await new Flux2Pipeline(model).generate({ ...noisy, count: 2, references: [gradient(64), gradient(80)] });
    const { inputs } = model.calls.find(({ name }) => name === 'denoise')!;
    expect(inputs['reference_latents']?.shape).toEqual([2, 16 + 25, 128]);
    const ids = inputs['ref_ids']!;
    expect(ids.shape).toEqual([41, 4]);
    expect([ids.values[0], ids.values[16 * 4]]).toEqual([10, 20]);
    const { values } = inputs['reference_latents']!;
    expect(values.slice(0, 41 * 128)).toEqual(values.slice(41 * 128));
  });

  it('runs references once before the steps where the model was trained for it, and only when there are any', async () => {
    const { pipeline, ...description } = embeddedDescription();
    const model = new FakeFlux2Model({ ...description, pipeline: { ...pipeline!, cachedReferences: true } });
    const runs = new Flux2Pipeline(model, { freeStages: true });
    await runs.generate({ ...noisy, references: [gradient(64), gradient(80)] });
    await runs.generate(noisy);
    expect(model.opened.filter((name) => name.startsWith('denoise'))).toEqual(['denoise_cached', 'denoise']);
    expect(model.destroyed.filter((name) => name.startsWith('denoise'))).toEqual(['denoise_cached', 'denoise']);
    const { inputs } = model.calls.find(({ name }) => name === 'denoise_cached')!;
    expect(inputs['reference_latents']?.shape).toEqual([1, 16 + 25, 128]);
  });

  it('says that classifier-free guidance runs references in every step where they could be run once', async () => {
    const { pipeline, ...description } = embeddedDescription();
    const noticesOf = async (cachedReferences: boolean, request: object): Promise<readonly string[]> => {
      const model = new FakeFlux2Model({ ...description, pipeline: { ...pipeline!, cachedReferences } });
      const notices: string[] = [];
      const observer = { onNotice: (sentence: string) => void notices.push(sentence) };
      await new Flux2Pipeline(model).generate({ ...noisy, cfgScale: 1, ...request }, observer);
      return notices;
    };
    const references = [gradient(64)];
    expect(await noticesOf(true, { references, cfgScale: 2 })).toEqual([
      expect.stringMatching(/--cfg-scale.*every step/),
    ]);
    expect(await noticesOf(true, { references })).toEqual([]);
    expect(await noticesOf(true, { cfgScale: 2 })).toEqual([]);
    expect(await noticesOf(false, { references, cfgScale: 2 })).toEqual([]);
  });

  it('runs the negative prompt when guidance without a classifier is on, and says so when it is not', async () => {
    const model = new FakeFlux2Model();
    const notices: string[] = [];
    const observer = { onNotice: (sentence: string) => void notices.push(sentence) };
    await new Flux2Pipeline(model).generate({ ...noisy, cfgScale: 2.5, negativePrompt: 'bad' }, observer);
    const { inputs } = model.calls.find(({ name }) => name === 'denoise_cfg')!;
    expect([...inputs['cfg_scale']!.values]).toEqual([2.5]);
    expect(inputs['cfg_scale']!.shape).toEqual([]);
    expect(inputs['negative_prompt_embeds']!.values[0]).toBe(3);
    expect(inputs['prompt_embeds']!.values[0]).toBe(1);
    expect([...inputs['guidance']!.values]).toEqual([4]);
    expect(notices).toEqual([]);
    await new Flux2Pipeline(model).generate({ ...noisy, cfgScale: 1, negativePrompt: 'bad' }, observer);
    expect(notices).toHaveLength(1);
    expect(model.calls.at(-2)?.name).toBe('denoise');
  });

  it('needs no text encoder when embeddings are given, and refuses embeddings that do not fit', async () => {
    const model = new FakeFlux2Model(embeddedDescription(), { missing: ['text_encoder'] });
    const embeds = { shape: [1, 9, 288], values: new Float32Array(9 * 288) };
    const { prompt: _, ...rest } = noisy;
    await new Flux2Pipeline(model).generate({ ...rest, promptEmbeds: embeds, cfgScale: 1 });
    expect(model.opened).toEqual(['denoise', 'vae_decoder']);
    const generate = (request: object) => new Flux2Pipeline(model).generate({ ...rest, ...request });
    await expect(generate({ prompt: 'x' })).rejects.toMatchObject({ code: 'F2C618' });
    await expect(generate({})).rejects.toMatchObject({ code: 'F2C667' });
    const narrow = { shape: [1, 9, 96], values: new Float32Array(9 * 96) };
    await expect(generate({ promptEmbeds: narrow })).rejects.toMatchObject({ code: 'F2C668' });
    const longer = { shape: [1, 10, 288], values: new Float32Array(2880) };
    const guided = { promptEmbeds: embeds, negativePromptEmbeds: longer, cfgScale: 2 };
    await expect(generate(guided)).rejects.toMatchObject({ code: 'F2C668' });
  });

  it('goes without the default guidance where only its text encoder is missing', async () => {
    const { prompt: _, cfgScale: __, ...rest } = noisy;
    const promptEmbeds = { shape: [1, 9, 288], values: new Float32Array(9 * 288) };
    const model = new FakeFlux2Model(
      { ...embeddedDescription(), textEncoder: undefined },
      { missing: ['text_encoder'] },
    );
    const notices: string[] = [];
    const observer = { onNotice: (sentence: string) => void notices.push(sentence) };
    const { settings } = await new Flux2Pipeline(model).generate({ ...rest, promptEmbeds }, observer);
    expect(settings.guidance.cfgScale).toBeUndefined();
    expect(notices).toEqual([expect.stringContaining('guidance is off')]);
    const negativePromptEmbeds = promptEmbeds;
    const both = await new Flux2Pipeline(model).generate({ ...rest, promptEmbeds, negativePromptEmbeds }, observer);
    expect(both.settings.guidance.cfgScale).toBe(2.5);
    await expect(new Flux2Pipeline(model).generate({ ...rest, promptEmbeds, cfgScale: 2 })).rejects.toMatchObject({
      code: 'F2C618',
    });
  });

  it('says at which step numbers stop being finite', async () => {
    const model = new FakeFlux2Model(embeddedDescription(), { nanAtStep: 2 });
    await expect(new Flux2Pipeline(model).generate(noisy)).rejects.toMatchObject({
      code: 'F2C664',
      message: expect.stringContaining('step 3 of 4') as unknown,
    });
  });

  it('stops at the next step when it is aborted', async () => {
    const model = new FakeFlux2Model();
    const controller = new AbortController();
    const steps: number[] = [];
    const run = new Flux2Pipeline(model).generate(noisy, {
      signal: controller.signal,
      onLatents: (step) => {
        steps.push(step);
        if (step === 1) controller.abort();
      },
    });
    await expect(run).rejects.toMatchObject({ name: 'AbortError' });
    expect(steps).toEqual([0, 1]);
  });

  it('says beforehand which networks it will open, and opens no others', async () => {
    const embeds = { shape: [1, 9, 288], values: new Float32Array(9 * 288) };
    const requests: readonly GenerateRequest[] = [
      noisy,
      { ...noisy, cfgScale: 1 },
      { ...noisy, references: [gradient(64)] },
      { ...noisy, prompt: '', promptEmbeds: embeds, negativePromptEmbeds: embeds },
    ];
    for (const request of requests) {
      const model = new FakeFlux2Model();
      const pipeline = new Flux2Pipeline(model);
      await pipeline.generate(request);
      expect(model.prepared).toEqual(model.opened);
      // All are open by now.
      await pipeline.generate(request);
      expect(model.prepared).toEqual(model.opened);
    }
  });

  it('reads latents only for who wants them', async () => {
    const run = async (observer: GenerateObserver): Promise<number> => {
      const model = new FakeFlux2Model();
      const steps: number[] = [];
      await new Flux2Pipeline(model).generate(noisy, {
        ...observer,
        onProgress: ({ stage, step }) => void (stage === 'denoise' && steps.push(step)),
      });
      expect(steps).toEqual([0, 1, 2, 3, 4]);
      return model.latentsRead;
    };
    expect(await run({})).toBe(0);
    expect(await run({ onLatents: () => undefined })).toBe(4);
    expect(await run({ preview: { every: () => 2, show: () => undefined } })).toBe(4);
  });

  it('frees each stage before the next when asked', async () => {
    const model = new FakeFlux2Model();
    const pipeline = new Flux2Pipeline(model, { freeStages: true });
    await pipeline.generate({ ...noisy, references: [gradient(64)] });
    expect(model.destroyed).toEqual(['text_encoder', 'vae_encoder', 'denoise', 'vae_decoder']);
    await pipeline.close();
    expect(model.closed).toBe(true);
  });

  it('decodes large pictures in tiles that fade into each other', async () => {
    const request = { ...noisy, width: 400, height: 160 };
    const whole = await new Flux2Pipeline(new FakeFlux2Model()).generate({ ...request, tiles: 'off' });
    const model = new FakeFlux2Model();
    const tiled = await new Flux2Pipeline(model).generate({ ...request, tiles: { size: 8, overlap: 2 } });
    expect(model.calls.filter(({ name }) => name === 'vae_decoder')).toHaveLength(2 * 4);
    const want = whole.pictures[0]!.decoded;
    const worst = tiled.pictures[0]!.decoded.reduce((most, value, i) => Math.max(most, Math.abs(value - want[i]!)), 0);
    expect(worst).toBeLessThan(1e-6);
    expect(pictureFromDecoded(want, 160, 400).data.length).toBe(160 * 400 * 3);
  });

  it.each([
    { width: 100 },
    { height: 0 },
    { width: 9000 },
    { steps: 0 },
    { steps: 1.5 },
    { count: -1 },
    { references: Array.from({ length: 11 }, () => gradient(64)) },
    { tiles: { size: 8, overlap: 8 } },
    { count: 10000, width: 1024, height: 1024 },
  ])('refuses %o', async (part) => {
    await expect(new Flux2Pipeline(new FakeFlux2Model()).generate({ ...noisy, ...part })).rejects.toMatchObject({
      code: 'F2C666',
    });
  });

  it('takes the size and the number of pictures from spatial noise', async () => {
    const noise = { shape: [2, 128, 3, 4], values: new Float32Array(2 * 128 * 12) };
    const { settings } = await new Flux2Pipeline(new FakeFlux2Model()).generate({ prompt: 'x', steps: 1, noise });
    expect(settings).toMatchObject({ width: 64, height: 48, count: 2, seeds: [] });
    const packed = { shape: [1, 64, 128], values: new Float32Array(64 * 128) };
    const run = (request: object) =>
      new Flux2Pipeline(new FakeFlux2Model()).generate({ prompt: 'x', steps: 1, ...request });
    expect((await run({ noise: packed })).settings).toMatchObject({ width: 128, height: 128, count: 1 });
    await expect(run({ noise: packed, width: 64 })).rejects.toMatchObject({ code: 'F2C663' });
  });
});

/** Pictures of the embedded checkpoint in a third of the memory that its weights need, against those with everything on the device. */
import { expect, it } from 'vitest';
import { CompiledFlux2Model } from '../models/flux2/compiled-model.js';
import { loadModel } from '../models/flux2/load-model.js';
import type { MemoryBudget } from '../models/flux2/memory-shares.js';
import { openModelFiles } from '../models/flux2/node/open-model.js';
import type { GenerateObserver } from '../models/flux2/generate-observer.js';
import { Flux2Pipeline } from '../models/flux2/pipeline.js';
import type { Device } from '../runtime/device.js';
import { compilingTimeoutMs } from './golden-on-device.js';

const request = { prompt: 'a red circle on a white background', width: 64, height: 64, steps: 2, seeds: [5n] };

interface Drawn {
  readonly decoded: readonly Float32Array[];
  readonly weightBytes: number;
  readonly peakBytes: number;
}

async function draw(
  open: () => Promise<Device>,
  memory?: MemoryBudget,
  more: { readonly count?: number; readonly batchSize?: number; readonly observer?: GenerateObserver } = {},
): Promise<Drawn> {
  const { observer = {}, ...sizes } = more;
  const device = await open();
  const loaded = await loadModel(await openModelFiles(undefined));
  const tensors = [loaded.transformer, loaded.vae, loaded.text_encoder].flatMap((part) => [...part!.checkpoint.tensors.values()]); // prettier-ignore
  const weightBytes = tensors.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const model = new CompiledFlux2Model(loaded, device, { operands: 'f32', memory });
  const pipeline = new Flux2Pipeline(model, { freeStages: true });
  try {
    const { pictures } = await pipeline.generate({ ...request, ...sizes }, observer);
    return { decoded: pictures.map(({ decoded }) => decoded), weightBytes, peakBytes: device.usage.peakBytes };
  } finally {
    await pipeline.close();
    expect(device.usage.bytes).toBe(0);
    await device.destroy();
  }
}

/** @param open a device that nothing has used, of so many bytes at most */
export function describeBudgetedPictures(
  open: (memoryBudgetBytes?: number) => Promise<Device>,
  withPreviews: boolean,
): void {
  it('are the same bit for bit, and the peak is within the budget', { timeout: 2 * compilingTimeoutMs }, async () => {
    const whole = await draw(() => open());
    const third = Math.floor(whole.weightBytes / 3);
    expect(whole.peakBytes).toBeGreaterThan(third);
    const budgets: readonly MemoryBudget[] = [{ deviceBytes: third }, { deviceBytes: third, hostBytes: 2 ** 20 }];
    for (const memory of budgets) {
      const streamed = await draw(() => open(), memory);
      expect(streamed.decoded).toEqual(whole.decoded);
      expect(streamed.peakBytes).toBeLessThanOrEqual(third);
    }
  });

  if (withPreviews) {
    it(
      'are the same beside a decoder that shows them, and one after the other',
      { timeout: compilingTimeoutMs },
      async () => {
        const several = { count: 2, batchSize: 1 };
        const whole = await draw(() => open(), undefined, several);
        const deviceBytes = Math.floor(whole.weightBytes / 2);
        let previews = 0;
        const observer: GenerateObserver = { preview: { every: () => 1, show: () => void previews++ } };
        const streamed = await draw(() => open(), { deviceBytes }, { ...several, observer });
        expect(previews).toBe(2);
        expect(streamed.decoded).toEqual(whole.decoded);
        expect(streamed.peakBytes).toBeLessThanOrEqual(deviceBytes);
      },
    );
  }

  it(
    'are the same where the device has less memory than it was taken to have',
    { timeout: compilingTimeoutMs },
    async () => {
      const whole = await draw(() => open());
      const third = Math.floor(whole.weightBytes / 3);
      const lowered: number[] = [];
      const guess = { deviceBytes: Infinity, isGuess: true, onShrink: (bytes: number) => void lowered.push(bytes) };
      const streamed = await draw(() => open(third), guess);
      expect(lowered.length).toBeGreaterThan(0);
      expect(streamed.decoded).toEqual(whole.decoded);
    },
  );

  it('are refused with the smallest budget that works', { timeout: compilingTimeoutMs }, async () => {
    const refused = await draw(() => open(), { deviceBytes: 2 ** 20 }).then(
      () => undefined,
      (error: unknown) => error as Error & { readonly code: string; readonly detail: { readonly expected: string } },
    );
    expect(refused?.code).toBe('F2C317');
    expect(refused?.detail.expected).toMatch(/^a budget of at least \d+(\.\d+)?MiB for these sizes$/);
  });
}

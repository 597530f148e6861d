/** Plans with streamed weights give what resident ones give, bit for bit, on any device. */
import { describe, expect, it } from 'vitest';
import { kernelPrinter } from '../../backends/print-kernel.js';
import type { Module } from '../../ir/graph/graph.js';
import { compileModule } from '../../passes/compile.js';
import type { Device } from '../../runtime/device.js';
import { fromHostTensor } from '../../runtime/host-array.js';
import { memoryWeights } from '../../runtime/weight-provider.js';
import { transformerTiny } from '../golden-cases.js';
import { compilingTimeoutMs } from '../golden-on-device.js';
import { randomGraph } from '../random-graph.js';
import { buildDenoise, denoiseInputs, denoiseTensors, smallTransformer } from '../small-denoise.js';
import { deviceBytesOf, forgetPeak, type Inputs, isRefusal, openBudgeted, openStreamed, runResident, type StreamedParts } from './streamed-session.js'; // prettier-ignore

export interface StreamedCaseOptions {
  /** How many random graphs. */
  readonly graphs?: number;
  /** Which of a transformer's golden inputs, one after the other. */
  readonly transformer?: readonly number[];
  readonly print?: Parameters<typeof compileModule>[2]['print'];
}

type Kept = (piece: number) => boolean;

export function describeStreamedCases(
  device: () => Device,
  { graphs = 12, transformer = [0, 1, 1, 0, 2, 3, 4, 0], print }: StreamedCaseOptions = {},
): void {
  const compile = (module: Module): ReturnType<typeof compileModule> =>
    compileModule(module, device().target, { print: print ?? kernelPrinter(device().target) });

  it('streams random graphs', { timeout: compilingTimeoutMs }, async () => {
    let streamed = 0;
    for (let seed = 0; streamed < graphs && seed < 20 * graphs; seed++) {
      const { module, inputs, weights } = randomGraph(seed, { size: 14 });
      if (weights.size < 2) continue;
      let compiled;
      try {
        compiled = compile(module);
      } catch (error) {
        if (isRefusal(error)) continue;
        throw error;
      }
      const { kernels, plans } = compiled;
      const parts = { plan: plans.get('random')!, kernels, device: device(), weights: memoryWeights(weights) };
      const arrays = new Map([...inputs].map(([name, tensor]) => [name, fromHostTensor(tensor)]));
      const expected = await runResident(parts, arrays);
      for (const isKept of [() => true, (piece: number) => piece % 2 === 0]) {
        const { session, plans: made } = await openStreamed(parts, { isKept });
        for (let run = 0; run < 2; run++) expect(await session.run(arrays), `seed ${seed}`).toEqual(expected);
        if ((made[0]!.streamed?.length ?? 0) > 1) streamed++;
        await session.destroy();
        expect(device().usage.bytes).toBe(0);
      }
    }
    expect(streamed).toBeGreaterThanOrEqual(graphs);
  });

  const compiledTransformer = once(async (): Promise<StreamedParts> => {
    const { module, weights } = await transformerTiny.load();
    const { kernels, plans } = compile(module);
    return { plan: plans.get('transformer')!, kernels, device: device(), weights };
  });
  describeFunction('a transformer', compiledTransformer, () => {
    return transformer.map((at) => new Map(Object.entries(transformerTiny.cases[at]!.read().inputs)));
  });

  const compiledLoop = once(async (): Promise<StreamedParts> => {
    const module = buildDenoise(smallTransformer, true);
    const { kernels, plans } = compile(module);
    return {
      plan: plans.get('denoise_cfg')!,
      kernels,
      device: device(),
      weights: memoryWeights(denoiseTensors(module)),
    };
  });
  describeFunction('a denoising loop', compiledLoop, () => {
    return ([[20, 5, 3], [7, 4, 0], [20, 5, 3]] as const).map(([img, txt, ref]) => {
      return new Map([...denoiseInputs(img, txt, ref)].map(([name, tensor]) => [name, fromHostTensor(tensor)]));
    }); // prettier-ignore
  });
}

/** Naive plans with everything in the smallest ring, and the planner's for a third of the weights, for several sizes in a row. */
function describeFunction(what: string, open: () => Promise<StreamedParts>, readInputs: () => readonly Inputs[]): void {
  describe(what, { timeout: compilingTimeoutMs }, () => {
    const expected = once(async () => {
      const results: Inputs[] = [];
      for (const inputs of readInputs()) results.push(await runResident(await open(), inputs));
      return results;
    });

    it.each<readonly [string, number, number, Kept]>([
      ['kept', 0, 1, () => true],
      ['read each time', 0, 1, () => false],
      ['one of three kept, small ones resident, one place more', 3000, 2, (piece) => piece % 3 === 0],
    ])('in the smallest ring: %s', async (_, leastBytes, spare, isKept) => {
      const parts = await open();
      const { device } = parts;
      const wanted = await expected();
      const { session, plans } = await openStreamed(parts, { leastBytes, spare, isKept });
      for (const [at, inputs] of readInputs().entries()) {
        expect(await session.run(inputs), `run ${at}`).toEqual(wanted[at]);
        const bound = plans.at(-1)!;
        expect(bound.streamed!.length).toBeGreaterThan(4);
        expect(session.memory.ringBytes).toBe(bound.buffers.find(({ kind }) => kind === 'ring')!.byteLength);
        expect(device.usage.bytes).toBeGreaterThanOrEqual(deviceBytesOf(bound));
      }
      await session.destroy();
      expect(device.usage.bytes).toBe(0);
    });

    it.each([
      ['all of them', undefined],
      ['a third of them', 1 / 3],
    ])('with room for a third of its weights, of which the host holds %s', async (_, share) => {
      const parts = await open();
      const { device } = parts;
      const wanted = await expected();
      // The largest size needs most; what it takes without any weights, and a third of those.
      const roomy = await openBudgeted(parts, { deviceBytes: 2 ** 40 });
      for (const inputs of readInputs()) await roomy.session.run(inputs);
      await roomy.session.destroy();
      const weightBytes = roomy.plans[0]!.memory.weightBytes;
      const others = roomy.plans.map((bound) => deviceBytesOf(bound) - weightBytes);
      const deviceBytes = Math.max(...others) + Math.floor(weightBytes / 3);
      forgetPeak(device);
      const budget = { deviceBytes, ...(share !== undefined && { hostBytes: Math.floor(weightBytes * share) }) };
      const { session, plans } = await openBudgeted(parts, budget);
      for (const [at, inputs] of readInputs().entries()) {
        expect(await session.run(inputs), `run ${at}`).toEqual(wanted[at]);
        expect(device.usage.peakBytes).toBeLessThanOrEqual(deviceBytes);
        expect(session.memory.hostPeakBytes).toBeLessThanOrEqual(budget.hostBytes ?? Infinity);
      }
      expect(plans.every(({ streamed = [] }) => streamed.length > 0)).toBe(true);
      await session.destroy();
      expect(session.memory.hostBytes).toBe(0);
      expect(device.usage.bytes).toBe(0);
    });
  });
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}

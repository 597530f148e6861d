/** Plans with streamed weights give what resident ones give, bit for bit, on any device. */
import { describe, expect, it } from 'vitest';
import { kernelPrinter } from '../../backends/print-kernel.js';
import { compileModule } from '../../passes/compile.js';
import type { Device } from '../../runtime/device.js';
import { fromHostTensor } from '../../runtime/host-array.js';
import { memoryWeights } from '../../runtime/weight-provider.js';
import { transformerTiny } from '../golden-cases.js';
import { compilingTimeoutMs } from '../golden-on-device.js';
import { randomGraph } from '../random-graph.js';
import { deviceBytesOf, isRefusal, openStreamed, runResident, type StreamedParts } from './streamed-session.js';

export interface StreamedCaseOptions {
  /** How many random graphs. */
  readonly graphs?: number;
  readonly print?: Parameters<typeof compileModule>[2]['print'];
}

export function describeStreamedCases(device: () => Device, { graphs = 12, print }: StreamedCaseOptions = {}): void {
  const printer = (): NonNullable<StreamedCaseOptions['print']> => print ?? kernelPrinter(device().target);

  it('streams random graphs', { timeout: compilingTimeoutMs }, async () => {
    let streamed = 0;
    for (let seed = 0; streamed < graphs && seed < 20 * graphs; seed++) {
      const { module, inputs, weights } = randomGraph(seed, { size: 14 });
      if (weights.size < 2) continue;
      let compiled;
      try {
        compiled = compileModule(module, device().target, { print: printer() });
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

  describe('a transformer', { timeout: compilingTimeoutMs }, () => {
    const golden = transformerTiny.cases.map(({ read }) => new Map(Object.entries(read().inputs)));
    let parts: Promise<StreamedParts> | undefined;
    const open = async (): Promise<StreamedParts> => {
      const { module, weights } = await transformerTiny.load();
      const { kernels, plans } = compileModule(module, device().target, { print: printer() });
      return { plan: plans.get('transformer')!, kernels, device: device(), weights };
    };

    it.each([
      ['kept', 0, 1, () => true],
      ['read each time', 0, 1, () => false],
      ['one of three kept, small ones resident, one place more', 3000, 2, (piece: number) => piece % 3 === 0],
    ] as const)('of sizes that change: %s', async (_, leastBytes, spare, isKept) => {
      const all = await (parts ??= open());
      const expected = [];
      for (const inputs of golden) expected.push(await runResident(all, inputs));
      const { session, plans } = await openStreamed(all, { leastBytes, spare, isKept });
      for (const at of [0, 1, 1, 0, 2, 3, 4, 0]) {
        expect(await session.run(golden[at]!), `inputs ${at}`).toEqual(expected[at]);
        const bound = plans.at(-1)!;
        expect(bound.streamed!.length).toBeGreaterThan(10);
        expect(session.memory.ringBytes).toBe(bound.buffers.find(({ kind }) => kind === 'ring')!.byteLength);
        expect(device().usage.bytes).toBeGreaterThanOrEqual(deviceBytesOf(bound));
      }
      await session.destroy();
      expect(device().usage.bytes).toBe(0);
    });
  });
}

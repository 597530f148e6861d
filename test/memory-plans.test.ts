/** FLUX.2-dev at 1024² in the memory that GPUs have: a plan for every budget, weights as they are or in fewer bits, and any bus. */
import { describe, expect, it } from 'vitest';
import { cudaTarget } from '../backends/cuda/cuda-target.js';
import { kernelPrinter } from '../backends/print-kernel.js';
import { portableWebgpu, type Target } from '../backends/target.js';
import { buildFunction } from '../models/flux2/component-functions.js';
import { collectExpectedWeights } from '../models/flux2/expected-weights.js';
import { chooseEncodings } from '../models/flux2/quantized-tensors.js';
import { variants } from '../models/flux2/variants.js';
import { compileModule } from '../passes/compile.js';
import type { CompiledModule } from '../passes/compiled.js';
import { usualCosts } from '../runtime/memory/device-costs.js';
import {
  leastBudget,
  type MemoryRequest,
  type PlannedMemory,
  planWithinBudget,
} from '../runtime/memory/plan-memory.js';
import { verifyStream } from '../runtime/memory/verify-stream.js';

const gib = 2 ** 30;
const budgets = [6, 8, 12, 16, 24, 48, 80];
const sizes = { batch: 1, img: 4096, txt: 512, ref: 0, steps: 50 };
const hopper = cudaTarget(['sm_90a']);

function compileDev(target: Target, encoding: string | undefined): CompiledModule {
  const { transformer, autoencoder, textEncoder } = variants.dev;
  const description = { name: 'dev', pipeline: undefined, transformer, autoencoder, textEncoder };
  const module = buildFunction(description, 'denoise', () => 'bf16');
  const shapes = [...collectExpectedWeights(module, 'transformer')];
  const stored = { table: new Map(shapes.map(([name, shape]) => [name, { shape }])), encodingOf: () => undefined };
  const encodingOf = chooseEncodings(
    'transformer',
    stored,
    encoding === undefined ? undefined : { encoding, keep: [] },
  );
  return compileModule(module, target, { print: kernelPrinter(target), operands: 'stored', encodingOf });
}

function planDev({ plans, kernels, target }: CompiledModule, request: MemoryRequest): PlannedMemory {
  return planWithinBudget(plans.get('denoise')!, sizes, target, kernels, request);
}

const loopOf = ({ bound: { steps } }: PlannedMemory) => steps.find((step) => step.kind === 'loop')!;

describe('plans for FLUX.2-dev within budgets', () => {
  const table: string[] = [];

  it.each([undefined, 'int8', 'int4:64', 'nf4:64', 'f8e4m3'])('on a Hopper, weights in %s', (encoding) => {
    const compiled = compileDev(hopper, encoding);
    for (const budget of budgets) {
      const row: string[] = [];
      for (const bandwidth of [12, 25, 55]) {
        const costs = { ...usualCosts(hopper), uploadBytes: bandwidth * 1e9 };
        const planned = planDev(compiled, { deviceBytes: budget * gib, costs });
        const { stepSeconds, idealStepSeconds, streamedBytes } = planned.prediction;
        verifyStream(planned.bound, budget * gib);
        expect(stepSeconds).toBeLessThanOrEqual(1.05 * idealStepSeconds);
        // What is streamed is no more than has no room.
        if (streamedBytes > 0) expect(planned.deviceBytes).toBeGreaterThan(0.97 * budget * gib);
        row.push(`${bandwidth} GB/s ${stepSeconds.toFixed(2)} s`);
      }
      table.push(`${encoding ?? 'bf16'}, ${budget} GiB: ${row.join(', ')}`);
    }
  });

  it('through WebGPU, whose writes are in order with launches', () => {
    const compiled = compileDev(portableWebgpu, undefined);
    for (const budget of budgets) {
      const planned = planDev(compiled, { deviceBytes: budget * gib });
      const { stepSeconds, idealStepSeconds } = planned.prediction;
      expect(stepSeconds).toBeLessThanOrEqual(1.05 * idealStepSeconds);
      for (const { byteLength } of planned.bound.buffers)
        expect(byteLength).toBeLessThanOrEqual(portableWebgpu.maxBufferBytes);
    }
  });

  it('keeps in host memory what fits there, and reads the rest while the step goes on', () => {
    const compiled = compileDev(hopper, 'int4:64');
    const costs = { ...usualCosts(hopper), diskBytes: 20e9 };
    const planned = planDev(compiled, { deviceBytes: 6 * gib, hostBytes: 4 * gib, costs });
    const kept = planned.bound.streamed!.filter(({ isKept }) => isKept);
    const bytes = kept.reduce((sum, { byteLength }) => sum + byteLength, 0);
    expect(bytes).toBeLessThanOrEqual(4 * gib);
    expect(bytes).toBeGreaterThan(2.5 * gib);
    const { stepSeconds, idealStepSeconds } = planned.prediction;
    expect(stepSeconds).toBeLessThanOrEqual(1.05 * idealStepSeconds);
  });

  it('refuses a byte less than the least that works', () => {
    const compiled = compileDev(hopper, undefined);
    const least = leastBudget(compiled.plans.get('denoise')!, sizes, hopper, compiled.kernels);
    expect(least).toBeLessThan(1.5 * gib);
    const planned = planDev(compiled, { deviceBytes: least });
    expect(planned.deviceBytes).toBeLessThanOrEqual(least);
    expect(loopOf(planned)).toBeDefined();
    expect(() => planDev(compiled, { deviceBytes: Math.floor(least * 0.99) })).toThrow(
      'cannot run in so little memory',
    );
  });

  it('has these steps', () => {
    expect(table.join('\n')).toMatchSnapshot();
  });
});

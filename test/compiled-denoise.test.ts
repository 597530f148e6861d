import { describe, expect, it } from 'vitest';
import { portableWebgpu } from '../backends/target.js';
import type { Target } from '../backends/target.js';
import { interpretFunction } from '../ir/graph/interpret.js';
import { materializeWeight } from '../ir/graph/weights.js';
import { compareTensors } from '../ir/host-tensor.js';
import type { HostTensor } from '../ir/host-tensor.js';
import { variants } from '../models/flux2/variants.js';
import type { VariantName } from '../models/flux2/variants.js';
import { compileModule } from '../passes/compile.js';
import { fromHostTensor, toHostTensor } from '../runtime/host-array.js';
import type { HostArray } from '../runtime/host-array.js';
import { instantiatePlan } from '../runtime/instantiate.js';
import { InterpreterDevice } from '../runtime/interpreter-device.js';
import { flattenSteps } from '../runtime/plan/bound-plan.js';
import { verifyBoundPlan } from '../runtime/plan/verify-bound-plan.js';
import { Session } from '../runtime/session.js';
import { memoryWeights } from '../runtime/weight-provider.js';
import { buildDenoise, denoiseInputs, denoiseTensors, smallTransformer } from './small-denoise.js';

describe('a small denoising loop, compiled', () => {
  const module = buildDenoise(smallTransformer, true);
  const tensors = denoiseTensors(module);
  const weights = memoryWeights(tensors);
  const compiled = compileModule(module, portableWebgpu, { print: () => '' });
  const plan = compiled.plans.get('denoise_cfg');
  if (plan === undefined) throw new Error('no plan');

  async function run(target: Target, inputs: ReadonlyMap<string, HostTensor>): Promise<HostArray> {
    const device = new InterpreterDevice(target);
    const session = await Session.create({ plan: plan!, kernels: compiled.kernels, device, weights });
    const arrays = new Map([...inputs].map(([name, input]) => [name, fromHostTensor(input)]));
    const results = await session.run(arrays);
    await session.destroy();
    expect(device.usage.bytes).toBe(0);
    return results.get('latents')!;
  }

  const tight = {
    ...portableWebgpu,
    maxBindingBytes: 32768,
    maxBufferBytes: 80000,
    maxWorkgroupsPerDimension: 3,
    bindingAlignment: 32,
  };

  it.each([
    [60, 5, 3],
    [7, 4, 0],
  ])('gives what the graph says, for %i image, %i text and %i reference tokens', async (img, txt, ref) => {
    const inputs = denoiseInputs(img, txt, ref);
    const weightOf = (name: string): HostTensor =>
      materializeWeight(module.weights.get(name)!, (source) => tensors.get(source)!);
    const wanted = interpretFunction(module, 'denoise_cfg', inputs, weightOf, { precision: 'f64' }).get('latents')!;
    const whole = await run(portableWebgpu, inputs);
    expect(compareTensors(toHostTensor(whole), wanted).relativeL2).toBeLessThan(2e-6);
    // The same kernels in many small launches: every sum is the same.
    expect(await run(tight, inputs)).toEqual(whole);
  });

  it('is cut into more launches where the device is small', () => {
    const sizes = { batch: 1, img: 60, txt: 5, ref: 3, steps: 2 };
    const count = (target: Target): number => {
      const bound = instantiatePlan(plan, sizes, target, compiled.kernels);
      verifyBoundPlan(bound);
      return [...flattenSteps(bound.steps)].length;
    };
    expect(count(tight)).toBeGreaterThan(2 * count(portableWebgpu));
  });
});

describe('plans of the released models', () => {
  const large = { ...portableWebgpu, maxBufferBytes: 2 ** 32, maxBindingBytes: 2 ** 31 - 4 };

  it.each([
    ['dev', large, 1.63e9],
    ['klein-4b', large, 0.82e9],
    // 1024² fits the limits that every WebGPU adapter has.
    ['klein-4b', portableWebgpu, 0.82e9],
  ] as readonly (readonly [VariantName, Target, number])[])('%s is sound at 1024²', (variant, target, most) => {
    const compiled = compileModule(buildDenoise(variants[variant].transformer, false), target, { print: () => '' });
    const plan = compiled.plans.get('denoise')!;
    const sizes = { batch: 1, img: 4096, txt: 512, ref: 0, steps: 4 };
    const { memory, ...bound } = instantiatePlan(plan, sizes, target, compiled.kernels);
    verifyBoundPlan({ memory, ...bound });
    expect(memory.arenaBytes).toBeLessThan(most);
    expect(memory.arenaBytes / memory.lowerBoundBytes).toBeLessThan(1.02);
  });
});

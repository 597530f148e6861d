import { describe, expect, it } from 'vitest';
import { cpuTarget, portableWebgpu, type Target } from '../backends/target.js';
import { Flux2cError } from '../ir/diagnostics.js';
import { isFloat } from '../ir/dtype.js';
import type { OpKind } from '../ir/graph/attributes.js';
import { interpretFunction } from '../ir/graph/interpret.js';
import { compareTensors, type HostTensor } from '../ir/host-tensor.js';
import { compileModule } from '../passes/compile.js';
import { fromHostTensor, toHostTensor } from '../runtime/host-array.js';
import { InterpreterDevice } from '../runtime/interpreter-device.js';
import { Session } from '../runtime/session.js';
import { memoryWeights } from '../runtime/weight-provider.js';
import { randomGraph } from './random-graph.js';

/** Bindings of 64 floats and few workgroups: most launches of the small graphs must be cut along some axis. */
const tight = { maxBindingBytes: 256, bindingAlignment: 16, maxWorkgroupsPerDimension: 2 };
const targets: readonly Target[] = [
  { ...portableWebgpu, ...tight },
  { ...cpuTarget, ...tight },
];

/** Without 16-bit results, whose roundings make differences of their own. */
const ops: readonly OpKind[] = [
  'matmul', 'conv2d', 'attention', 'add', 'mul', 'silu', 'split', 'layer_norm', 'rms_norm', 'rope', 'concat', 'reshape',
  'transpose', 'reduce_sum', 'group_norm', 'upsample_nearest', 'pad', 'gather', 'slice', 'loop',
]; // prettier-ignore

/** What no cut makes fit is refused, naming the launch. */
type Outcome = 'whole' | 'cut' | 'refused';

class CountingDevice extends InterpreterDevice {
  launches = 0;

  protected override execute(...launch: Parameters<InterpreterDevice['execute']>): void {
    this.launches++;
    super.execute(...launch);
  }
}

async function runSeed(seed: number, target: Target): Promise<Outcome> {
  const { module, inputs, weights } = randomGraph(seed, { ops, size: 10 });
  const arrays = new Map([...inputs].map(([name, tensor]) => [name, fromHostTensor(tensor)]));
  const run = async (target: Target): Promise<readonly [ReadonlyMap<string, HostTensor>, number]> => {
    const { plans, kernels } = compileModule(module, target, { print: () => '', functions: ['random'] });
    const plan = plans.get('random');
    if (plan === undefined) throw new Error('no plan');
    const device = new CountingDevice(target);
    const session = await Session.create({ plan, kernels, device, weights: memoryWeights(weights) });
    const results = await session.run(arrays);
    return [new Map([...results].map(([name, array]) => [name, toHostTensor(array)])), device.launches];
  };
  try {
    const [got, cut] = await run(target);
    const want = interpretFunction(module, 'random', inputs, (name) => weights.get(name) as HostTensor, { precision: 'f32' }); // prettier-ignore
    for (const [name, tensor] of want) {
      const { relativeL2, maxAbs } = compareTensors(got.get(name) as HostTensor, tensor);
      const tolerance = isFloat(tensor.dtype) ? 1e-5 : 0;
      expect(Math.min(relativeL2, maxAbs), `seed ${seed}: ${name}`).toBeLessThanOrEqual(tolerance);
    }
    const [, whole] = await run({ ...target, maxBindingBytes: 2 ** 20, maxWorkgroupsPerDimension: 65535 });
    return cut > whole ? 'cut' : 'whole';
  } catch (error) {
    if (error instanceof Flux2cError && ['F2C303', 'F2C305', 'F2C312'].includes(error.code)) return 'refused';
    throw error;
  }
}

describe('launches of random graphs, cut to tight limits', () => {
  it.each(targets)('read and write inside of their windows: $backend', async (target) => {
    const outcomes: Outcome[] = [];
    for (let seed = 0; seed < 60; seed++) outcomes.push(await runSeed(seed, target));
    expect(outcomes.filter((outcome) => outcome === 'cut').length).toBeGreaterThan(15);
    expect(outcomes.filter((outcome) => outcome === 'refused').length).toBeLessThan(20);
  });
});

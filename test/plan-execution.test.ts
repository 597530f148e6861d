import { describe, expect, it } from 'vitest';
import { cpuTarget, portableWebgpu, type Target } from '../backends/target.js';
import { opKinds } from '../ir/graph/attribute-forms.js';
import type { OpKind } from '../ir/graph/attributes.js';
import { printModule } from '../ir/graph/print.js';
import type { HostTensor } from '../ir/host-tensor.js';
import { type RandomFloat, randomGraph } from './random-graph.js';
import { type PlanSample, validatePlan } from './validate-plan.js';

/** Capabilities, each far from the others in what schedules and plans make of them. */
const targets: Readonly<Record<string, Target>> = {
  'portable WebGPU': portableWebgpu,
  'the processor': cpuTarget,
  'four storage buffers': { ...portableWebgpu, maxStorageBuffers: 4 },
  'no workgroup memory': { ...portableWebgpu, workgroupMemory: 0 },
  'staging that does not pay': { ...portableWebgpu, stagingPays: false },
  'lanes of a subgroup': { ...portableWebgpu, stagingPays: false, subgroups: { min: 8, max: 8 } },
};

/** What plans turn into addresses, with enough around it that the addresses are read and written. */
const movements: readonly OpKind[] = [
  'reshape', 'transpose', 'slice', 'split', 'concat', 'broadcast', 'pad', 'gather', 'upsample_nearest', 'cast', 'weight',
  'constant', 'iota', 'add', 'mul', 'select', 'less', 'equal', 'silu', 'matmul', 'softmax', 'reduce_sum', 'rope', 'loop',
]; // prettier-ignore

interface GraphFamily {
  readonly ops: readonly OpKind[];
  readonly size: number;
  readonly dtypes?: readonly RandomFloat[];
}

const families: Readonly<Record<string, GraphFamily>> = {
  anything: { ops: opKinds, size: 16 },
  movement: { ops: movements, size: 22 },
  'numbers of 16 bits': { ops: opKinds, size: 10, dtypes: ['f32', 'bf16', 'f16'] },
};

/** What a graph may need that a target or a kernel does not have: a clear error, not a wrong number. */
const refusals: ReadonlySet<string> = new Set(['F2C303', 'F2C305', 'F2C306']);

function sampleOf({ ops, dtypes }: GraphFamily, seed: number, size: number): PlanSample {
  const { module, inputs, weights } = randomGraph(seed, { ops, size, ...(dtypes && { dtypes }) });
  const readTensor = (name: string): HostTensor => weights.get(name) as HostTensor;
  return { module, functionName: 'random', inputs, readTensor };
}

type Outcome = 'same' | 'refused';

function outcomeOf(sample: PlanSample, target: Target): Outcome {
  try {
    validatePlan(sample, target);
    return 'same';
  } catch (error) {
    if (error instanceof Error && 'code' in error && refusals.has(error.code as string)) return 'refused';
    throw error;
  }
}

/** The outcome of a seed's graph; when it fails, the error has the text of the smallest beginning that fails. */
function runSeed(family: GraphFamily, seed: number, target: Target): Outcome {
  try {
    return outcomeOf(sampleOf(family, seed, family.size), target);
  } catch (first) {
    for (let size = 1; size < family.size; size++) {
      const sample = sampleOf(family, seed, size);
      try {
        outcomeOf(sample, target);
      } catch (error) {
        throw new Error(`seed ${seed} of size ${size}: ${String(error)}\n${printModule(sample.module)}`, {
          cause: error,
        });
      }
    }
    throw first;
  }
}

describe('plans of random graphs compute what the graphs do', () => {
  it.each([
    ['anything', 'portable WebGPU', 0, 90],
    ['anything', 'the processor', 60, 150],
    ['anything', 'four storage buffers', 150, 180],
    ['anything', 'no workgroup memory', 180, 210],
    ['anything', 'staging that does not pay', 210, 240],
    ['anything', 'lanes of a subgroup', 240, 300],
    ['movement', 'portable WebGPU', 0, 80],
    ['movement', 'the processor', 80, 140],
    ['movement', 'four storage buffers', 140, 170],
    ['numbers of 16 bits', 'portable WebGPU', 0, 40],
    ['numbers of 16 bits', 'the processor', 40, 60],
    ['numbers of 16 bits', 'lanes of a subgroup', 60, 90],
  ])('%s on %s, seeds %i to %i', (familyName, targetName, first, end) => {
    const family = families[familyName] as GraphFamily;
    const target = targets[targetName] as Target;
    const outcomes = Array.from({ length: end - first }, (_, at) => runSeed(family, first + at, target));
    // Refusals are rare but where few buffers are: the test would show little otherwise.
    const share = outcomes.filter((outcome) => outcome === 'same').length / outcomes.length;
    expect(share).toBeGreaterThan(target.maxStorageBuffers < 8 ? 0.5 : 0.85);
  });
});

/** x times weights one after the other, in a loop: small enough to plant faults in and to know what comes out. */
import { Dim } from '../../ir/dim.js';
import type { WeightDeclaration } from '../../ir/graph/graph.js';
import type { HostTensor } from '../../ir/host-tensor.js';
import type { Plan, PlanStep } from '../../ir/plan.js';
import type { HostArray } from '../../runtime/host-array.js';
import { memoryWeights, type WeightProvider } from '../../runtime/weight-provider.js';
import { binding, copy, launch, loop, plan, storage, value } from '../plan-samples.js';

/** Elements of each weight. */
export const chainLength = 48;
export const chainWeights = 6;
export const chainSteps = 3;

const names = Array.from({ length: chainWeights }, (_, index) => `w${index}`);

function declare(name: string): WeightDeclaration {
  return { name, type: { dtype: 'f32', shape: [Dim.of(chainLength)] }, source: { kind: 'tensor', tensor: name } };
}

/** y = x * (w0 * ... * w5) ** 3, and w0 once more behind the loop; n elements. */
export const chain: Plan = plan(
  [
    storage(0, 'input', 'n'),
    storage(1, 'temporary', 'n'),
    storage(2, 'temporary', 'n'),
    storage(3, 'result', 'n'),
    ...names.map((name, index) => storage(4 + index, 'weight', chainLength, 'f32', name)),
  ],
  [
    copy(0, 1, 'n'),
    loop('step', chainSteps, names.map((_, index) => times(1 + (index % 2), index, 2 - (index % 2))), [value('x', 1, ['n'])]), // prettier-ignore
    times(1, 0, 3),
  ],
  { name: 'chain', inputs: [value('x', 0, ['n'])], results: [value('y', 3, ['n'])], weights: names.map(declare) },
);

function times(from: number, weight: number, to: number): PlanStep {
  const bindings = [binding(from, 'read', 'n'), binding(4 + weight, 'read', 'n'), binding(to, 'write', 'n')];
  return launch(`times w${weight}`, 'product', bindings, [['n', 16]], { n: 'n' });
}

/** Powers of two, so that products are exact in any order. */
function weightAt(weight: number, index: number): number {
  return 2 ** (((weight + index) % 3) - 1);
}

export const chainTensors: ReadonlyMap<string, HostTensor> = new Map(
  names.map((name, weight): [string, HostTensor] => {
    const data = Float64Array.from({ length: chainLength }, (_, index) => weightAt(weight, index));
    return [name, { dtype: 'f32', shape: [chainLength], data }];
  }),
);

export function chainInputs(n: number): ReadonlyMap<string, HostArray> {
  return new Map([
    ['x', { dtype: 'f32', shape: [n], data: Float32Array.from({ length: n }, (_, index) => 1 + index) }],
  ]);
}

export function chainResults(n: number): ReadonlyMap<string, HostArray> {
  const data = Float32Array.from({ length: n }, (_, index) => {
    const once = names.reduce((product, _name, weight) => product * weightAt(weight, index), 1);
    return (1 + index) * once ** chainSteps * weightAt(0, index);
  });
  return new Map([['y', { dtype: 'f32', shape: [n], data }]]);
}

/** The weights, with something done before each read. */
export function chainProvider(
  before: (weight: string, count: number) => void | Promise<void> = () => undefined,
): WeightProvider & { readonly reads: string[] } {
  const provider = memoryWeights(chainTensors);
  const reads: string[] = [];
  return {
    reads,
    async *read(declaration, range) {
      reads.push(declaration.name);
      await before(declaration.name, reads.length);
      yield* provider.read(declaration, range);
    },
  };
}

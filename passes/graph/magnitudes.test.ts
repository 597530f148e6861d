import { describe, expect, it } from 'vitest';
import { cpuTarget } from '../../backends/target.js';
import { isFloat } from '../../ir/dtype.js';
import type { OpKind } from '../../ir/graph/attributes.js';
import type { GraphFunction, Module, Operation, Value } from '../../ir/graph/graph.js';
import { interpretFunction } from '../../ir/graph/interpret.js';
import { printModule } from '../../ir/graph/print.js';
import { randomGraph } from '../../test/random-graph.js';
import { decompose } from './decompose.js';
import { type Magnitude, Magnitudes } from './magnitudes.js';

/** Norms, what saturates and what they go through; some that are larger than what they take, too. */
const kinds: readonly OpKind[] = [
  'layer_norm', 'rms_norm', 'group_norm', 'softmax', 'sigmoid', 'tanh', 'silu', 'gelu', 'neg', 'abs', 'min', 'max', 'add', 'sub', 'mul',
  'reshape', 'transpose', 'slice', 'split', 'concat', 'broadcast', 'pad', 'upsample_nearest', 'select', 'rope', 'weight', 'constant',
  'reduce_mean', 'reduce_max', 'reduce_sum', 'matmul', 'conv2d', 'div', 'layer_norm', 'rms_norm', 'group_norm', 'mul', 'add',
]; // prettier-ignore

/**
 * Tensors have at most 3000 elements, so norms make 55 at most, and rope and sums with what is at most 1 a bit more. Weights are at most 2: a
 * value is multiplied by one and added to some.
 */
const most: Readonly<Record<Magnitude, number>> = { unit: 1 + 1e-12, normalised: 90, scaled: 250 };

describe('magnitudes', () => {
  it('hold for inputs of a million, of all values of random graphs', () => {
    const seen: Record<Magnitude | 'unknown', number> = { unit: 0, normalised: 0, scaled: 0, unknown: 0 };
    for (let seed = 1; seed <= 300; seed++) {
      const { module, inputs, sizes, weights } = randomGraph(seed, { ops: kinds, size: 30 });
      const decomposed = decompose.run(module, cpuTarget);
      const { body } = decomposed.functions.get('random')!;
      const makers = new Map<Value, Operation>();
      for (const operation of body.operations) for (const result of operation.results) makers.set(result, operation);
      const magnitudes = new Magnitudes((value) => makers.get(value));
      const values = [...makers.keys()].filter(({ type }) => isFloat(type.dtype));
      const large = new Map([...inputs].map(([name, tensor]) => [name, isFloat(tensor.dtype) ? { ...tensor, data: tensor.data.map((value) => value * 1e6) } : tensor])); // prettier-ignore
      const results = interpretFunction(showing(decomposed, values), 'random', large, (name) => weights.get(name)!, {
        precision: 'f64',
        sizes,
      });
      values.forEach((value, at) => {
        const magnitude = magnitudes.of(value);
        seen[magnitude ?? 'unknown']++;
        if (magnitude === undefined) return;
        const largest = results.get(`value${at}`)!.data.reduce((found, one) => Math.max(found, Math.abs(one)), 0);
        if (largest <= most[magnitude]) return;
        throw new Error(`seed ${seed}: %${value.name} is said to be ${magnitude} and gets to ${largest}\n${printModule(decomposed)}`); // prettier-ignore
      });
    }
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(300);
  });
});

/** The module with all these values as results. */
function showing(module: Module, values: readonly Value[]): Module {
  const whole = module.functions.get('random')!;
  const fn: GraphFunction = {
    ...whole,
    resultNames: values.map((_, at) => `value${at}`),
    body: { ...whole.body, results: values },
  };
  return { ...module, functions: new Map([['random', fn]]) };
}

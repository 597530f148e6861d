import type { Module, Value } from '../ir/graph/graph.js';
import { ModuleBuilder } from '../ir/graph/builder.js';
import { equalTypes } from '../ir/graph/types.js';
import { Random } from './random.js';

/** Two functions of linear layers over few inputs with few weights, used together, apart and in other ways. */
export function randomProjections(seed: number): Module {
  const random = new Random(seed);
  const module = new ModuleBuilder();
  const weights = Array.from({ length: 7 }, (_, index) => {
    const dtype = random.chance(0.7) ? 'bf16' : 'f32';
    return module.declareWeight(`layer.${index}.weight`, dtype, [random.pick([4, 4, 6]), 4]);
  });
  for (const name of ['one', 'two']) {
    const f = module.function(name);
    const inputs = [f.input('x', 'f32', ['img', 4]), f.input('y', 'bf16', [1, 'txt', 4])];
    const results: Value[] = [];
    for (const weight of random.shuffle(weights).slice(0, random.integer(2, 7))) {
      const w = f.emitOne('weight', [], { name: weight.name });
      const x = random.pick(inputs);
      const product = f.emitOne('matmul', [x, w], { transposeB: true });
      const result = random.chance(0.5) ? f.emitOne('silu', [product], {}) : product;
      // Two of one input may meet, as gate and up do.
      const other = results.findIndex((value) => equalTypes(value.type, result.type));
      if (other >= 0 && random.chance(0.8)) results[other] = f.emitOne('mul', [results[other] as Value, result], {});
      else results.push(result);
      if (random.chance(0.1)) results.push(f.emitOne('exp', [w], {}));
      if (weight.type.shape[0]?.constant === 4 && random.chance(0.2)) inputs.push(f.emitOne('tanh', [product], {}));
    }
    f.finish(Object.fromEntries(results.map((value, index) => [`r${index}`, value])));
  }
  return module.build();
}

import { Dim } from '../ir/dim.js';
import type { Value, Module } from '../ir/graph/graph.js';
import { type BlockBuilder, ModuleBuilder } from '../ir/graph/builder.js';
import { Random } from './random.js';

/**
 * Graphs like a step loop, which random-graph.ts would rarely hit on: one loop whose body computes with rows of tables,
 * values from outside and what it carries, all of shape [1, 4] or [1, 2, 4].
 */
export function randomSteps(seed: number, size = 12): Module {
  const random = new Random(seed);
  const module = new ModuleBuilder();
  const f = module.function('random');
  module.declareWeight('square', 'bf16', [4, 4]);
  module.declareWeight('row', 'f32', [4]);
  const tables = [f.input('t0', 'f32', ['steps', 4]), f.input('t1', 'f32', ['steps+1', 2, 4])];
  const outer = [
    f.input('x0', 'f32', [1, 4]),
    f.input('x1', 'f32', [1, 2, 4]),
    f.emitOne('weight', [], { name: 'row' }),
  ];
  const square = f.emitOne('weight', [], { name: 'square' });
  const results = f.emitLoop('steps', 'step', [outer[0] as Value, outer[1] as Value], (body, carried) => {
    const start = Dim.symbol('step').add(random.integer(0, 1));
    const pool = [
      ...outer,
      ...carried,
      body.emitOne('slice', [tables[0] as Value], { axis: 0, start: Dim.symbol('step'), size: Dim.of(1) }),
      body.emitOne('slice', [tables[1] as Value], { axis: 0, start, size: Dim.of(1) }),
    ];
    for (let step = 0; step < size; step++) pool.push(addOperation(body, random, pool, square));
    return carried.map((value) => {
      const alike = pool.filter((other) => other.type.shape.length === value.type.shape.length);
      return body.emitOne('tanh', [body.emitOne('add', [value, random.pick(alike)], {})], {});
    });
  });
  f.finish({ a: results[0] as Value, b: results[1] as Value });
  return module.build();
}

/** An operation on values [1, 4], [1, 2, 4] or [4] that gives one of the first two shapes. */
function addOperation(body: BlockBuilder, random: Random, pool: readonly Value[], square: Value): Value {
  const x = random.pick(pool.filter((value) => value.type.shape.length > 1));
  const { shape } = x.type;
  const last = shape.length - 1;
  switch (random.integer(0, 9)) {
    case 0:
      return body.emitOne(random.pick(['silu', 'sin', 'tanh', 'neg']), [x], {});
    case 1:
    case 2:
      return body.emitOne(random.pick(['add', 'sub', 'max']), random.shuffle([x, random.pick(pool)]), {});
    case 3:
      return body.emitOne('matmul', [x, square], { transposeB: random.chance(0.5) });
    case 4:
      return body.emitOne('layer_norm', [x], { eps: 1e-2 });
    case 5: {
      const [a, b] = body.emit('split', [x], { axis: last, sizes: [Dim.of(1), Dim.of(3)] }) as [Value, Value];
      return body.emitOne('concat', [b, a], { axis: last });
    }
    case 6: {
      const flat = body.emitOne('reshape', [x], { shape: last === 1 ? [2, 2].map(Dim.of) : [4, 2].map(Dim.of) });
      return body.emitOne('reshape', [flat], { shape });
    }
    case 7: {
      const mean = body.emitOne('reduce_mean', [x], { axes: [random.integer(0, last)], keepDims: true });
      return body.emitOne('sub', [x, mean], {});
    }
    case 8: {
      const part = body.emitOne('slice', [x], { axis: last, start: Dim.of(random.integer(0, 2)), size: Dim.of(2) });
      return body.emitOne('concat', [part, part], { axis: last });
    }
    default:
      return body.emitOne('softmax', [x], {});
  }
}

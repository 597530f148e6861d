import { describe, expect, it } from 'vitest';
import { hostTensor, patternTensor } from '../../test/run-operation.js';
import { Dim } from '../dim.js';
import type { HostTensor } from '../host-tensor.js';
import { compareTensors } from '../host-tensor.js';
import { ModuleBuilder } from './builder.js';
import type { FunctionBuilder } from './builder.js';
import type { Module, Value } from './graph.js';
import { interpretFunction } from './interpret.js';

function buildModule(build: (f: FunctionBuilder, module: ModuleBuilder) => Readonly<Record<string, Value>>): Module {
  const module = new ModuleBuilder();
  const f = module.function('main');
  f.finish(build(f, module));
  return module.build();
}

function noWeights(name: string): HostTensor {
  throw new Error(`no weight ${name}`);
}

function run(
  module: Module,
  inputs: Readonly<Record<string, HostTensor>>,
  weights = noWeights,
  sizes = {},
): Record<string, HostTensor> {
  return Object.fromEntries(
    interpretFunction(module, 'main', new Map(Object.entries(inputs)), weights, { precision: 'f64', sizes }),
  );
}

describe('a function', () => {
  const linear = buildModule((f, module) => {
    const x = f.input('x', 'f32', ['img', 3]);
    module.declareWeight('w', 'bf16', [2, 3]);
    const w = f.emitOne('weight', [], { name: 'w' });
    const y = f.emitOne('matmul', [x, w], { transposeB: true });
    const [left, right] = f.emit('split', [y], { axis: 1, sizes: [Dim.of(1), Dim.of(1)] }) as [Value, Value];
    return { y, left, right };
  });
  const w = hostTensor('bf16', [2, 3], [1, 0, 0, 0, 1, 1]);

  it('binds sizes, reads weights and names its results', () => {
    const got = run(linear, { x: hostTensor('f32', [2, 3], [1, 2, 3, 4, 5, 6]) }, () => w);
    expect(Object.keys(got)).toEqual(['y', 'left', 'right']);
    expect(got['y']).toEqual(hostTensor('f32', [2, 2], [1, 5, 4, 11]));
    expect(got['left']).toEqual(hostTensor('f32', [2, 1], [1, 4]));
    expect(got['right']).toEqual(hostTensor('f32', [2, 1], [5, 11]));
  });

  it('takes no rows', () => {
    expect(run(linear, { x: hostTensor('f32', [0, 3], []) }, () => w)['y']).toEqual(hostTensor('f32', [0, 2], []));
  });

  it('rounds every result in f32', () => {
    const module = buildModule((f) => {
      const x = f.input('x', 'f32', [1]);
      const sum = f.emitOne('add', [x, f.emitScalar('f32', 2 ** -30)], {});
      return { difference: f.emitOne('sub', [sum, x], {}) };
    });
    const inputs = new Map([['x', hostTensor('f32', [1], [1])]]);
    const value = (precision: 'f32' | 'f64') =>
      interpretFunction(module, 'main', inputs, noWeights, { precision }).get('difference')?.data[0];
    expect(value('f64')).toBe(2 ** -30);
    expect(value('f32')).toBe(0);
  });

  it('refuses what does not fit', () => {
    const x = hostTensor('f32', [2, 3], 0);
    const codeOf = (action: () => unknown) => {
      try {
        action();
      } catch (error) {
        return (error as { code?: string }).code;
      }
      return undefined;
    };
    expect(codeOf(() => interpretFunction(linear, 'other', new Map(), noWeights, { precision: 'f64' }))).toBe('F2C166');
    expect(codeOf(() => run(linear, {}, () => w))).toBe('F2C160');
    expect(codeOf(() => run(linear, { x, extra: x }, () => w))).toBe('F2C160');
    expect(codeOf(() => run(linear, { x: { ...x, dtype: 'f16' } }, () => w))).toBe('F2C164');
    expect(codeOf(() => run(linear, { x: hostTensor('f32', [2, 4], 0) }, () => w))).toBe('F2C162');
    expect(codeOf(() => run(linear, { x }, () => hostTensor('bf16', [3, 2], 0)))).toBe('F2C164');
    expect(codeOf(() => run(linear, { x }, () => hostTensor('f32', [2, 3], 0)))).toBe('F2C164');
    expect(codeOf(() => run(linear, { x }, () => w))).toBeUndefined();
  });
});

describe('loop', () => {
  // x += step-th row of the table, from outside the loop, `steps` times; i counts along.
  const looped = buildModule((f) => {
    const x = f.input('x', 'f32', [1, 2]);
    const table = f.input('table', 'f32', ['steps', 2]);
    const doubled = f.emitOne('add', [table, table], {});
    const one = f.emitScalar('i32', 1);
    const [end, count] = f.emitLoop('steps', 's', [x, f.emitScalar('i32', 0)], (body, [carried, i]) => {
      const row = body.emitOne('slice', [doubled], { axis: 0, start: Dim.of('s'), size: Dim.of(1) });
      return [body.emitOne('add', [carried as Value, row], {}), body.emitOne('add', [i as Value, one], {})];
    }) as [Value, Value];
    return { end, count, x };
  });

  it('binds its symbol and carries values', () => {
    const x = hostTensor('f32', [1, 2], [1, 2]);
    const got = run(looped, { x, table: hostTensor('f32', [3, 2], [1, 2, 3, 4, 5, 6]) });
    expect(got['end']).toEqual(hostTensor('f32', [1, 2], [19, 26]));
    expect(got['count']).toEqual(hostTensor('i32', [], [3]));
    expect(got['x']).toEqual(x);
  });

  it('without an iteration gives back what it got', () => {
    const x = hostTensor('f32', [1, 2], [1, 2]);
    const got = run(looped, { x, table: hostTensor('f32', [0, 2], []) });
    expect(got['end']).toEqual(x);
    expect(got['count']).toEqual(hostTensor('i32', [], [0]));
  });

  it('nests, swaps what it carries and sees the symbols and values of both blocks around it', () => {
    const module = buildModule((f) => {
      const a = f.input('a', 'f32', ['n', 'm']);
      const zero = f.emitScalar('f32', 0);
      const one = f.emitScalar('f32', 1);
      const [sum, other] = f.emitLoop('n', 'i', [zero, one], (outer, [total, swapped]) => {
        const row = outer.emitOne('slice', [a], { axis: 0, start: Dim.of('i'), size: Dim.of(1) });
        const [next] = outer.emitLoop('m', 'j', [total as Value], (inner, [carried]) => {
          const cell = inner.emitOne('slice', [row], { axis: 1, start: Dim.of('j'), size: Dim.of(1) });
          const flat = inner.emitOne('reshape', [cell], { shape: [] });
          return [inner.emitOne('add', [carried as Value, flat], {})];
        });
        return [swapped as Value, next as Value];
      }) as [Value, Value];
      return { sum, other };
    });
    // (t, s) -> (s, t + sum of the row): (0, 1) -> (1, 6) -> (6, 16) -> (16, 30).
    const got = run(module, { a: hostTensor('f32', [3, 3], [1, 2, 3, 4, 5, 6, 7, 8, 9]) });
    expect(got['sum']?.data[0]).toBe(16);
    expect(got['other']?.data[0]).toBe(30);
  });

  it('takes its count from the options when no input has it', () => {
    const module = buildModule((f) => {
      const x = f.input('x', 'f32', []);
      const [y] = f.emitLoop('steps', 's', [x], (body, [carried]) => [
        body.emitOne('add', [carried as Value, carried as Value], {}),
      ]);
      return { y: y as Value };
    });
    expect(run(module, { x: hostTensor('f32', [], [1]) }, noWeights, { steps: 5 })['y']?.data[0]).toBe(32);
    expect(() => run(module, { x: hostTensor('f32', [], [1]) })).toThrow(expect.objectContaining({ code: 'F2C102' }));
  });
});

it('runs the body of a fused operation', () => {
  const module = buildModule((f) => {
    const x = f.input('x', 'f32', ['n']);
    const [y, z] = f.emitFused('map', [x, x], (body, [a, b]) => {
      const square = body.emitOne('mul', [a as Value, b as Value], {});
      return [square, body.emitOne('neg', [square], {})];
    }) as [Value, Value];
    return { y, z };
  });
  const got = run(module, { x: hostTensor('f32', [2], [3, -4]) });
  expect(got['y']).toEqual(hostTensor('f32', [2], [9, 16]));
  expect(got['z']).toEqual(hostTensor('f32', [2], [-9, -16]));
});

it('shows every value, those of each iteration too', () => {
  const module = buildModule((f) => {
    const x = f.input('x', 'f32', []);
    const [y] = f.emitLoop(
      2,
      's',
      [x],
      (body, [carried]) => [body.emitOne('add', [carried as Value, carried as Value], {}, 'twice')],
      ['c'],
    );
    return { y: y as Value };
  });
  const seen: [string, number][] = [];
  const onValue = (value: Value, tensor: HostTensor) => void seen.push([value.name, tensor.data[0] as number]);
  interpretFunction(module, 'main', new Map([['x', hostTensor('f32', [], [1])]]), noWeights, {
    precision: 'f64',
    onValue,
  });
  expect(seen.map(([, number]) => number)).toEqual([1, 1, 2, 2, 4, 4]);
  expect(seen.map(([name]) => name).filter((name) => name.startsWith('twice'))).toEqual(['twice', 'twice']);
});

it('computes attention from its parts and as one operation alike', () => {
  const module = buildModule((f) => {
    const [q, k, v] = ['q', 'k', 'v'].map((name) => f.input(name, 'f32', [1, 2, 'img+txt', 8])) as [
      Value,
      Value,
      Value,
    ];
    const whole = f.emitOne('attention', [q, k, v], { scale: 0.5, causal: false });
    const scores = f.emitOne('mul', [f.emitOne('matmul', [q, k], { transposeB: true }), f.emitScalar('f32', 0.5)], {});
    const parts = f.emitOne('matmul', [f.emitOne('softmax', [scores], {}), v], { transposeB: false });
    return { whole, parts };
  });
  const [q, k, v] = [1, 2, 3].map((seed) => patternTensor('f32', [1, 2, 9, 8], seed)) as [
    HostTensor,
    HostTensor,
    HostTensor,
  ];
  const got = run(module, { q, k, v }, noWeights, { img: 5 });
  expect(compareTensors(got['whole'] as HostTensor, got['parts'] as HostTensor).maxAbs).toBeLessThan(1e-15);
});

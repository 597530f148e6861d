import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isFloat } from '../ir/dtype.js';
import { opKinds } from '../ir/graph/attribute-forms.js';
import type { Block } from '../ir/graph/graph.js';
import { equalModules } from '../ir/graph/equal.js';
import { interpretFunction, type InterpretOptions } from '../ir/graph/interpret.js';
import { parseModule } from '../ir/graph/parse.js';
import { printModule } from '../ir/graph/print.js';
import { findProblems } from '../ir/graph/verify.js';
import type { HostTensor } from '../ir/host-tensor.js';
import { randomGraph, type RandomGraph } from './random-graph.js';

const seeds = fc.record({ seed: fc.nat(), size: fc.integer({ min: 1, max: 25 }) });

function countKinds(block: Block, counts: Map<string, number>): void {
  for (const operation of block.operations) {
    counts.set(operation.kind, (counts.get(operation.kind) ?? 0) + 1);
    if (operation.body !== undefined) countKinds(operation.body, counts);
  }
}

/** Graphs that once had a floor or a comparison on numbers that rounding moves across the step. */
const steppingSeeds: [{ seed: number; size: number }][] = [
  [{ seed: 603492318, size: 21 }],
  [{ seed: 1050523173, size: 25 }],
  [{ seed: 209298530, size: 5 }],
  [{ seed: 553736642, size: 25 }],
];

type Precision = InterpretOptions['precision'];

/** Every value that is made, by name; the same name again for every iteration of a loop. */
function interpret({ module, inputs, weights }: RandomGraph, precision: Precision): readonly [string, HostTensor][] {
  const read = (name: string): HostTensor => weights.get(name) as HostTensor;
  const made: [string, HostTensor][] = [];
  const onValue: InterpretOptions['onValue'] = ({ name }, tensor) => void made.push([name, tensor]);
  interpretFunction(module, 'random', inputs, read, { precision, onValue });
  return made;
}

function expectRoundTrip(seed: number, size: number): void {
  const { module } = randomGraph(seed, { size, dtypes: ['f32', 'bf16', 'f16'] });
  expect(findProblems(module)).toEqual([]);
  const text = printModule(module);
  const parsed = parseModule(text);
  expect(printModule(parsed)).toBe(text);
  expect(equalModules(parsed, module)).toBe(true);
  expect(findProblems(parsed)).toEqual([]);
}

describe('randomGraph', () => {
  it('makes graphs that verify, print and parse', () => {
    fc.assert(
      fc.property(seeds, ({ seed, size }) => expectRoundTrip(seed, size)),
      { numRuns: 60, seed: 1 },
    );
  });

  it('prints and parses a scalar f32 constant as a result beside a bf16 weight', () => expectRoundTrip(20, 19));

  it('makes numbers that stay tame', () => {
    fc.assert(
      fc.property(seeds, ({ seed, size }) => {
        for (const [, { dtype, data }] of interpret(randomGraph(seed, { size }), 'f32')) {
          expect(data.every((value) => Math.abs(value) <= (isFloat(dtype) ? 1e4 : 100))).toBe(true);
        }
      }),
      { numRuns: 40, seed: 1 },
    );
  });

  it('takes no step on numbers that rounding could move across it', () => {
    fc.assert(
      fc.property(seeds, ({ seed, size }) => {
        const graph = randomGraph(seed, { size });
        const steps = (precision: Precision): readonly [string, HostTensor][] =>
          interpret(graph, precision).filter(([name, { dtype }]) => !isFloat(dtype) || name.startsWith('floor'));
        expect(steps('f32')).toEqual(steps('f64'));
      }),
      { numRuns: 60, seed: 1, examples: steppingSeeds },
    );
  });

  it('makes the same graph from the same seed, and its beginning from a smaller size', () => {
    const [graph, again, smaller] = [randomGraph(7), randomGraph(7), randomGraph(7, { size: 6 })];
    expect(printModule(again.module)).toBe(printModule(graph.module));
    const lines = printModule(graph.module).split('\n');
    const operations = printModule(smaller.module)
      .split('\n')
      .filter((line) => line.startsWith('  %'));
    expect(operations.length).toBeGreaterThan(2);
    expect(operations.every((line) => lines.includes(line))).toBe(true);
  });

  it('comes to every operation', () => {
    const counts = new Map<string, number>();
    for (let seed = 0; seed < 60; seed++) {
      for (const { body } of randomGraph(seed, { size: 25 }).module.functions.values()) countKinds(body, counts);
    }
    expect(opKinds.filter((kind) => (counts.get(kind) ?? 0) < 2)).toEqual([]);
  });

  it('keeps to the operations asked for', () => {
    const counts = new Map<string, number>();
    for (let seed = 0; seed < 5; seed++) {
      const { module } = randomGraph(seed, { ops: ['transpose', 'reshape', 'concat'], size: 20 });
      for (const { body } of module.functions.values()) countKinds(body, counts);
    }
    const allowed = ['transpose', 'reshape', 'concat', 'weight', 'constant'];
    expect([...counts.keys()].filter((kind) => !allowed.includes(kind))).toEqual([]);
  });
});

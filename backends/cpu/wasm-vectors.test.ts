/** What addresses of vectors and sums of lanes become, held against the interpreter. */
import { describe, expect, it } from 'vitest';
import {
  add,
  binary,
  builtin,
  f32,
  i32,
  integer,
  multiply,
  parameter,
  register,
  vectorOf,
} from '../../ir/kernel/expressions.js';
import { runThreadKernel } from '../../ir/kernel/thread-interpret.js';
import type { Expression, Statement, ThreadKernel } from '../../ir/kernel/thread.js';
import { buffer, bytesOf, letIn, load, loop, pseudoRandom, store } from '../../test/device-cases.js';
import { runWasm } from '../../test/run-wasm.js';

const f32x4 = vectorOf('f32', 4);
const local = builtin('local_index');
const x = buffer('x', 'f32', 4);
const y = buffer('y', 'f32', 4, 'write');

/** Bits of `y` (8 vectors) after one workgroup, by WebAssembly and by the interpreter. */
function runBoth(kernel: ThreadKernel, parameters: Readonly<Record<string, number>>): readonly [number[], number[]] {
  const input = pseudoRandom(256, 3);
  const [found, wanted] = [new Float32Array(32), new Float32Array(32)];
  const values = Int32Array.from(kernel.parameters, (name) => parameters[name] ?? 0);
  runWasm(kernel, [bytesOf(input), new Uint8Array(found.buffer)], values, [1, 1, 1]);
  runThreadKernel(kernel, { x: input, y: wanted }, parameters, [1, 1, 1]);
  return [[...found], [...wanted]];
}

function kernelOf(body: readonly Statement[], parameters: readonly string[] = [], workgroupSize = 8): ThreadKernel {
  return { phase: 'thread', name: 'vectors', buffers: [x, y], parameters, workgroupSize, shared: [], body };
}

const shiftedBy = (index: Expression, bits: number): Expression => binary('shift_right', index, integer(bits));

describe('addresses of vectors', () => {
  it.each<[string, Expression]>([
    ['a multiple', multiply(local, integer(4))],
    ['a multiple and a base', add(multiply(local, integer(8)), parameter('x_base'))],
    ['no multiple', add(multiply(local, integer(4)), integer(3))],
    ['no multiple of its own', multiply(local, integer(3))],
    ['a parameter that is none', add(multiply(local, integer(4)), parameter('offset'))],
    ['a smaller one', binary('min', multiply(local, integer(4)), integer(12))],
    ['a smaller one that is none', binary('min', multiply(local, integer(4)), integer(13))],
    ['one of others', binary('xor', multiply(local, integer(4)), integer(8))],
  ])('are quotients of %s', (_, index) => {
    const kernel = kernelOf(
      [letIn('q', shiftedBy(index, 2)), store('y', local, load('x', register('q', i32), f32x4))],
      ['x_base', 'offset'],
    );
    const [found, wanted] = runBoth(kernel, { x_base: 16, offset: 7 });
    expect(found).toEqual(wanted);
  });

  it('are quotients in loops, with something added, and of more than a vector', () => {
    const k = register('k', i32);
    const sum: Expression = register('sum', f32x4);
    for (const [step, bits, more] of [
      [4, 2, 0],
      [4, 2, 5],
      [2, 2, 0],
      [8, 5, 1],
      [4, 3, 2],
    ] as const) {
      const kernel = kernelOf([
        { kind: 'var', name: 'sum', type: f32x4, value: load('x', local, f32x4) },
        loop(
          'k',
          integer(64),
          [
            letIn('q', shiftedBy(add(multiply(local, integer(8)), k), bits)),
            {
              kind: 'assign',
              name: 'sum',
              value: binary('add', sum, load('x', add(register('q', i32), integer(more)), f32x4)),
            },
          ],
          step,
        ),
        store('y', local, sum),
      ]);
      const [found, wanted] = runBoth(kernel, {});
      expect(found, `${step} ${bits} ${more}`).toEqual(wanted);
    }
  });
});

describe('sums of lanes', () => {
  const lane = (name: string, place: number): Expression => ({
    kind: 'lane',
    operand: register(name, f32x4),
    lane: place,
  });
  const fold = (name: string, operator: 'add' | 'max', order: readonly number[] = [0, 2, 1, 3]): Expression => {
    const [a, b, c, d] = order.map((place) => lane(name, place)) as [Expression, Expression, Expression, Expression];
    return binary(operator, binary(operator, a, b), binary(operator, c, d));
  };
  const declare = (name: string, at: number): Statement => ({
    kind: 'var',
    name,
    type: f32x4,
    value: load('x', add(local, integer(at)), f32x4),
  });
  const change = (name: string): Statement => ({
    kind: 'assign',
    name,
    value: binary('mul', register(name, f32x4), load('x', local, f32x4)),
  });
  const names = ['a', 'b', 'c', 'd'];
  const declared = names.map((name, at) => declare(name, 5 * at));
  const sums = names.map((name) => letIn(`sum_${name}`, fold(name, 'add')));
  const vector: Expression = { kind: 'vector', parts: names.map((name) => register(`sum_${name}`, f32)) };
  const pair: Expression = { kind: 'vector', parts: vector.kind === 'vector' ? vector.parts.slice(1, 3) : [] };
  const spread: Expression = { kind: 'vector', parts: [pair, pair] };

  it.each<[string, readonly Statement[]]>([
    ['in vectors of four', [...declared, ...sums, store('y', local, vector)]],
    ['in vectors of two', [...declared, ...sums, store('y', local, spread)]],
    ['of a vector that changes afterwards', [...declared, ...sums, change('b'), store('y', local, vector)]],
    [
      'of a vector that changes in a branch afterwards',
      [
        ...declared,
        ...sums,
        { kind: 'if', condition: binary('less', local, integer(3)), then: [change('c')] },
        store('y', local, vector),
      ],
    ],
    [
      'outside of a loop that changes a vector',
      [...declared, ...sums, loop('k', integer(3), [store('y', local, vector), change('d')])],
    ],
    ['in a loop', [...declared, loop('k', integer(3), [change('a'), ...sums, store('y', local, vector)])]],
    [
      'of other lanes, and largest ones',
      [
        ...declared,
        letIn('sum_a', fold('a', 'add', [0, 1, 2, 3])),
        letIn('sum_b', fold('b', 'max')),
        letIn('sum_c', binary('max', register('sum_a', f32), lane('c', 1))),
        letIn('sum_d', binary('min', fold('d', 'add'), register('sum_a', f32))),
        store('y', local, vector),
      ],
    ],
  ])('are those of the interpreter: %s', (_, body) => {
    const [found, wanted] = runBoth(kernelOf(body), {});
    expect(found).toEqual(wanted);
    expect(new Set(found).size).toBeGreaterThan(8);
  });
});

describe('workgroup memory of one invocation', () => {
  it('is written and read, one array beside the other', () => {
    const k = register('k', i32);
    const kernel: ThreadKernel = {
      ...kernelOf(
        [
          loop('k', integer(8), [
            { kind: 'store_shared', array: 'first', index: k, value: load('x', multiply(k, integer(3)), f32x4) },
            {
              kind: 'store_shared',
              array: 'counts',
              index: k,
              value: add(multiply(k, integer(5)), integer(1)),
            },
          ]),
          loop('k', integer(8), [
            letIn('count', { kind: 'load_shared', array: 'counts', index: binary('sub', integer(7), k), type: i32 }),
            letIn('at', binary('mod', register('count', i32), integer(8))),
            store('y', k, { kind: 'load_shared', array: 'first', index: register('at', i32), type: f32x4 }),
          ]),
        ],
        [],
        1,
      ),
      shared: [
        { name: 'counts', type: i32, length: 9 },
        { name: 'first', type: f32x4, length: 8 },
      ],
    };
    const [found, wanted] = runBoth(kernel, {});
    expect(found).toEqual(wanted);
    expect(new Set(found).size).toBeGreaterThan(8);
  });
});

import { describe, expect, it } from 'vitest';
import { codeOf } from '../../test/code-of.js';
import { bf16ToF32, f32ToBf16 } from '../dtype.js';
import {
  add,
  binary,
  builtin,
  constant,
  convert,
  divide,
  f32,
  float,
  i32,
  integer,
  lane,
  lessThan,
  modulo,
  multiply,
  multiplyAdd,
  parameter,
  register,
  select,
  splat,
  subtract,
  u32,
  unary,
  vectorOf,
} from './expressions.js';
import type { Expression, RegisterType, Statement, ThreadKernel } from './thread.js';
import { compileThreadKernel, runThreadKernel } from './thread-interpret.js';

const f32x4 = vectorOf('f32', 4);
const local = builtin('local_index');

function kernelOf(body: readonly Statement[], more: Partial<ThreadKernel> = {}): ThreadKernel {
  return {
    phase: 'thread',
    name: 'tested',
    buffers: [
      { name: 'x', storage: 'f32', lanes: 1, access: 'read' },
      { name: 'y', storage: 'f32', lanes: 1, access: 'write' },
    ],
    parameters: [],
    workgroupSize: 4,
    shared: [],
    body,
    ...more,
  };
}

function store(value: Expression, index: Expression = local): Statement {
  return { kind: 'store', buffer: 'y', index, value };
}

function loadX(index: Expression): Expression {
  return { kind: 'load', buffer: 'x', index, type: f32 };
}

/** y after one workgroup, x being 0, 1, 2, ... */
function runY(body: readonly Statement[], more: Partial<ThreadKernel> = {}): number[] {
  const y = new Float32Array(8);
  runThreadKernel(kernelOf(body, more), { x: Float32Array.from({ length: 8 }, (_, at) => at), y }, {}, [1, 1, 1]);
  return [...y.slice(0, 4)];
}

describe('runThreadKernel', () => {
  it('rounds to f32 after every operation', () => {
    const tenth = float(0.1);
    expect(runY([store(add(multiply(tenth, tenth), tenth))])[0]).toBe(
      Math.fround(Math.fround(Math.fround(0.1) * Math.fround(0.1)) + Math.fround(0.1)),
    );
    expect(runY([store(subtract(add(float(16777216), float(1)), float(16777216)))])[0]).toBe(0);
  });

  it('computes in i32, u32 and bool', () => {
    const number = (value: Expression): Statement => store(convert(value, 'f32'));
    expect(runY([number(divide(subtract(local, integer(7)), integer(2)))])).toEqual([-3, -3, -2, -2]);
    expect(runY([number(modulo(add(local, integer(7)), integer(4)))])).toEqual([3, 0, 1, 2]);
    expect(runY([number(binary('mul', add(local, integer(65536)), integer(65536)))])).toEqual([
      0, 65536, 131072, 196608,
    ]);
    expect(runY([number(binary('shift_right', constant(0x80000000, u32), constant(31, u32)))])[0]).toBe(1);
    expect(runY([number(unary('not', lessThan(local, integer(2))))])).toEqual([0, 0, 1, 1]);
    expect(runY([number(convert(float(-2.7), 'i32'))])[0]).toBe(-2);
    expect(runY([store({ kind: 'bitcast', to: 'f32', operand: add(local, integer(0x3f800000)) })])[1]).toBe(
      1 + 2 ** -23,
    );
  });

  it('handles lanes, selection and branches for each invocation alone', () => {
    const vector: Statement = {
      kind: 'let',
      name: 'v',
      type: f32x4,
      value: { kind: 'vector', parts: [loadX(local), float(10), loadX(add(local, integer(1))), float(30)] },
    };
    const v = register('v', f32x4);
    expect(runY([vector, store({ kind: 'dot', a: v, b: splat(float(1), 4) })])).toEqual([41, 43, 45, 47]);
    expect(runY([vector, store(lane({ kind: 'shuffle', operand: v, lanes: [2, 0] }, 0))])).toEqual([1, 2, 3, 4]);
    expect(runY([store(select(lessThan(local, integer(2)), float(1), float(2)))])).toEqual([1, 1, 2, 2]);
    expect(
      runY([
        { kind: 'var', name: 's', type: f32, value: float(0) },
        {
          kind: 'for',
          variable: 'k',
          start: integer(0),
          end: local,
          step: 1,
          body: [
            {
              kind: 'if',
              condition: lessThan(register('k', i32), integer(2)),
              then: [{ kind: 'assign', name: 's', value: add(register('s', f32), float(1)) }],
              otherwise: [{ kind: 'assign', name: 's', value: add(register('s', f32), float(10)) }],
            },
          ],
        },
        store(register('s', f32)),
      ]),
    ).toEqual([0, 1, 2, 12]);
  });

  it('shares workgroup memory across a barrier and reduces in subgroups', () => {
    const shared = [{ name: 'tile', type: f32, length: 4 }];
    const read: Expression = { kind: 'load_shared', array: 'tile', index: subtract(integer(3), local), type: f32 };
    const write: Statement = { kind: 'store_shared', array: 'tile', index: local, value: loadX(local) };
    expect(runY([write, { kind: 'barrier' }, store(read)], { shared })).toEqual([3, 2, 1, 0]);
    expect(codeOf(() => runY([write, store(read)], { shared }))).toBe('F2C244');
    expect(codeOf(() => runY([store(read), write], { shared }))).toBe('F2C244');
    expect(runY([store(read)], { shared })).toEqual([NaN, NaN, NaN, NaN]);
    const x = loadX(local);
    expect(runY([store({ kind: 'subgroup_reduce', operator: 'add', operand: x })], { subgroupSize: 2 })).toEqual([
      1, 1, 5, 5,
    ]);
    expect(runY([store({ kind: 'subgroup_broadcast', operand: x, source: 1 })], { subgroupSize: 2 })).toEqual([
      1, 1, 3, 3,
    ]);
  });

  it('widens and rounds 16-bit storage and adds the origin to workgroup numbers', () => {
    const kernel = kernelOf(
      [
        {
          kind: 'store',
          buffer: 'y',
          index: add(multiply(builtin('workgroup_x'), integer(4)), local),
          value: multiplyAdd(
            { kind: 'load', buffer: 'x', index: local, type: f32x4 },
            splat(float(1.01), 4),
            float(0, 4),
          ),
        },
      ],
      {
        buffers: [
          { name: 'x', storage: 'bf16', lanes: 4, access: 'read' },
          { name: 'y', storage: 'bf16', lanes: 4, access: 'write' },
        ],
        parameters: ['origin_x'],
      },
    );
    const x = Uint16Array.from({ length: 16 }, (_, at) => f32ToBf16(at + 0.5));
    const y = new Uint16Array(32);
    runThreadKernel(kernel, { x, y }, { origin_x: 1 }, [1, 1, 1]);
    expect(y[0]).toBe(0);
    expect(y[16 + 5]).toBe(f32ToBf16(Math.fround(bf16ToF32(x[5] as number) * Math.fround(1.01))));
  });

  it('reports what a device leaves undefined', () => {
    const outside = lessThan(local, integer(2));
    expect(codeOf(() => runY([store(loadX(add(local, integer(5))))]))).toBe('F2C240');
    expect(codeOf(() => runY([store(float(1), subtract(local, integer(1)))]))).toBe('F2C241');
    expect(codeOf(() => runY([{ kind: 'if', condition: outside, then: [{ kind: 'barrier' }] }]))).toBe('F2C243');
    expect(codeOf(() => runY([store(convert(divide(integer(3), local), 'f32'))]))).toBe('F2C246');
    expect(
      codeOf(() =>
        runY(
          [
            {
              kind: 'if',
              condition: lessThan(local, integer(1)),
              then: [store({ kind: 'subgroup_reduce', operator: 'add', operand: loadX(local) })],
            },
          ],
          { subgroupSize: 2 },
        ),
      ),
    ).toBe('F2C247');
    const shared = [{ name: 'tile', type: f32, length: 3 }];
    expect(
      codeOf(() => runY([{ kind: 'store_shared', array: 'tile', index: local, value: float(1) }], { shared })),
    ).toBe('F2C242');
    expect(codeOf(() => runThreadKernel(kernelOf([]), { x: new Float32Array(1) }, {}, [1, 1, 1]))).toBe('F2C245');
    expect(codeOf(() => runY([], { parameters: ['n'] }))).toBe('F2C245');
  });

  it('names the invocation in the message', () => {
    expect(() => runY([store(loadX(add(local, integer(5))))])).toThrow(
      expect.objectContaining({
        detail: expect.objectContaining({
          where: ['kernel @tested', 'buffer x'],
          found: '8, invocation 3 of workgroup (0, 0, 0)',
        }) as unknown,
      }) as Error,
    );
  });

  it('runs a million fused products', () => {
    const acc = register('acc', f32x4);
    const type: RegisterType = f32x4;
    const step: Statement = { kind: 'assign', name: 'acc', value: multiplyAdd(acc, float(0.5, 4), float(1, 4)) };
    const kernel = kernelOf(
      [
        { kind: 'var', name: 'acc', type, value: float(0, 4) },
        {
          kind: 'for',
          variable: 'k',
          start: integer(0),
          end: parameter('n'),
          step: 1,
          body: new Array<Statement>(16).fill(step),
        },
        store(lane(acc, 0)),
      ],
      { workgroupSize: 64, parameters: ['n'] },
    );
    const run = compileThreadKernel(kernel);
    const y = new Float32Array(64);
    run({ x: new Float32Array(1), y }, { n: 256 }, [1, 1, 1]);
    expect(y[0]).toBe(2);
  });
});

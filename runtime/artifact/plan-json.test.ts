import { describe, expect, it } from 'vitest';
import { parseStrictJson } from '../../frontend/checkpoint/strict-json.js';
import { Dim } from '../../ir/dim.js';
import type { Plan } from '../../ir/plan.js';
import { decodePlan, encodePlan } from './plan-json.js';

const d = (text: string | number): Dim => Dim.of(text);
const plan: Plan = {
  name: 'denoise',
  inputs: [{ name: 'x', dtype: 'f32', shape: [d('batch'), d('4*h*w-1')], storage: 0 }],
  results: [{ name: 'y', dtype: 'f32', shape: [d(3)], storage: 1 }],
  storages: [
    { id: 0, kind: 'input', storage: 'f32', size: d('batch'), label: 'x' },
    { id: 1, kind: 'result', storage: 'f32', size: d(3), label: 'y' },
    { id: 2, kind: 'weight', storage: 'bf16', size: d(6), label: 'w', weight: 'w' },
    { id: 3, kind: 'host', storage: 'i32', size: d(2), label: 'ids' },
  ],
  weights: [
    {
      name: 'w',
      type: { dtype: 'bf16', shape: [d(6)] },
      source: {
        kind: 'interleave_rows',
        group: 1,
        parts: [
          { shape: [3], source: { kind: 'tensor', tensor: 'a' } },
          {
            shape: [3],
            source: {
              kind: 'permute',
              of: {
                shape: [3],
                source: {
                  kind: 'slice_rows',
                  of: { shape: [4], source: { kind: 'concat_rows', parts: [] } },
                  start: 1,
                },
              },
              permutation: [0],
            },
          },
        ],
      },
    },
  ],
  steps: [
    {
      kind: 'host',
      operation: 'slice',
      attributes: { axis: 0, start: d('2*step'), size: d(2) },
      operands: [
        { kind: 'storage', storage: 0, dtype: 'f32', shape: [d('batch')] },
        { kind: 'constant', dtype: 'f32', shape: [d(4)], values: [-Infinity, -0, NaN, 0.1] },
      ],
      results: [{ storage: 3, dtype: 'i32', shape: [d(2)] }],
    },
    {
      kind: 'loop',
      count: d('steps'),
      symbol: 'step',
      carried: [{ name: 'x', dtype: 'f32', shape: [], storage: 1 }],
      steps: [
        {
          kind: 'launch',
          kernel: 'k',
          label: 'single.3.linear1',
          bindings: [
            { storage: 2, offset: d(0), access: 'read', span: d(6) },
            { storage: 1, offset: d('step'), access: 'write', span: d(3) },
          ],
          parameters: [{ name: 'p0', value: d('h*w') }],
          grid: [
            { extent: d('h'), tile: 32 },
            { extent: d(1), tile: 1 },
            { extent: d(1), tile: 1 },
          ],
          flop: d('2*h*w'),
          bytes: d(12),
        },
        { kind: 'copy', from: { storage: 1, offset: d(0) }, to: { storage: 3, offset: d(1) }, size: d(1), label: 'c' },
      ],
    },
  ],
};

const read = (text: string): Plan =>
  decodePlan(parseStrictJson(new TextEncoder().encode(text), 'plan', 'F2C530', { depth: 64, values: 10000 }), 'plan');

describe('encodePlan and decodePlan', () => {
  it('give the same plan back', () => {
    expect(read(encodePlan(plan))).toEqual(plan);
    expect(read(encodePlan(read(encodePlan(plan))))).toEqual(plan);
  });

  it.each([
    ['"storage": 3', '"storage": 4'],
    ['"kind": "launch"', '"kind": "lunch"'],
    ['"4*h*w-1"', '"4*h**w"'],
    ['"4*h*w-1"', `"${'h*'.repeat(1500)}h"`],
    ['"dtype": "bf16"', '"dtype": "bf17"'],
    ['"tile": 32', '"tile": -32'],
    ['"kernel": "k"', '"kernel": 5'],
    ['"symbol": "step"', '"simbol": "step"'],
    ['"id": 1', '"id": 2'],
    ['"operation": "slice"', '"operation": "constructor"'],
    ['"steps": [', '"steps": {"a": ['],
  ])('refuse %s as %s', (good, bad) => {
    const text = encodePlan(plan);
    expect(text).toContain(good);
    expect(() => read(text.replace(good, bad))).toThrowError(expect.objectContaining({ code: 'F2C530' }) as Error);
  });

  it('reads quantised rows of artifacts that knew one type of them', () => {
    const of = { shape: [2, 4], source: { kind: 'tensor', tensor: 'a' } } as const;
    const declared = (dtype: 'f8e4m3' | 'i8'): Plan => ({
      ...plan,
      weights: [{ name: 'w', type: { dtype, shape: [d(2), d(4)] }, source: { kind: 'quantize_rows', of, dtype } }],
    });
    const text = encodePlan(declared('f8e4m3'));
    const old = text.replace(/,\s*"dtype": "f8e4m3"(?=\s*}\s*}\s*])/, '');
    expect(old).not.toBe(text);
    expect(read(old)).toEqual(declared('f8e4m3'));
    expect(read(encodePlan(declared('i8')))).toEqual(declared('i8'));
    expect(() => read(encodePlan(declared('i8')).replace('"dtype": "i8"\n', '"dtype": "i4"\n'))).toThrow();
  });
});

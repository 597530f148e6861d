import { describe, expect, it } from 'vitest';
import { Dim } from '../../../ir/dim.js';
import type { Block, Operation, Value } from '../../../ir/graph/graph.js';
import type { KernelGroup, MemoryLayout } from './group.js';
import { groupKey } from './group-key.js';

const value = (name: string, ...shape: (string | number)[]): Value => ({
  name,
  type: { dtype: 'f32', shape: shape.map((dim) => Dim.of(dim)) },
});

const layout = (overrides: Partial<MemoryLayout> = {}): MemoryLayout => ({
  storage: 'f32',
  shape: [Dim.of('img'), Dim.of(8)],
  strides: [Dim.of(8), Dim.of(1)],
  alignment: 8,
  ...overrides,
});

/** `max(x, number)` over f32[img, 8], with values called by `prefix`. */
function clamp(prefix: string, number: number, kind: 'max' | 'min' = 'max'): Block {
  const [x, bound, y] = [value(`${prefix}.x`, 'img', 8), value(`${prefix}.bound`), value(`${prefix}.y`, 'img', 8)];
  const constant: Operation = {
    kind: 'constant',
    operands: [],
    attributes: { dtype: 'f32', shape: [], values: [number] },
    results: [bound],
  };
  const operation: Operation = { kind, operands: [x, bound], attributes: {}, results: [y] };
  return { parameters: [x], operations: [constant, operation], results: [y] };
}

const group = (body: Block, operand: MemoryLayout = layout(), result: MemoryLayout = layout()): KernelGroup => {
  return { anchor: 'map', body, operands: [operand], results: [result] };
};

describe('groupKey', () => {
  const key = groupKey(group(clamp('blocks.0', 0.5)));

  it('is the same whatever values are called', () => {
    expect(groupKey(group(clamp('blocks.41', 0.5)))).toBe(key);
  });

  it('tells apart what makes another kernel', () => {
    const others = [
      group(clamp('blocks.0', 0.5, 'min')),
      { ...group(clamp('blocks.0', 0.5)), anchor: 'row' } as const,
      group(clamp('blocks.0', 0.5), layout({ storage: 'bf16' })),
      group(clamp('blocks.0', 0.5), layout({ alignment: 4 })),
      group(clamp('blocks.0', 0.5), layout({ strides: [Dim.of(16), Dim.of(1)] })),
      group(clamp('blocks.0', 0.5), layout(), layout({ shape: [Dim.of('txt'), Dim.of(8)] })),
    ];
    for (const other of others) expect(groupKey(other)).not.toBe(key);
  });

  it('tells apart numbers that JSON writes alike', () => {
    const keys = [0, -0, Infinity, -Infinity, NaN].map((number) => groupKey(group(clamp('b', number))));
    expect(new Set(keys).size).toBe(5);
  });

  it('tells apart which operand is which', () => {
    const swap = ({ operations: [constant, operation], ...rest }: Block): Block => {
      const operands = [...operation!.operands].reverse();
      return { ...rest, operations: [constant!, { ...operation!, operands } as Operation] };
    };
    expect(groupKey(group(swap(clamp('b', 0.5))))).not.toBe(key);
  });
});

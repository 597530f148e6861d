import { describe, expect, it } from 'vitest';
import {
  add,
  both,
  bool,
  constant,
  convert,
  divide,
  f32,
  float,
  i32,
  integer,
  lane,
  lessThan,
  maximum,
  minimum,
  modulo,
  multiply,
  multiplyAdd,
  parameter,
  register,
  select,
  splat,
  subtract,
  typeName,
  typeOf,
  u32,
  vectorOf,
} from './expressions.js';

const x = register('x', i32);
const v = register('v', vectorOf('f32', 4));

describe('typeOf', () => {
  it('follows operands through every kind of expression', () => {
    const cases = [
      [lessThan(x, integer(2)), 'bool'],
      [multiplyAdd(v, v, v), 'f32x4'],
      [convert(v, 'i32'), 'i32x4'],
      [{ kind: 'bitcast', to: 'u32', operand: v } as const, 'u32x4'],
      [splat(register('y', f32), 2), 'f32x2'],
      [lane(v, 3), 'f32'],
      [{ kind: 'shuffle', operand: v, lanes: [1, 0] } as const, 'f32x2'],
      [{ kind: 'vector', parts: [x, x, x, x] } as const, 'i32x4'],
      [{ kind: 'dot', a: v, b: v } as const, 'f32'],
      [select(lessThan(x, x), v, v), 'f32x4'],
      [parameter('tokens'), 'i32'],
    ] as const;
    for (const [expression, name] of cases) expect(typeName(typeOf(expression))).toBe(name);
  });
});

describe('folding', () => {
  it('folds integer arithmetic on constants', () => {
    expect(add(integer(2), integer(3))).toEqual(integer(5));
    expect(subtract(integer(2), integer(3))).toEqual(integer(-1));
    expect(multiply(integer(65536), integer(65536))).toEqual(integer(0));
    expect(divide(integer(7), integer(2))).toEqual(integer(3));
    expect(modulo(integer(7), integer(4))).toEqual(integer(3));
    expect(minimum(integer(7), integer(4))).toEqual(integer(4));
    expect(maximum(integer(7), integer(4))).toEqual(integer(7));
    expect(add(constant(4294967295, u32), constant(1, u32))).toEqual(constant(0, u32));
    expect(lessThan(integer(1), integer(2))).toEqual(constant(1, bool));
  });

  it('removes neutral elements and gathers constant summands', () => {
    expect(add(x, integer(0))).toBe(x);
    expect(multiply(integer(1), x)).toBe(x);
    expect(multiply(x, integer(0))).toEqual(integer(0));
    expect(divide(x, integer(1))).toBe(x);
    expect(modulo(x, integer(1))).toEqual(integer(0));
    expect(add(add(x, integer(1)), integer(2))).toEqual(add(x, integer(3)));
    expect(both(constant(1, bool), lessThan(x, x))).toEqual(lessThan(x, x));
    expect(select(constant(0, bool), x, integer(3))).toEqual(integer(3));
    expect(convert(x, 'i32')).toBe(x);
    expect(lane(splat(x, 4), 2)).toBe(x);
  });

  it('leaves division by zero and float sums as written', () => {
    expect(divide(integer(1), integer(0)).kind).toBe('binary');
    expect(add(float(0), float(1)).kind).toBe('binary');
  });
});

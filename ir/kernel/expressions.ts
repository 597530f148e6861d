import { unreachable } from '../diagnostics.js';
import type {
  BinaryOperator,
  BufferParameter,
  Builtin,
  Expression,
  RegisterType,
  ScalarType,
  UnaryOperator,
} from './thread.js';

/** Scalar register types, lanes 1. */
export const i32: RegisterType = { scalar: 'i32', lanes: 1 };
export const u32: RegisterType = { scalar: 'u32', lanes: 1 };
export const f32: RegisterType = { scalar: 'f32', lanes: 1 };
export const bool: RegisterType = { scalar: 'bool', lanes: 1 };

/** `scalar` with 1, 2 or 4 lanes. */
export function vectorOf(scalar: ScalarType, lanes: RegisterType['lanes']): RegisterType {
  return { scalar, lanes };
}

export function sameType(a: RegisterType, b: RegisterType): boolean {
  return a.scalar === b.scalar && a.lanes === b.lanes;
}

/** `f32`, `i32x4`: as the text forms print it. */
export function typeName(type: RegisterType): string {
  return type.lanes === 1 ? type.scalar : `${type.scalar}x${type.lanes}`;
}

/** All lanes of the subgroup must come to it together. */
export function isSubgroupOperation({ kind }: Expression): boolean {
  return kind.startsWith('subgroup_') || kind === 'load_matrix';
}

export function isComparison(operator: BinaryOperator): boolean {
  return operator === 'equal' || operator === 'less' || operator === 'less_equal';
}

/** The type of an expression's value. Total: an ill-typed expression gets the type of its first operand. */
export function typeOf(expression: Expression): RegisterType {
  switch (expression.kind) {
    case 'constant':
    case 'register':
    case 'load':
    case 'load_shared':
      return expression.type;
    case 'parameter':
    case 'builtin':
      return i32;
    case 'unary':
    case 'subgroup_broadcast':
    case 'subgroup_reduce':
    case 'subgroup_exchange':
      return typeOf(expression.operand);
    case 'pack':
      return u32;
    case 'lookup':
    case 'subgroup_lookup':
      return vectorOf('f32', typeOf(expression.operand).lanes);
    case 'load_matrix':
      return vectorOf('u32', 4);
    case 'binary': {
      const type = typeOf(expression.left);
      return isComparison(expression.operator) ? vectorOf('bool', type.lanes) : type;
    }
    case 'fma':
      return typeOf(expression.a);
    case 'select':
      return typeOf(expression.yes);
    case 'convert':
    case 'bitcast':
      return vectorOf(expression.to, typeOf(expression.operand).lanes);
    case 'splat':
      return vectorOf(typeOf(expression.operand).scalar, expression.lanes);
    case 'vector': {
      const types = expression.parts.map(typeOf);
      const lanes = types.reduce((sum, type) => sum + type.lanes, 0);
      return vectorOf(types[0]?.scalar ?? 'f32', laneCount(lanes));
    }
    case 'lane':
      return vectorOf(typeOf(expression.operand).scalar, 1);
    case 'shuffle':
      return vectorOf(typeOf(expression.operand).scalar, laneCount(expression.lanes.length));
    case 'dot':
      return f32;
    case 'dot_bytes':
      return vectorOf('i32', typeOf(expression.a).lanes);
    default:
      return unreachable(expression, 'expression');
  }
}

function laneCount(lanes: number): RegisterType['lanes'] {
  return lanes >= 4 ? 4 : lanes >= 2 ? 2 : 1;
}

/** The type a load from this buffer has in the body. */
export function loadedType(buffer: BufferParameter): RegisterType {
  switch (buffer.storage) {
    case 'f32':
    case 'f16':
    case 'bf16':
    case 'f8e4m3':
      return { scalar: 'f32', lanes: buffer.lanes };
    case 'i8':
    case 'u8':
      return { scalar: 'i32', lanes: buffer.lanes };
    case 'i32':
    case 'u32':
    case 'bool':
      return { scalar: buffer.storage, lanes: buffer.lanes };
  }
}

/** A constant in every lane. */
export function constant(value: number, type: RegisterType): Expression {
  return { kind: 'constant', type, value };
}

/** An i32 constant. */
export function integer(value: number): Expression {
  return constant(value, i32);
}

/** An f32 constant, rounded when it is used. */
export function float(value: number, lanes: RegisterType['lanes'] = 1): Expression {
  return constant(value, vectorOf('f32', lanes));
}

export function register(name: string, type: RegisterType): Expression {
  return { kind: 'register', name, type };
}

export function parameter(name: string): Expression {
  return { kind: 'parameter', name };
}

export function builtin(name: Builtin): Expression {
  return { kind: 'builtin', name };
}

/** The value of a scalar i32 or u32 constant. */
export function integerConstant(expression: Expression): number | undefined {
  if (expression.kind !== 'constant' || expression.type.lanes !== 1) return undefined;
  return expression.type.scalar === 'i32' || expression.type.scalar === 'u32' ? expression.value : undefined;
}

export function unary(operator: UnaryOperator, operand: Expression): Expression {
  return { kind: 'unary', operator, operand };
}

export function binary(operator: BinaryOperator, left: Expression, right: Expression): Expression {
  return { kind: 'binary', operator, left, right };
}

/** Folds integers only: `x + 0`, constants, and `(x + 1) + 2`. Float sums are left alone, so rounding stays as written. */
export function add(left: Expression, right: Expression): Expression {
  const a = integerConstant(left);
  const b = integerConstant(right);
  if (a === 0) return right;
  if (b === 0) return left;
  if (a !== undefined && b !== undefined) return constant(wrap(a + b, left), typeOf(left));
  if (b !== undefined && left.kind === 'binary' && left.operator === 'add') {
    const inner = integerConstant(left.right);
    if (inner !== undefined) return add(left.left, constant(wrap(inner + b, right), typeOf(right)));
  }
  if (a !== undefined) return binary('add', right, left);
  return binary('add', left, right);
}

export function subtract(left: Expression, right: Expression): Expression {
  const a = integerConstant(left);
  const b = integerConstant(right);
  if (b === 0) return left;
  if (a !== undefined && b !== undefined) return constant(wrap(a - b, left), typeOf(left));
  return binary('sub', left, right);
}

/** Folds integer constants and `x * 0`, and `x * 1` of any type. */
export function multiply(left: Expression, right: Expression): Expression {
  const a = integerConstant(left);
  const b = integerConstant(right);
  if (isOne(left)) return right;
  if (isOne(right)) return left;
  if (a === 0) return left;
  if (b === 0) return right;
  if (a !== undefined && b !== undefined) return constant(wrap(Math.imul(a, b), left), typeOf(left));
  if (a !== undefined) return binary('mul', right, left);
  return binary('mul', left, right);
}

/** Truncating quotient for integers; folds constants and `x / 1`. */
export function divide(left: Expression, right: Expression): Expression {
  const a = integerConstant(left);
  const b = integerConstant(right);
  if (isOne(right)) return left;
  if (a !== undefined && b !== undefined && b !== 0) return constant(Math.trunc(a / b), typeOf(left));
  return binary('div', left, right);
}

/** Truncating remainder for integers; folds constants and `x % 1`. */
export function modulo(left: Expression, right: Expression): Expression {
  const a = integerConstant(left);
  const b = integerConstant(right);
  if (b === 1) return constant(0, typeOf(left));
  if (a !== undefined && b !== undefined && b !== 0) return constant(a % b, typeOf(left));
  return binary('mod', left, right);
}

export function minimum(left: Expression, right: Expression): Expression {
  const a = integerConstant(left);
  const b = integerConstant(right);
  if (a !== undefined && b !== undefined) return a <= b ? left : right;
  return binary('min', left, right);
}

export function maximum(left: Expression, right: Expression): Expression {
  const a = integerConstant(left);
  const b = integerConstant(right);
  if (a !== undefined && b !== undefined) return a >= b ? left : right;
  return binary('max', left, right);
}

/** left < right; folds integer constants. */
export function lessThan(left: Expression, right: Expression): Expression {
  const a = integerConstant(left);
  const b = integerConstant(right);
  if (a !== undefined && b !== undefined) return constant(a < b ? 1 : 0, bool);
  return binary('less', left, right);
}

/** Both hold; a condition that is constantly true disappears. */
export function both(left: Expression, right: Expression): Expression {
  if (isTrue(left)) return right;
  if (isTrue(right)) return left;
  return binary('and', left, right);
}

export function select(condition: Expression, yes: Expression, no: Expression): Expression {
  if (condition.kind === 'constant') return condition.value !== 0 ? yes : no;
  return { kind: 'select', condition, yes, no };
}

/** a * b + c. */
export function multiplyAdd(a: Expression, b: Expression, c: Expression): Expression {
  return { kind: 'fma', a, b, c };
}

/** Nothing to do when the scalar type is already `to`. */
export function convert(operand: Expression, to: ScalarType): Expression {
  return typeOf(operand).scalar === to ? operand : { kind: 'convert', to, operand };
}

/** The scalar in `lanes` lanes; a constant stays a constant. */
export function splat(operand: Expression, lanes: RegisterType['lanes']): Expression {
  if (lanes === 1) return operand;
  if (operand.kind === 'constant') return constant(operand.value, vectorOf(operand.type.scalar, lanes));
  return { kind: 'splat', lanes, operand };
}

/** One lane of a vector; a scalar is its own lane. */
export function lane(operand: Expression, index: number): Expression {
  if (typeOf(operand).lanes === 1) return operand;
  if (operand.kind === 'constant') return constant(operand.value, vectorOf(operand.type.scalar, 1));
  if (operand.kind === 'splat') return operand.operand;
  return { kind: 'lane', operand, lane: index };
}

export function isTrue(expression: Expression): boolean {
  return expression.kind === 'constant' && expression.type.scalar === 'bool' && expression.value !== 0;
}

function isOne(expression: Expression): boolean {
  return expression.kind === 'constant' && expression.type.lanes === 1 && expression.value === 1;
}

function wrap(value: number, like: Expression): number {
  return typeOf(like).scalar === 'u32' ? value >>> 0 : value | 0;
}

/** Calls `visit` on the expression and everything below it. */
export function walkExpression(expression: Expression, visit: (expression: Expression) => void): void {
  visit(expression);
  for (const operand of operandsOf(expression)) walkExpression(operand, visit);
}

/** Direct operands, left to right. */
export function operandsOf(expression: Expression): readonly Expression[] {
  switch (expression.kind) {
    case 'constant':
    case 'register':
    case 'parameter':
    case 'builtin':
      return [];
    case 'unary':
    case 'convert':
    case 'bitcast':
    case 'splat':
    case 'lane':
    case 'shuffle':
    case 'subgroup_broadcast':
    case 'subgroup_reduce':
    case 'subgroup_exchange':
    case 'pack':
    case 'lookup':
    case 'subgroup_lookup':
      return [expression.operand];
    case 'binary':
      return [expression.left, expression.right];
    case 'fma':
      return [expression.a, expression.b, expression.c];
    case 'dot':
    case 'dot_bytes':
      return [expression.a, expression.b];
    case 'select':
      return [expression.condition, expression.yes, expression.no];
    case 'load':
    case 'load_shared':
    case 'load_matrix':
      return [expression.index];
    case 'vector':
      return expression.parts;
    default:
      return unreachable(expression, 'expression');
  }
}

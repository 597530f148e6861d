import { unreachable } from '../../ir/diagnostics.js';
import { integerConstant, operandsOf, typeOf } from '../../ir/kernel/expressions.js';
import type { Expression, RegisterType, ScalarType } from '../../ir/kernel/thread.js';
import { writeDotBytes } from './wasm-bytes.js';
import { laneFold, writeFold, writeFoldedVector } from './wasm-folds.js';
import { writeLoad, writeLoadShared } from './wasm-memory.js';
import type { Opcode } from './wasm-opcodes.js';
import { unsupported, writeBinary, writeUnary } from './wasm-operators.js';
import {
  builtinRegister,
  malformed,
  parameterRegister,
  wasmTypeOf,
  type RegisterPlace,
  type WasmScope,
} from './wasm-scope.js';

/** Leaves the value of an expression on the stack; what a surrounding loop does not change is computed before it. */
export function writeExpression(scope: WasmScope, expression: Expression): void {
  if (scope.isInvariant(expression)) {
    const local = scope.hoist(expression, wasmTypeOf(typeOf(expression)), () => writeNow(scope, expression));
    scope.writer.get(local);
  } else writeNow(scope, expression);
}

/** The place of an invariant expression's value. */
export function hoistExpression(scope: WasmScope, expression: Expression): RegisterPlace {
  const type = typeOf(expression);
  const local = scope.hoist(expression, wasmTypeOf(type), () => writeNow(scope, expression));
  return { local, type, depth: scope.depthOf(expression), mutable: false };
}

function writeNow(scope: WasmScope, expression: Expression): void {
  const { writer } = scope;
  const write = (operand: Expression): void => writeExpression(scope, operand);
  switch (expression.kind) {
    case 'constant':
      writeConstant(scope, expression.type, expression.value);
      return;
    case 'register':
      writer.get(scope.register(expression.name).local);
      return;
    case 'parameter':
      writer.get(scope.register(parameterRegister(expression.name)).local);
      return;
    case 'builtin':
      writer.get(scope.register(builtinRegister(expression.name)).local);
      return;
    case 'unary':
      write(expression.operand);
      writeUnary(scope, expression.operator, typeOf(expression.operand));
      return;
    case 'binary':
      writeBinaryExpression(scope, expression);
      return;
    case 'fma':
      writeMultiplyAdd(scope, expression);
      return;
    case 'select':
      writeSelect(scope, expression);
      return;
    case 'convert':
      write(expression.operand);
      writeConvert(scope, typeOf(expression.operand), expression.to);
      return;
    case 'bitcast': {
      const from = typeOf(expression.operand);
      write(expression.operand);
      if (from.lanes !== 1) return;
      if (from.scalar === 'f32' && expression.to !== 'f32') writer.op('i32.reinterpret_f32');
      if (from.scalar !== 'f32' && expression.to === 'f32') writer.op('f32.reinterpret_i32');
      return;
    }
    case 'load':
      writeLoad(scope, expression.buffer, expression.index, write);
      return;
    case 'splat':
      write(expression.operand);
      writeSplat(scope, typeOf(expression.operand));
      return;
    case 'vector':
      writeVector(scope, expression.parts);
      return;
    case 'lane':
      write(expression.operand);
      writeLane(scope, typeOf(expression.operand).scalar, expression.lane);
      return;
    case 'shuffle': {
      const operand = writer.local('v128');
      write(expression.operand);
      writer
        .tee(operand)
        .get(operand)
        .op('i8x16.shuffle', ...shuffleBytes(expression.lanes));
      return;
    }
    case 'dot': {
      const { lanes } = typeOf(expression.a);
      write(expression.a);
      write(expression.b);
      writer.op('f32x4.mul');
      writeLaneSum(scope, lanes);
      return;
    }
    case 'dot_bytes':
      writeDotBytes(scope, expression, typeOf(expression).lanes, write);
      return;
    case 'lookup':
      write(expression.operand);
      writeLookup(scope, expression.values, typeOf(expression.operand));
      return;
    case 'load_shared':
      writeLoadShared(scope, expression.array, expression.index, write);
      return;
    case 'subgroup_broadcast':
    case 'subgroup_reduce':
    case 'subgroup_exchange':
    case 'subgroup_lookup':
    case 'pack':
    case 'load_matrix':
      throw unsupported(scope, expression.kind);
    default:
      unreachable(expression, 'expression');
  }
}

function writeConstant(scope: WasmScope, type: RegisterType, value: number): void {
  const { writer } = scope;
  if (type.scalar === 'f32') {
    if (type.lanes === 1) writer.f32(value);
    else writer.f32x4(value);
  } else if (type.lanes === 1) writer.i32(type.scalar === 'bool' ? Number(value !== 0) : value);
  else writer.i32x4(type.scalar === 'bool' ? -Number(value !== 0) : value);
}

function writeBinaryExpression(scope: WasmScope, expression: Extract<Expression, { kind: 'binary' }>): void {
  const { operator, left, right } = expression;
  const type = typeOf(left);
  const fold = laneFold(expression);
  if (fold !== undefined) {
    writeFold(scope, fold);
    return;
  }
  const constant = integerConstant(right);
  writeExpression(scope, left);
  if (type.lanes !== 1 && (operator === 'shift_left' || operator === 'shift_right')) {
    const amounts = constantsOf(right);
    if (amounts !== undefined && writeShift(scope, operator, type, amounts)) return;
  }
  if (operator === 'mul' && constant !== undefined) {
    // Addresses: a shift is one instruction less, and part of an x86 address for up to 3 bits.
    const bits = Math.log2(constant);
    if (bits === 0) return;
    if (Number.isInteger(bits)) scope.writer.i32(bits).op('i32.shl');
    else scope.writer.i32(constant).op('i32.mul');
    return;
  }
  writeExpression(scope, right);
  writeBinary(scope, operator, type, constant !== undefined && constant !== 0);
}

/**
 * Shifts the vector on the stack: all lanes by one number, or each to the left by its own, which is a product. False, and nothing
 * written, for other shifts.
 */
function writeShift(
  { writer }: WasmScope,
  operator: 'shift_left' | 'shift_right',
  { scalar }: RegisterType,
  amounts: readonly number[],
): boolean {
  const [first = 0] = amounts;
  if (amounts.every((amount) => amount === first)) {
    writer.i32(first).op(operator === 'shift_left' ? 'i32x4.shl' : scalar === 'u32' ? 'i32x4.shr_u' : 'i32x4.shr_s');
    return true;
  }
  if (operator === 'shift_right') return false;
  writer
    .v128(Int32Array.from({ length: 4 }, (_, lane) => 2 ** (amounts[lane % amounts.length] as number)))
    .op('i32x4.mul');
  return true;
}

/** The lanes of a vector of constants. */
function constantsOf(expression: Expression): readonly number[] | undefined {
  if (expression.kind === 'constant') return new Array<number>(expression.type.lanes).fill(expression.value);
  if (expression.kind !== 'vector') return undefined;
  const values = expression.parts.flatMap((part) => (part.kind === 'constant' ? [part.value] : []));
  return values.length === expression.parts.length ? values : undefined;
}

/**
 * One of 16 numbers for each index on the stack: of each of a number's four bytes there is a table, from which the index, once in each
 * byte of its lane, takes all at once.
 */
function writeLookup({ writer }: WasmScope, values: readonly number[], { lanes }: RegisterType): void {
  if (lanes === 1) writer.op('i32x4.splat');
  const index = writer.local('v128');
  writer.i32x4(0x01010101).op('i32x4.mul').set(index);
  const bytes = new Uint8Array(Float32Array.from(values).buffer);
  for (let byte = 0; byte < 4; byte++) {
    writer.v128(Uint8Array.from(values, (_, at) => bytes[4 * at + byte] as number));
    writer
      .get(index)
      .op('i8x16.swizzle')
      .i32x4(0xff << (8 * byte))
      .op('v128.and');
    if (byte > 0) writer.op('v128.or');
  }
  if (lanes === 1) writer.op('f32x4.extract_lane', 0);
}

function writeMultiplyAdd(scope: WasmScope, { a, b, c }: Extract<Expression, { kind: 'fma' }>): void {
  const type = typeOf(a);
  const fused = scope.relaxed && type.lanes !== 1 && type.scalar === 'f32';
  if (fused) {
    for (const operand of [a, b, c]) writeExpression(scope, operand);
    scope.writer.op('f32x4.relaxed_madd');
    return;
  }
  writeExpression(scope, a);
  writeExpression(scope, b);
  writeBinary(scope, 'mul', type, false);
  writeExpression(scope, c);
  writeBinary(scope, 'add', type, false);
}

function writeSelect(scope: WasmScope, { condition, yes, no }: Extract<Expression, { kind: 'select' }>): void {
  const { writer } = scope;
  const type = typeOf(yes);
  if (typeOf(condition).lanes !== 1) {
    for (const operand of [yes, no, condition]) writeExpression(scope, operand);
    writer.op('v128.bitselect');
    return;
  }
  if (!readsMemory(yes) && !readsMemory(no)) {
    for (const operand of [yes, no, condition]) writeExpression(scope, operand);
    writer.op('select');
    return;
  }
  // The arm that is not taken may have an address outside of memory.
  writeExpression(scope, condition);
  writer.begin('if', wasmTypeOf(type));
  writeExpression(scope, yes);
  writer.op('else');
  writeExpression(scope, no);
  writer.end();
}

function readsMemory(expression: Expression): boolean {
  return expression.kind === 'load' || operandsOf(expression).some(readsMemory);
}

function writeConvert(scope: WasmScope, from: RegisterType, to: ScalarType): void {
  const { writer } = scope;
  const vector = from.lanes !== 1;
  if (from.scalar === to) return;
  if (to === 'f32') {
    if (from.scalar === 'bool' && vector) writer.i32x4(1).op('v128.and');
    if (from.scalar === 'u32') writer.op(vector ? 'f32x4.convert_i32x4_u' : 'f32.convert_i32_u');
    else writer.op(vector ? 'f32x4.convert_i32x4_s' : 'f32.convert_i32_s');
  } else if (to === 'bool') {
    if (from.scalar === 'f32') writeConstant(scope, from, 0);
    else if (vector) writer.i32x4(0);
    else writer.i32(0);
    const kind = from.scalar === 'f32' ? 'f32' : 'i32';
    writer.op(vector ? `${kind}x4.ne` : `${kind}.ne`);
  } else if (from.scalar === 'f32') {
    const sign = to === 'u32' ? 'u' : 's';
    writer.op(vector ? `i32x4.trunc_sat_f32x4_${sign}` : `i32.trunc_sat_f32_${sign}`);
  } else if (from.scalar === 'bool' && vector) writer.i32x4(1).op('v128.and');
}

function writeSplat(scope: WasmScope, from: RegisterType): void {
  // A bool of 1 becomes a lane of -1.
  if (from.scalar === 'bool') scope.writer.op('i32x4.splat').op('i32x4.neg');
  else scope.writer.op(from.scalar === 'f32' ? 'f32x4.splat' : 'i32x4.splat');
}

/** Scalar lane of the vector on the stack. */
function writeLane(scope: WasmScope, scalar: ScalarType, lane: number): void {
  scope.writer.op(scalar === 'f32' ? 'f32x4.extract_lane' : 'i32x4.extract_lane', lane);
  if (scalar === 'bool') scope.writer.i32(1).op('i32.and');
}

function writeVector(scope: WasmScope, parts: readonly Expression[]): void {
  const { writer } = scope;
  const [first, ...rest] = parts;
  if (first === undefined) throw malformed(scope.kernel.name, 'a vector without parts');
  const { scalar, lanes } = typeOf(first);
  const constants = constantsOf({ kind: 'vector', parts });
  if (constants !== undefined && scalar !== 'bool') {
    const all = Array.from({ length: 4 }, (_, lane) => constants[lane % constants.length] as number);
    writer.v128(scalar === 'f32' ? Float32Array.from(all) : Int32Array.from(all));
    return;
  }
  if (writeFoldedVector(scope, parts)) return;
  writeExpression(scope, first);
  if (lanes === 1) writeSplat(scope, { scalar, lanes });
  const replace: Opcode = scalar === 'f32' ? 'f32x4.replace_lane' : 'i32x4.replace_lane';
  let at: number = lanes;
  for (const part of rest) {
    const type = typeOf(part);
    writeExpression(scope, part);
    if (type.lanes === 1) {
      if (scalar === 'bool') writer.i32(-1).op('i32.mul');
      writer.op(replace, at);
    } else {
      // Two halves: lanes 0 and 1 of the second follow those of the first.
      writer.op('i8x16.shuffle', ...shuffleBytes([0, 1, 4, 5]));
    }
    at += type.lanes;
  }
}

/** Byte indices that pick 32-bit lanes (0-3 of the first operand, 4-7 of the second); missing lanes repeat. */
function shuffleBytes(lanes: readonly number[]): number[] {
  return Array.from({ length: 16 }, (_, at) => 4 * (lanes[Math.floor(at / 4) % lanes.length] ?? 0) + (at % 4));
}

/** Sum of the f32 lanes on the stack. */
function writeLaneSum(scope: WasmScope, lanes: RegisterType['lanes']): void {
  const { writer } = scope;
  if (lanes === 1) return;
  const vector = writer.local('v128');
  for (const distance of lanes === 4 ? [2, 1] : [1]) {
    writer.tee(vector).get(vector).get(vector);
    writer.op('i8x16.shuffle', ...shuffleBytes([0, 1, 2, 3].map((lane) => lane ^ distance))).op('f32x4.add');
  }
  writer.op('f32x4.extract_lane', 0);
}

import { Flux2cError } from '../../ir/diagnostics.js';
import type { BinaryOperator, RegisterType, UnaryOperator } from '../../ir/kernel/thread.js';
import type { FunctionWriter } from './wasm-binary.js';
import { writeExponential, type HelperName } from './wasm-math.js';
import { wasmTypeOf, type WasmScope } from './wasm-scope.js';

/** F2C215: what the CPU device has no instructions for. */
export function unsupported(scope: WasmScope, found: string): Flux2cError {
  return new Flux2cError('F2C215', 'the CPU cannot run this kernel', {
    where: [`kernel ${scope.kernel.name}`],
    expected: 'f32, i32, u32 and bool registers, no workgroup memory, no barriers, no subgroups',
    found,
    hint: 'Schedule the kernel for the CPU target.',
  });
}

/** Applies the operator to the operand on the stack. */
export function writeUnary(scope: WasmScope, operator: UnaryOperator, type: RegisterType): void {
  const { writer } = scope;
  const vector = type.lanes !== 1;
  switch (operator) {
    case 'neg':
      if (type.scalar === 'f32') writer.op(vector ? 'f32x4.neg' : 'f32.neg');
      else if (vector) writer.op('i32x4.neg');
      else writer.i32(-1).op('i32.mul');
      return;
    case 'not':
      if (vector) writer.op('v128.not');
      else if (type.scalar === 'bool') writer.op('i32.eqz');
      else writer.i32(-1).op('i32.xor');
      return;
    case 'abs':
      if (type.scalar === 'f32') writer.op(vector ? 'f32x4.abs' : 'f32.abs');
      else if (vector) writer.op('i32x4.abs');
      else writer.op('i32x4.splat').op('i32x4.abs').op('i32x4.extract_lane', 0);
      return;
    case 'floor':
      writer.op(vector ? 'f32x4.floor' : 'f32.floor');
      return;
    case 'sqrt':
      writer.op(vector ? 'f32x4.sqrt' : 'f32.sqrt');
      return;
    case 'reciprocal': {
      const operand = writer.local(wasmTypeOf(type));
      writer.set(operand);
      if (vector) writer.f32x4(1).get(operand).op('f32x4.div');
      else writer.f32(1).get(operand).op('f32.div');
      return;
    }
    case 'rsqrt': {
      const operand = writer.local(wasmTypeOf(type));
      writer.set(operand);
      if (vector) writer.f32x4(1).get(operand).ops('f32x4.sqrt', 'f32x4.div');
      else writer.f32(1).get(operand).ops('f32.sqrt', 'f32.div');
      return;
    }
    case 'exp':
    case 'exp2':
      writeInline(scope, operator, vector);
      return;
    case 'tanh':
      writeHelperCall(scope, operator, vector);
      return;
    case 'log':
    case 'sin':
    case 'cos':
      writePerLane(scope, type, 1, () => scope.callImport(operator));
      return;
  }
}

/** In its place: calls keep vectors out of registers. */
function writeInline({ writer }: WasmScope, name: 'exp' | 'exp2', vector: boolean): void {
  if (!vector) writer.op('f32x4.splat');
  const argument = writer.local('v128');
  writer.set(argument);
  writeExponential(writer, name, argument);
  if (!vector) writer.op('f32x4.extract_lane', 0);
}

function writeHelperCall(scope: WasmScope, name: HelperName, vector: boolean): void {
  if (!vector) scope.writer.op('f32x4.splat');
  scope.callHelper(name);
  if (!vector) scope.writer.op('f32x4.extract_lane', 0);
}

/** Applies `write`, for scalars, to each lane of the `count` operands on the stack. */
function writePerLane(scope: WasmScope, type: RegisterType, count: 1 | 2, write: () => void): void {
  const { writer } = scope;
  if (type.lanes === 1) {
    write();
    return;
  }
  const shape = type.scalar === 'f32' ? 'f32x4' : 'i32x4';
  const operands = Array.from({ length: count }, () => writer.local('v128'));
  for (const operand of [...operands].reverse()) writer.set(operand);
  // The result starts as the first operand, all of whose used lanes are then replaced.
  writer.get(operands[0] ?? 0);
  for (let lane = 0; lane < type.lanes; lane++) {
    for (const operand of operands) writer.get(operand).op(`${shape}.extract_lane`, lane);
    write();
    writer.op(`${shape}.replace_lane`, lane);
  }
}

/** Applies the operator to the two operands on the stack. `safe`: an integer divisor is known not to be 0. */
export function writeBinary(scope: WasmScope, operator: BinaryOperator, type: RegisterType, safe: boolean): void {
  if (type.scalar === 'f16') throw unsupported(scope, 'f16 registers');
  if (type.scalar === 'f32') {
    writeFloat(scope, operator, type);
    return;
  }
  switch (operator) {
    case 'equal':
    case 'less':
    case 'less_equal':
      writeComparison(scope.writer, operator, type);
      return;
    case 'and':
    case 'or':
    case 'xor':
      scope.writer.op(type.lanes === 1 ? `i32.${operator}` : `v128.${operator}`);
      return;
    default:
      writeInteger(scope, operator, type, safe);
  }
}

function writeComparison(writer: FunctionWriter, operator: 'equal' | 'less' | 'less_equal', type: RegisterType): void {
  const shape = type.lanes === 1 ? 'i32' : 'i32x4';
  const sign = type.scalar === 'u32' ? 'u' : 's';
  if (operator === 'equal') writer.op(`${shape}.eq`);
  else writer.op(operator === 'less' ? `${shape}.lt_${sign}` : `${shape}.le_${sign}`);
}

function writeFloat(scope: WasmScope, operator: BinaryOperator, type: RegisterType): void {
  const { writer } = scope;
  const vector = type.lanes !== 1;
  const shape = vector ? 'f32x4' : 'f32';
  switch (operator) {
    case 'add':
    case 'sub':
    case 'mul':
    case 'div':
      writer.op(`${shape}.${operator}`);
      return;
    case 'min':
    case 'max':
      // pmin and pmax are one x86 instruction, min and max six with branches; they differ in NaN and the sign of zero only.
      if (vector) writer.op(operator === 'min' ? 'f32x4.pmin' : 'f32x4.pmax');
      else {
        const right = writer.local('f32');
        writer.set(right).op('f32x4.splat').get(right).op('f32x4.splat');
        writer.op(operator === 'min' ? 'f32x4.pmin' : 'f32x4.pmax').op('f32x4.extract_lane', 0);
      }
      return;
    case 'equal':
      writer.op(`${shape}.eq`);
      return;
    case 'less':
      writer.op(`${shape}.lt`);
      return;
    case 'less_equal':
      writer.op(`${shape}.le`);
      return;
    case 'mod': {
      // a - b · trunc(a / b), as WGSL defines it.
      const [a, b] = [writer.local(wasmTypeOf(type)), writer.local(wasmTypeOf(type))];
      writer.set(b).set(a).get(a).get(b).get(a).get(b);
      writer.ops(`${shape}.div`, `${shape}.trunc`, `${shape}.mul`, `${shape}.sub`);
      return;
    }
    case 'pow':
      writePerLane(scope, type, 2, () => scope.callImport('pow'));
      return;
    case 'xor':
    case 'and':
    case 'or':
    case 'shift_left':
    case 'shift_right':
      throw unsupported(scope, `${operator} of f32`);
  }
}

function writeInteger(
  scope: WasmScope,
  operator: Exclude<BinaryOperator, 'equal' | 'less' | 'less_equal' | 'and' | 'or' | 'xor'>,
  type: RegisterType,
  safe: boolean,
): void {
  const { writer } = scope;
  const vector = type.lanes !== 1;
  const shape = vector ? 'i32x4' : 'i32';
  const sign = type.scalar === 'u32' ? 'u' : 's';
  switch (operator) {
    case 'add':
    case 'sub':
    case 'mul':
      writer.op(`${shape}.${operator}`);
      return;
    case 'min':
    case 'max':
      if (vector) writer.op(`i32x4.${operator}_${sign}`);
      else {
        const [a, b] = [writer.local('i32'), writer.local('i32')];
        writer.set(b).set(a);
        if (operator === 'min') writer.get(a).get(b);
        else writer.get(b).get(a);
        writer.get(a).get(b).op(`i32.lt_${sign}`).op('select');
      }
      return;
    case 'div':
    case 'mod':
      writePerLane(scope, type, 2, () => {
        // As in WGSL, a divisor of 0 counts as 1; WebAssembly would trap, even in code moved out of a guard.
        if (!safe) {
          const divisor = writer.local('i32');
          writer.tee(divisor).get(divisor).ops('i32.eqz', 'i32.or');
        }
        writer.op(operator === 'div' ? `i32.div_${sign}` : `i32.rem_${sign}`);
      });
      return;
    case 'shift_left':
    case 'shift_right':
      writePerLane(scope, type, 2, () => writer.op(operator === 'shift_left' ? 'i32.shl' : `i32.shr_${sign}`));
      return;
    case 'pow':
      throw unsupported(scope, 'pow of integers');
  }
}

import { Flux2cError, unreachable } from '../../ir/diagnostics.js';
import { isSubgroupOperation, typeOf, walkExpression } from '../../ir/kernel/expressions.js';
import type {
  BinaryOperator,
  Builtin,
  Expression,
  RegisterType,
  ScalarType,
  UnaryOperator,
} from '../../ir/kernel/thread.js';
import { infixText, parenthesize, primary, shortestDecimal, signed } from '../c-expressions.js';
import type { ExpressionText, Tightness } from '../c-expressions.js';
import type { KernelNames } from '../kernel-names.js';

/** What the expressions of one kernel share; `builtins` collects what the text relies on. */
export interface CudaScope {
  readonly names: KernelNames;
  readonly builtins: Set<Builtin>;
}

const scalarNames: Readonly<Record<ScalarType, string>> = {
  f32: 'float',
  f16: 'f2c::f16',
  i32: 'int',
  u32: 'unsigned',
  bool: 'bool',
};

/** `float`, `f2c::f32x4`. */
export function cudaType(type: RegisterType): string {
  return type.lanes === 1 ? scalarNames[type.scalar] : `f2c::${type.scalar}x${type.lanes}`;
}

/** The C++ of an expression without parentheses around it. */
export function printExpression(expression: Expression, scope: CudaScope): string {
  return print(expression, scope).text;
}

function at(expression: Expression, scope: CudaScope, needed: Tightness): string {
  return parenthesize(print(expression, scope), needed);
}

function print(expression: Expression, scope: CudaScope): ExpressionText {
  const call = (name: string, ...parts: readonly Expression[]): ExpressionText =>
    primary(`f2c::${name}(${parts.map((part) => printExpression(part, scope)).join(', ')})`);
  switch (expression.kind) {
    case 'constant':
      return printConstant(expression.value, expression.type);
    case 'register':
      return primary(scope.names.legal(expression.name));
    case 'parameter':
      return primary(`parameters.${scope.names.legal(expression.name)}`);
    case 'builtin':
      scope.builtins.add(expression.name);
      return primary(expression.name);
    case 'unary':
      return printUnary(expression.operator, expression.operand, scope);
    case 'binary':
      return printBinary(expression.operator, expression.left, expression.right, scope);
    case 'fma':
      return call('fma', expression.a, expression.b, expression.c);
    case 'select':
      // A function, not ?: : both values are computed, as in WGSL, so all lanes stay together.
      return call('select', expression.condition, expression.yes, expression.no);
    case 'convert':
      return call(`convert<${scalarNames[expression.to]}>`, expression.operand);
    case 'bitcast':
      return call(`bitcast<${scalarNames[expression.to]}>`, expression.operand);
    case 'load':
    case 'load_shared': {
      const memory = expression.kind === 'load' ? expression.buffer : expression.array;
      return primary(`f2c::load(${scope.names.legal(memory)}, ${printExpression(expression.index, scope)})`);
    }
    case 'splat':
      return call(`splat<${expression.lanes}>`, expression.operand);
    case 'vector':
      return call('vector', ...expression.parts);
    case 'lane':
      return primary(`${at(expression.operand, scope, 'primary')}.${'xyzw'[expression.lane]}`);
    case 'shuffle':
      return call(`shuffle<${expression.lanes.join(', ')}>`, expression.operand);
    case 'lookup':
    case 'subgroup_lookup': {
      const values = expression.values.map((value) => printFloat(value).text).join(', ');
      return primary(`f2c::lookup(${printExpression(expression.operand, scope)}, ${values})`);
    }
    case 'dot':
      return call('dot', expression.a, expression.b);
    case 'dot_bytes':
      throw new Flux2cError('F2C231', 'kernels for CUDA multiply no packed bytes');
    case 'subgroup_broadcast':
      return primary(`f2c::subgroup_broadcast(${printExpression(expression.operand, scope)}, ${expression.source})`);
    case 'subgroup_reduce':
      return call(`subgroup_${expression.operator}`, expression.operand);
    case 'subgroup_exchange':
      return primary(`f2c::shuffle_xor(${printExpression(expression.operand, scope)}, ${expression.mask})`);
    case 'pack':
      return call(`pack_${expression.to}`, expression.operand);
    case 'load_matrix': {
      const name = expression.transposed ? 'load_matrix_x4_transposed' : 'load_matrix_x4';
      return primary(
        `f2c::${name}(${scope.names.legal(expression.array)}, ${printExpression(expression.index, scope)})`,
      );
    }
    default:
      return unreachable(expression, 'expression');
  }
}

function printConstant(value: number, type: RegisterType): ExpressionText {
  const scalar = printScalar(value, type.scalar);
  return type.lanes === 1 ? scalar : primary(`f2c::splat<${type.lanes}>(${scalar.text})`);
}

function printScalar(value: number, type: ScalarType): ExpressionText {
  switch (type) {
    case 'bool':
      return primary(value !== 0 ? 'true' : 'false');
    case 'u32':
      return primary(`${value >>> 0}u`);
    case 'i32':
      // The literal 2147483648 is no int.
      if (value === -(2 ** 31)) return primary('(-2147483647 - 1)');
      return signed(value, String(Math.abs(value)));
    case 'f32':
      return printFloat(value);
    case 'f16':
      return primary(`f2c::f16(${printFloat(value).text})`);
    default:
      return unreachable(type, 'scalar type');
  }
}

function printFloat(value: number): ExpressionText {
  if (Number.isNaN(value)) return primary('f2c::not_a_number()');
  const rounded = Math.fround(value);
  if (!Number.isFinite(rounded)) return signed(value, 'f2c::infinity()');
  return signed(value, `${shortestDecimal(Math.abs(rounded))}f`);
}

function printUnary(operator: UnaryOperator, operand: Expression, scope: CudaScope): ExpressionText {
  switch (operator) {
    case 'neg':
      // Two minus signs in a row would be the decrement token.
      return { text: `-${at(operand, scope, 'primary')}`, tightness: 'unary' };
    case 'not': {
      const sign = typeOf(operand).scalar === 'bool' ? '!' : '~';
      return { text: `${sign}${at(operand, scope, 'primary')}`, tightness: 'unary' };
    }
    case 'abs':
    case 'exp':
    case 'exp2':
    case 'reciprocal':
    case 'log':
    case 'sqrt':
    case 'rsqrt':
    case 'sin':
    case 'cos':
    case 'tanh':
    case 'floor':
      return primary(`f2c::${operator}(${printExpression(operand, scope)})`);
    default:
      return unreachable(operator, 'unary operator');
  }
}

function printBinary(operator: BinaryOperator, left: Expression, right: Expression, scope: CudaScope): ExpressionText {
  const infix = isPlainDivision(operator, right)
    ? infixText(operator, left, right, {
        at: (operand, needed) => at(operand, scope, needed),
        shiftAmount: (amount) => shiftAmount(amount, scope),
        maySkip: (operand) => !hasSubgroupOperation(operand),
      })
    : undefined;
  if (infix !== undefined) return infix;
  const name = operator === 'div' ? 'divide' : operator === 'mod' ? 'remainder' : operator;
  return primary(`f2c::${name}(${printExpression(left, scope)}, ${printExpression(right, scope)})`);
}

/**
 * Integers are divided by a call unless the divisor is a number: the emulator reports a zero where a device gives anything.
 * Remainders of floats have no operator.
 */
function isPlainDivision(operator: BinaryOperator, right: Expression): boolean {
  if (operator !== 'div' && operator !== 'mod') return true;
  const { scalar } = typeOf(right);
  if (scalar === 'f32' || scalar === 'f16') return operator === 'div';
  return right.kind === 'constant' && right.value > 0;
}

/** Shifts look at five bits of the amount; C++ leaves more undefined. */
function shiftAmount(amount: Expression, scope: CudaScope): string {
  const { scalar, lanes } = typeOf(amount);
  if (amount.kind === 'constant') return at({ ...amount, value: amount.value & 31 }, scope, 'unary');
  return `(${at(amount, scope, 'unary')} & ${printConstant(31, { scalar, lanes }).text})`;
}

/** All lanes of the subgroup must come to it, so nothing may skip it. */
function hasSubgroupOperation(expression: Expression): boolean {
  let found = false;
  walkExpression(expression, (part) => {
    if (isSubgroupOperation(part)) found = true;
  });
  return found;
}

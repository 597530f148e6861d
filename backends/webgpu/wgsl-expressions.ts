import { Flux2cError, unreachable } from '../../ir/diagnostics.js';
import { typeOf } from '../../ir/kernel/expressions.js';
import type {
  BinaryOperator,
  BufferParameter,
  Builtin,
  Expression,
  RegisterType,
  UnaryOperator,
} from '../../ir/kernel/thread.js';
import { infixText, parenthesize, primary, shortestDecimal, signed } from '../c-expressions.js';
import type { ExpressionText, Tightness } from '../c-expressions.js';
import type { KernelNames } from '../kernel-names.js';
import { loadText } from './wgsl-storage.js';

/** What the expressions of one kernel share; `helpers` and `builtins` collect what the text relies on. */
export interface WgslScope {
  readonly names: KernelNames;
  readonly buffers: ReadonlyMap<string, BufferParameter>;
  readonly helpers: Set<string>;
  readonly builtins: Set<Builtin>;
}

export function wgslType(type: RegisterType): string {
  return type.lanes === 1 ? type.scalar : `vec${type.lanes}<${type.scalar}>`;
}

type LookupExpression = Extract<Expression, { kind: 'lookup' | 'subgroup_lookup' }>;

/** The WGSL of an expression without parentheses around it. */
export function printExpression(expression: Expression, scope: WgslScope): string {
  return print(expression, scope).text;
}

function at(expression: Expression, scope: WgslScope, needed: Tightness): string {
  return parenthesize(print(expression, scope), needed);
}

function print(expression: Expression, scope: WgslScope): ExpressionText {
  const whole = (part: Expression): string => printExpression(part, scope);
  const call = (name: string, ...parts: readonly Expression[]): ExpressionText =>
    primary(`${name}(${parts.map(whole).join(', ')})`);
  const use = (helper: string): string => {
    scope.helpers.add(helper);
    return helper;
  };
  switch (expression.kind) {
    case 'constant':
      return printConstant(expression.value, expression.type, use);
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
      return call('select', expression.no, expression.yes, expression.condition);
    case 'convert':
    case 'splat':
    case 'vector':
      return call(
        wgslType(typeOf(expression)),
        ...(expression.kind === 'vector' ? expression.parts : [expression.operand]),
      );
    case 'bitcast': {
      const from = typeOf(expression.operand);
      // A plain integer literal has no 32-bit pattern until it has a type.
      const operand =
        expression.operand.kind === 'constant'
          ? `${wgslType(from)}(${whole(expression.operand)})`
          : whole(expression.operand);
      return primary(`bitcast<${wgslType(typeOf(expression))}>(${operand})`);
    }
    case 'load': {
      const buffer = scope.buffers.get(expression.buffer) as BufferParameter;
      return primary(loadText(buffer, scope.names.legal(expression.buffer), whole(expression.index), use));
    }
    case 'load_shared':
      return primary(`${scope.names.legal(expression.array)}[${whole(expression.index)}]`);
    case 'lane':
      return primary(`${at(expression.operand, scope, 'primary')}.${'xyzw'[expression.lane]}`);
    case 'shuffle': {
      const swizzle = expression.lanes.map((lane) => 'xyzw'[lane]).join('');
      return primary(`${at(expression.operand, scope, 'primary')}.${swizzle}`);
    }
    case 'lookup':
    case 'subgroup_lookup':
      return printLookup(expression, scope);
    case 'dot':
      return call('dot', expression.a, expression.b);
    case 'dot_bytes':
      return call(typeOf(expression).lanes === 1 ? 'dot4I8Packed' : use('dot_bytes_x4'), expression.a, expression.b);
    case 'subgroup_broadcast':
      return primary(`subgroupBroadcast(${whole(expression.operand)}, ${expression.source}u)`);
    case 'subgroup_reduce':
      return call(expression.operator === 'add' ? 'subgroupAdd' : 'subgroupMax', expression.operand);
    case 'subgroup_exchange':
      return primary(`subgroupShuffleXor(${whole(expression.operand)}, ${expression.mask}u)`);
    case 'pack':
      if (expression.to !== 'f16') throw new Flux2cError('F2C231', `WGSL has no pack to ${expression.to}`);
      // Factors of products, which are within the range of f16 or lost anyway: beyond it WGSL leaves the result open.
      return call('pack2x16float', expression.operand);
    case 'load_matrix':
      throw new Flux2cError('F2C231', `WGSL has no ${expression.kind}`);
    default:
      return unreachable(expression, 'expression');
  }
}

function printConstant(value: number, type: RegisterType, use: (helper: string) => string): ExpressionText {
  const scalar = printScalar(value, type, use);
  return type.lanes === 1 ? scalar : primary(`${wgslType(type)}(${scalar.text})`);
}

function printScalar(value: number, type: RegisterType, use: (helper: string) => string): ExpressionText {
  switch (type.scalar) {
    case 'bool':
      return primary(value !== 0 ? 'true' : 'false');
    case 'u32':
      return primary(`${value >>> 0}u`);
    case 'i32':
      // The literal 2147483648 is no i32, its negation as an abstract integer is.
      if (value === -(2 ** 31)) return primary('i32(-2147483648)');
      return signed(value, String(Math.abs(value)));
    case 'f32':
    case 'f16': {
      const wrap = (text: string): string => (type.scalar === 'f16' ? `f16(${text})` : text);
      if (Number.isNaN(value)) return primary(wrap(`${use('not_a_number')}()`));
      if (Object.is(value, -0)) return primary(wrap(`${use('negative_zero')}()`));
      const rounded = type.scalar === 'f32' ? Math.fround(value) : value;
      if (!Number.isFinite(rounded)) return signed(value, wrap(`${use('infinity')}()`));
      return signed(value, `${shortestDecimal(Math.abs(rounded))}${type.scalar === 'f32' ? 'f' : 'h'}`);
    }
    default:
      return unreachable(type.scalar, 'scalar type');
  }
}

function printLookup({ kind, values, operand }: LookupExpression, scope: WgslScope): ExpressionText {
  const use = (helper: string): string => {
    scope.helpers.add(helper);
    return helper;
  };
  const numbers = values.map((value) => printScalar(value, { scalar: 'f32', lanes: 1 }, use).text);
  const name = use(`${kind}_x${typeOf(operand).lanes}`);
  if (kind === 'subgroup_lookup') scope.builtins.add('subgroup_lane');
  const lane = kind === 'subgroup_lookup' ? ['subgroup_lane'] : [];
  return primary(`${name}(${[printExpression(operand, scope), ...lane, ...numbers].join(', ')})`);
}

function printUnary(operator: UnaryOperator, operand: Expression, scope: WgslScope): ExpressionText {
  const whole = printExpression(operand, scope);
  const type = typeOf(operand);
  switch (operator) {
    case 'neg':
      // Two minus signs in a row would be the decrement token.
      return { text: `-${at(operand, scope, 'primary')}`, tightness: 'unary' };
    case 'not':
      return { text: `${type.scalar === 'bool' ? '!' : '~'}${at(operand, scope, 'primary')}`, tightness: 'unary' };
    case 'rsqrt':
      return primary(`inverseSqrt(${whole})`);
    case 'reciprocal':
      return primary(`(1.0 / ${at(operand, scope, 'primary')})`);
    case 'tanh': {
      // Drivers compute tanh from exponentials that overflow to NaN; from 9.02 on it rounds to 1 in f32.
      const bound = (sign: string): string => (type.lanes === 1 ? `${sign}10.0` : `${wgslType(type)}(${sign}10.0)`);
      return primary(`tanh(clamp(${whole}, ${bound('-')}, ${bound('')}))`);
    }
    case 'abs':
    case 'exp':
    case 'exp2':
    case 'log':
    case 'sqrt':
    case 'sin':
    case 'cos':
    case 'floor':
      return primary(`${operator}(${whole})`);
    default:
      return unreachable(operator, 'unary operator');
  }
}

function printBinary(operator: BinaryOperator, left: Expression, right: Expression, scope: WgslScope): ExpressionText {
  const infix = infixText(operator, left, right, {
    at: (operand, needed) => at(operand, scope, needed),
    shiftAmount: (amount) => shiftAmount(amount, scope),
    maySkip: () => true,
  });
  return infix ?? primary(`${operator}(${printExpression(left, scope)}, ${printExpression(right, scope)})`);
}

/** WGSL shifts by u32 only. */
function shiftAmount(amount: Expression, scope: WgslScope): string {
  if (amount.kind === 'constant' && amount.type.lanes === 1) return `${amount.value}u`;
  const type = typeOf(amount);
  if (type.scalar === 'u32') return at(amount, scope, 'unary');
  return `${wgslType({ scalar: 'u32', lanes: type.lanes })}(${printExpression(amount, scope)})`;
}

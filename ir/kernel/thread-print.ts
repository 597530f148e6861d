import { unreachable } from '../diagnostics.js';
import { f32, i32, sameType, typeName } from './expressions.js';
import { infixOperators } from './infix.js';
import type {
  BarrierPlace,
  Expression,
  RegisterType,
  SharedMatrix,
  Statement,
  SubgroupProduct,
  TensorMap,
  ThreadKernel,
} from './thread.js';

/**
 * The text form of a thread kernel; `parseThreadKernel` reads it back to an equal kernel.
 *
 * Constants: `3` is i32, `3.0` f32, `true` bool, others carry their type (`0.0:f32x4`). Lanes: `v.x` is one, `v.yx` a
 * shuffle. The rest reads as usual, `&`, `^` and `|` binding looser than comparisons.
 */
export function printThreadKernel(kernel: ThreadKernel): string {
  const subgroup = kernel.subgroupSize === undefined ? '' : ` subgroup(${kernel.subgroupSize})`;
  const product = kernel.subgroupProduct === undefined ? '' : ` product(${printProduct(kernel.subgroupProduct)})`;
  const walk = kernel.walksTiles === true ? ' walks_tiles' : '';
  const parameters = kernel.parameters.length === 0 ? '' : ` params(${kernel.parameters.join(', ')})`;
  return [
    `kernel @${kernel.name} workgroup(${kernel.workgroupSize})${subgroup}${product}${walk}${parameters}`,
    ...kernel.buffers.map(({ name, access, storage, lanes }) => `  buffer ${name}: ${access} ${storage} x${lanes}`),
    ...kernel.shared.map(({ name, type, length }) => `  shared ${name}: ${typeName(type)}[${length}]`),
    ...(kernel.tensorMaps ?? []).map(printTensorMap),
    ...(kernel.barriers ?? []).map(
      ({ name, length, arrivals }) => `  barriers ${name}[${length}] arrivals(${arrivals})`,
    ),
    '{',
    ...kernel.body.flatMap((statement) => printStatement(statement, '  ')),
    '}',
    '',
  ].join('\n');
}

/** Rows, columns and depth, as the text form gives them. */
export function printProduct({ rows, columns, depth }: SubgroupProduct): string {
  return [rows, columns, depth].join(', ');
}

function printTensorMap({ name, buffer, offset, dimensions }: TensorMap): string {
  const parts = dimensions.map(({ extent, stride, box }) => `extent ${extent.text} stride ${stride.text} box ${box}`);
  return `  tensor ${name} of ${buffer} from ${offset.text} (${parts.join(', ')})`;
}

function printStatement(statement: Statement, indent: string): readonly string[] {
  const block = (body: readonly Statement[]): readonly string[] =>
    body.flatMap((inner) => printStatement(inner, `${indent}  `));
  const text = printThreadExpression;
  switch (statement.kind) {
    case 'let':
    case 'var':
      return [`${indent}${statement.kind} ${statement.name}: ${typeName(statement.type)} = ${text(statement.value)}`];
    case 'assign':
      return [`${indent}${statement.name} = ${text(statement.value)}`];
    case 'store':
      return [`${indent}${statement.buffer}[${text(statement.index)}] = ${text(statement.value)}`];
    case 'store_shared':
      return [`${indent}${statement.array}[${text(statement.index)}] = ${text(statement.value)}`];
    case 'for': {
      const range = `${text(statement.start)} to ${text(statement.end)} step ${statement.step}`;
      return [`${indent}for ${statement.variable} = ${range} {`, ...block(statement.body), `${indent}}`];
    }
    case 'if': {
      const head = [`${indent}if ${text(statement.condition)} {`, ...block(statement.then)];
      if (statement.otherwise === undefined) return [...head, `${indent}}`];
      return [...head, `${indent}} else {`, ...block(statement.otherwise), `${indent}}`];
    }
    case 'barrier':
      return [`${indent}barrier`];
    case 'copy_async': {
      const target = `${statement.array}[${text(statement.index)}]`;
      return [
        `${indent}copy_async ${target} = ${statement.buffer}[${text(statement.from)}] if ${text(statement.valid)}`,
      ];
    }
    case 'commit_copies':
      return [`${indent}commit_copies`];
    case 'wait_copies':
      return [`${indent}wait_copies(${statement.pending})`];
    case 'multiply_shared': {
      const { accumulators, operands, a, b, columns, fresh } = statement;
      const sign = fresh === true ? '=' : '+=';
      const left = a.kind === 'shared_matrix' ? printSharedMatrix(a) : text(a);
      const sums = accumulators.join(', ');
      return [`${indent}multiply_shared_${operands} x${columns} ${sums} ${sign} ${left} by ${printSharedMatrix(b)}`];
    }
    case 'share_writes':
    case 'begin_products':
    case 'commit_products':
      return [`${indent}${statement.kind}`];
    case 'wait_products':
      return [`${indent}wait_products(${statement.pending})`];
    case 'multiply_matrices': {
      const [first, second] = statement.accumulators;
      return [
        `${indent}multiply_${statement.operands} ${first}, ${second} += ${text(statement.a)} by ${text(statement.b)}`,
      ];
    }
    case 'declare_sums':
      return [`${indent}declare_sums ${statement.name}`];
    case 'load_factor': {
      const { name, side, array, index, pitch, byDepth } = statement;
      const order = side === 'right' && byDepth ? ' by_depth' : '';
      return [`${indent}load_factor ${side} ${name} = ${array}[${text(index)}] pitch ${pitch}${order}`];
    }
    case 'multiply_factors':
      return [`${indent}multiply_factors ${statement.sums} += ${statement.left} by ${statement.right}`];
    case 'store_sums': {
      const { sums, array, index, pitch } = statement;
      return [`${indent}store_sums ${array}[${text(index)}] pitch ${pitch} = ${sums}`];
    }
    case 'roles': {
      const roles = statement.roles.flatMap(({ name, invocations, registers, body }) => [
        `${indent}  ${name} invocations(${invocations}) registers(${registers}) {`,
        ...body.flatMap((inner) => printStatement(inner, `${indent}    `)),
        `${indent}  }`,
      ]);
      return [`${indent}roles {`, ...roles, `${indent}}`];
    }
    case 'copy_tensor': {
      const target = `${statement.array}[${text(statement.index)}]`;
      const box = `${statement.map}[${statement.at.map(text).join(', ')}]`;
      return [`${indent}copy_tensor ${target} = ${box} to ${printBarrier(statement.barrier)}`];
    }
    case 'expect_copies':
      return [`${indent}expect_copies ${printBarrier(statement.barrier)} bytes ${statement.bytes}`];
    case 'arrive':
      return [`${indent}arrive ${printBarrier(statement.barrier)}`];
    case 'wait_barrier':
      return [`${indent}wait_barrier ${printBarrier(statement.barrier)} parity ${text(statement.parity)}`];
    default:
      return unreachable(statement, 'statement');
  }
}

/** One barrier of an array, as the text form names it. */
export function printBarrier({ array, index }: BarrierPlace): string {
  return `${array}[${printThreadExpression(index)}]`;
}

function printSharedMatrix({ array, index, byDepth, blockLength }: SharedMatrix): string {
  return `matrix(${array}, ${printThreadExpression(index)}, ${byDepth ? 'rows' : 'columns'}, ${blockLength})`;
}

const unaryLevel = 8;
const postfixLevel = 9;

/** The text of one expression. */
export function printThreadExpression(expression: Expression): string {
  return print(expression, 0);
}

function print(expression: Expression, level: number): string {
  const [text, own] = printWithLevel(expression);
  return own < level ? `(${text})` : text;
}

function printWithLevel(expression: Expression): readonly [string, number] {
  const call = (name: string, ...parts: readonly Expression[]): readonly [string, number] => [
    `${name}(${parts.map(printThreadExpression).join(', ')})`,
    postfixLevel,
  ];
  switch (expression.kind) {
    case 'constant':
      return [printConstant(expression.value, expression.type), unaryLevel];
    case 'register':
    case 'parameter':
    case 'builtin':
      return [expression.name, postfixLevel];
    case 'unary':
      if (expression.operator === 'neg' || expression.operator === 'not') {
        return [`${expression.operator === 'neg' ? '-' : '!'}${print(expression.operand, postfixLevel)}`, unaryLevel];
      }
      return call(expression.operator, expression.operand);
    case 'binary': {
      const infix = infixOperators.find(([, operator]) => operator === expression.operator);
      if (infix === undefined) return call(expression.operator, expression.left, expression.right);
      const [sign, , level] = infix;
      return [`${print(expression.left, level)} ${sign} ${print(expression.right, level + 1)}`, level];
    }
    case 'fma':
      return call('fma', expression.a, expression.b, expression.c);
    case 'select':
      return call('select', expression.condition, expression.yes, expression.no);
    case 'convert':
      return call(`to_${expression.to}`, expression.operand);
    case 'bitcast':
      return call(`bits_as_${expression.to}`, expression.operand);
    case 'load':
      return [`${expression.buffer}[${printThreadExpression(expression.index)}]`, postfixLevel];
    case 'load_shared':
      return [`${expression.array}[${printThreadExpression(expression.index)}]`, postfixLevel];
    case 'splat':
      return call(`splat${expression.lanes}`, expression.operand);
    case 'vector':
      return call('vector', ...expression.parts);
    case 'lane':
      return [`${print(expression.operand, postfixLevel)}.${'xyzw'[expression.lane]}`, postfixLevel];
    case 'shuffle': {
      const swizzle = expression.lanes.map((lane) => 'xyzw'[lane]).join('');
      return [`${print(expression.operand, postfixLevel)}.${swizzle}`, postfixLevel];
    }
    case 'lookup':
    case 'subgroup_lookup': {
      const values = expression.values.map((value) => printNumber(value, true)).join(', ');
      return [`${expression.kind}(${printThreadExpression(expression.operand)}, [${values}])`, postfixLevel];
    }
    case 'dot':
    case 'dot_bytes':
      return call(expression.kind, expression.a, expression.b);
    case 'subgroup_broadcast':
      return [`subgroup_broadcast(${printThreadExpression(expression.operand)}, ${expression.source})`, postfixLevel];
    case 'subgroup_reduce':
      return call(`subgroup_${expression.operator}`, expression.operand);
    case 'subgroup_exchange':
      return [`subgroup_exchange(${printThreadExpression(expression.operand)}, ${expression.mask})`, postfixLevel];
    case 'pack':
      return call(`pack_${expression.to}`, expression.operand);
    case 'load_matrix': {
      const name = expression.transposed ? 'load_matrix_transposed' : 'load_matrix';
      return [`${name}(${expression.array}, ${printThreadExpression(expression.index)})`, postfixLevel];
    }
    default:
      return unreachable(expression, 'expression');
  }
}

function printConstant(value: number, type: RegisterType): string {
  if (sameType(type, i32)) return printNumber(value, false);
  if (sameType(type, f32)) return printNumber(value, true);
  if (type.scalar === 'bool' && type.lanes === 1) return value !== 0 ? 'true' : 'false';
  return `${printNumber(value, type.scalar === 'f32' || type.scalar === 'f16')}:${typeName(type)}`;
}

function printNumber(value: number, isFloat: boolean): string {
  if (Number.isNaN(value)) return 'nan';
  const sign = value < 0 || Object.is(value, -0) ? '-' : '';
  const magnitude = Math.abs(value);
  if (magnitude === Infinity) return `${sign}inf`;
  return `${sign}${magnitude}${isFloat && !/[.e]/.test(`${magnitude}`) ? '.0' : ''}`;
}

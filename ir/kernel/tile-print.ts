import { unreachable } from '../diagnostics.js';
import { infixOperators } from './infix.js';
import type { Axis, IndexCondition, IndexTerm, TileExpression, TileKernel, TileStatement } from './tile.js';

/**
 * The text form of a tile kernel; `parseTileKernel` reads it back to an equal kernel.
 *
 * Indices are polynomials in brackets: `x[m*256+k if k >= 2, k < 9]` reads zero where a condition fails. A value that depends
 * on conditions is `when(k < 9: yes, no)`, an index as a number `index(m+1)`.
 */
export function printTileKernel(kernel: TileKernel): string {
  const parameters = kernel.parameters.length === 0 ? '' : ` params(${kernel.parameters.join(', ')})`;
  return [
    `kernel @${kernel.name}${parameters}`,
    ...kernel.buffers.map(
      ({ name, access, storage, alignment }) => `  buffer ${name}: ${access} ${storage} align ${alignment}`,
    ),
    ...kernel.axes.map(printAxis),
    ...kernel.terms.map(printTerm),
    '{',
    ...kernel.body.flatMap((statement) => printStatement(statement, '  ')),
    '}',
    '',
  ].join('\n');
}

function printAxis({ name, kind, extent, tile }: Axis): string {
  return `  axis ${name} = ${kind.replace('_', ' ')}, extent ${extent.text}, tile ${tile}`;
}

function printTerm(term: IndexTerm): string {
  switch (term.kind) {
    case 'floor':
    case 'modulo':
      return `  term ${term.name} = ${term.kind}(${term.of.text}, ${term.by.text})`;
    case 'exclusive_or':
      return `  term ${term.name} = exclusive_or(${term.of.text}, ${term.mask})`;
    case 'loaded':
      return `  term ${term.name} = loaded(${term.buffer}[${term.at.text}], ${term.limit.text})`;
    default:
      return unreachable(term, 'index term');
  }
}

function printStatement(statement: TileStatement, indent: string): readonly string[] {
  const text = (expression: TileExpression): string => print(expression, 0);
  switch (statement.kind) {
    case 'tile':
      return [`${indent}tile ${statement.name}[${statement.axes.join(', ')}] = ${text(statement.value)}`];
    case 'assign':
      return [`${indent}${statement.name} = ${text(statement.value)}`];
    case 'contract': {
      const { a, b, inBytes } = statement;
      const product = text({ kind: 'binary', operator: 'mul', left: a, right: b });
      return [
        `${indent}contract ${statement.name} over ${statement.over}${inBytes === true ? ' in bytes' : ''}: ${product}`,
      ];
    }
    case 'reduce': {
      const { operator, name, over, padded, value } = statement;
      return [`${indent}reduce ${operator} ${name} over ${over}${padded === true ? ' padded' : ''}: ${text(value)}`];
    }
    case 'for': {
      const body = statement.body.flatMap((inner) => printStatement(inner, `${indent}  `));
      const where = printConditions(' if ', statement.conditions ?? []);
      return [`${indent}for ${statement.axis}${where} {`, ...body, `${indent}}`];
    }
    case 'store': {
      const { buffer, axes, index, conditions, value } = statement;
      const place = `${buffer}[${index.text}${printConditions(' if ', conditions)}]`;
      return [`${indent}store ${place} for [${axes.join(', ')}] = ${text(value)}`];
    }
    default:
      return unreachable(statement, 'tile statement');
  }
}

function printConditions(before: string, conditions: readonly IndexCondition[]): string {
  if (conditions.length === 0) return '';
  const texts = conditions.map(({ kind, left, right }) => `${left.text} ${kind === 'less' ? '<' : '>='} ${right.text}`);
  return `${before}${texts.join(', ')}`;
}

const unaryLevel = 8;
const primaryLevel = 9;

function print(expression: TileExpression, level: number): string {
  const [text, own] = printWithLevel(expression);
  return own < level ? `(${text})` : text;
}

function printWithLevel(expression: TileExpression): readonly [string, number] {
  const call = (name: string, ...parts: readonly TileExpression[]): readonly [string, number] => [
    `${name}(${parts.map((part) => print(part, 0)).join(', ')})`,
    primaryLevel,
  ];
  switch (expression.kind) {
    case 'number': {
      const { value } = expression;
      if (Number.isNaN(value)) return ['nan', unaryLevel];
      const sign = value < 0 || Object.is(value, -0) ? '-' : '';
      return [`${sign}${Math.abs(value) === Infinity ? 'inf' : Math.abs(value)}`, unaryLevel];
    }
    case 'tile':
      return [expression.name, primaryLevel];
    case 'index':
      return [`index(${expression.index.text})`, primaryLevel];
    case 'load': {
      const { buffer, index, conditions } = expression;
      return [`${buffer}[${index.text}${printConditions(' if ', conditions)}]`, primaryLevel];
    }
    case 'unary':
      if (expression.operator === 'neg') return [`-${print(expression.operand, primaryLevel)}`, unaryLevel];
      if (expression.operator === 'not') return [`!${print(expression.operand, primaryLevel)}`, unaryLevel];
      return call(expression.operator, expression.operand);
    case 'binary': {
      const infix = infixOperators.find(([, operator]) => operator === expression.operator);
      if (infix === undefined) return call(expression.operator, expression.left, expression.right);
      const [sign, , level] = infix;
      return [`${print(expression.left, level)} ${sign} ${print(expression.right, level + 1)}`, level];
    }
    case 'select':
      return call('select', expression.condition, expression.yes, expression.no);
    case 'when': {
      const conditions = printConditions('', expression.conditions);
      return [`when(${conditions}: ${print(expression.yes, 0)}, ${print(expression.no, 0)})`, primaryLevel];
    }
    case 'convert':
      return call(`to_${expression.to}`, expression.operand);
    case 'exchange':
      return [`exchange(${expression.axis}, ${expression.mask}, ${print(expression.operand, 0)})`, primaryLevel];
    case 'decode': {
      const fields = expression.fields.map((field) => print(field, 0)).join(', ');
      return [`decode_${expression.encoding.replace(':', '_')}(${expression.column.text}: ${fields})`, primaryLevel];
    }
    default:
      return unreachable(expression, 'tile expression');
  }
}

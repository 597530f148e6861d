/** A kernel's tile form for readers without this compiler: index polynomials as text, expressions as a list of nodes. */
import { unreachable } from '../../ir/diagnostics.js';
import type { IndexCondition, TileExpression, TileKernel, TileStatement } from '../../ir/kernel/tile.js';

type Node = readonly [kind: string, ...parts: unknown[]];

export interface TileJson {
  readonly axes: readonly {
    readonly name: string;
    readonly kind: string;
    readonly extent: string;
    readonly tile: number;
  }[];
  readonly terms: readonly (readonly unknown[])[];
  /** Operands are indices of earlier nodes. */
  readonly nodes: readonly Node[];
  readonly body: readonly StatementJson[];
}

type StatementJson = readonly [kind: string, ...parts: unknown[]];

export function tileToJson(kernel: TileKernel): TileJson {
  const nodes: Node[] = [];
  const places = new Map<TileExpression, number>();
  const place = (expression: TileExpression): number => {
    let at = places.get(expression);
    if (at === undefined) {
      const node = describe(expression, place);
      at = nodes.push(node) - 1;
      places.set(expression, at);
    }
    return at;
  };
  const statement = (step: TileStatement): StatementJson => {
    switch (step.kind) {
      case 'tile':
        return ['tile', step.name, step.axes, place(step.value)];
      case 'assign':
        return ['assign', step.name, place(step.value)];
      case 'contract':
        return ['contract', step.name, step.over, place(step.a), place(step.b)];
      case 'reduce':
        return ['reduce', step.name, step.over, step.operator, place(step.value)];
      case 'for':
        return ['for', step.axis, step.body.map(statement)];
      case 'store':
        return ['store', step.buffer, step.axes, step.index.text, conditions(step.conditions), place(step.value)];
      default:
        return unreachable(step, 'tile statement');
    }
  };
  const body = kernel.body.map(statement);
  return {
    axes: kernel.axes.map(({ name, kind, extent, tile }) => ({ name, kind, extent: extent.text, tile })),
    terms: kernel.terms.map((term) => {
      switch (term.kind) {
        case 'floor':
        case 'modulo':
          return [term.kind, term.name, term.of.text, term.by.text];
        case 'exclusive_or':
          return [term.kind, term.name, term.of.text, term.mask];
        case 'loaded':
          return [term.kind, term.name, term.buffer, term.at.text, term.limit.text];
        default:
          return unreachable(term, 'index term');
      }
    }),
    nodes,
    body,
  };
}

function conditions(list: readonly IndexCondition[]): readonly unknown[] {
  return list.map(({ kind, left, right }) => [kind, left.text, right.text]);
}

function describe(expression: TileExpression, place: (operand: TileExpression) => number): Node {
  switch (expression.kind) {
    case 'number':
      // JSON has no infinities.
      return ['number', Number.isFinite(expression.value) ? expression.value : String(expression.value)];
    case 'tile':
      return ['tile', expression.name];
    case 'index':
      return ['index', expression.index.text];
    case 'load':
      return ['load', expression.buffer, expression.index.text, conditions(expression.conditions)];
    case 'unary':
      return ['unary', expression.operator, place(expression.operand)];
    case 'binary':
      return ['binary', expression.operator, place(expression.left), place(expression.right)];
    case 'select':
      return ['select', place(expression.condition), place(expression.yes), place(expression.no)];
    case 'when':
      return ['when', conditions(expression.conditions), place(expression.yes), place(expression.no)];
    case 'convert':
      return ['convert', expression.to, place(expression.operand)];
    case 'exchange':
      return ['exchange', expression.axis, expression.mask, place(expression.operand)];
    case 'decode':
      return ['decode', expression.encoding, expression.column.text, expression.fields.map(place)];
    default:
      return unreachable(expression, 'tile expression');
  }
}

import { unreachable } from '../diagnostics.js';
import { walkExpression } from './expressions.js';
import type { Expression, Statement, ThreadKernel } from './thread.js';

/** Calls `visit` on every statement, outer before inner, in program order. */
export function forEachStatement(body: readonly Statement[], visit: (statement: Statement) => void): void {
  for (const statement of body) {
    visit(statement);
    if (statement.kind === 'for') forEachStatement(statement.body, visit);
    if (statement.kind === 'if') {
      forEachStatement(statement.then, visit);
      if (statement.otherwise !== undefined) forEachStatement(statement.otherwise, visit);
    }
    if (statement.kind === 'roles') for (const { body: inner } of statement.roles) forEachStatement(inner, visit);
  }
}

/** Calls `visit` on every expression and all its parts. */
export function forEachExpression(body: readonly Statement[], visit: (expression: Expression) => void): void {
  forEachStatement(body, (statement) => {
    for (const expression of expressionsOf(statement)) walkExpression(expression, visit);
  });
}

/** The expressions of a statement itself, not of its blocks. */
export function expressionsOf(statement: Statement): readonly Expression[] {
  switch (statement.kind) {
    case 'let':
    case 'var':
    case 'assign':
      return [statement.value];
    case 'store':
    case 'store_shared':
      return [statement.index, statement.value];
    case 'for':
      return [statement.start, statement.end];
    case 'if':
      return [statement.condition];
    case 'copy_async':
      return [statement.index, statement.from, statement.valid];
    case 'load_factor':
    case 'store_sums':
      return [statement.index];
    case 'multiply_matrices':
      return [statement.a, statement.b];
    case 'multiply_shared':
      return [statement.a.kind === 'shared_matrix' ? statement.a.index : statement.a, statement.b.index];
    case 'copy_tensor':
      return [statement.index, ...statement.at, statement.barrier.index];
    case 'expect_copies':
    case 'arrive':
      return [statement.barrier.index];
    case 'wait_barrier':
      return [statement.barrier.index, statement.parity];
    case 'declare_sums':
    case 'multiply_factors':
    case 'roles':
    case 'barrier':
    case 'share_writes':
    case 'begin_products':
    case 'commit_products':
    case 'wait_products':
    case 'commit_copies':
    case 'wait_copies':
      return [];
    default:
      return unreachable(statement, 'statement');
  }
}

/** Every name a kernel declares: buffers, parameters, shared arrays, tensor maps, barriers, registers, sums and factors. */
export function namesOf(kernel: ThreadKernel): readonly string[] {
  const { buffers, shared, tensorMaps = [], barriers = [] } = kernel;
  const names = [...buffers, ...shared, ...tensorMaps, ...barriers].map(({ name }) => name).concat(kernel.parameters);
  forEachStatement(kernel.body, (statement) => {
    switch (statement.kind) {
      case 'let':
      case 'var':
      case 'declare_sums':
      case 'load_factor':
        names.push(statement.name);
        return;
      case 'for':
        names.push(statement.variable);
    }
  });
  return names;
}

import { typeOf } from '../../ir/kernel/expressions.js';
import type { Expression } from '../../ir/kernel/thread.js';
import type { WasmScope } from './wasm-scope.js';

/** constant + sum of coefficient · atom, modulo 2^32; atoms are i32 expressions that are no sums. */
export interface LinearForm {
  readonly constant: number;
  readonly terms: readonly { readonly coefficient: number; readonly atom: Expression }[];
}

/** More terms than this are not gathered: the sum stays an atom. */
const mostTerms = 8;

/**
 * The linear form of an i32 expression. Reordering sums is exact, since i32 arithmetic wraps. Registers whose form is
 * known are looked through, so an address splits into what each loop changes, whatever names the schedule gave the parts.
 */
export function linearForm(scope: WasmScope, expression: Expression): LinearForm {
  const itself: LinearForm = { constant: 0, terms: [{ coefficient: 1, atom: expression }] };
  switch (expression.kind) {
    case 'constant':
      return { constant: expression.value | 0, terms: [] };
    case 'register':
      return scope.register(expression.name).linear ?? itself;
    case 'convert':
    case 'bitcast':
      return isInteger(expression) && isInteger(expression.operand) ? linearForm(scope, expression.operand) : itself;
    case 'binary': {
      if (!isInteger(expression)) return itself;
      const left = linearForm(scope, expression.left);
      const right = linearForm(scope, expression.right);
      if (expression.operator === 'add') return sum(scope, left, right) ?? itself;
      if (expression.operator === 'sub') return sum(scope, left, scale(right, -1)) ?? itself;
      if (expression.operator === 'mul' && right.terms.length === 0) return scale(left, right.constant);
      if (expression.operator === 'mul' && left.terms.length === 0) return scale(right, left.constant);
      if (expression.operator === 'shift_left' && right.terms.length === 0 && right.constant < 32)
        return scale(left, 1 << right.constant);
      return itself;
    }
    default:
      return itself;
  }
}

/** Whether uses of a register may compute its form again: nothing in it changes later or costs more than the register. */
export function isRepeatable(scope: WasmScope, form: LinearForm): boolean {
  return form.terms.every(({ atom }) => {
    switch (atom.kind) {
      case 'register':
        return !scope.register(atom.name).mutable;
      case 'parameter':
      case 'builtin':
        return true;
      default:
        return isStable(scope, atom) && scope.depthOf(atom) < scope.depth;
    }
  });
}

function isStable(scope: WasmScope, expression: Expression): boolean {
  switch (expression.kind) {
    case 'register':
      return !scope.register(expression.name).mutable;
    case 'binary':
      return isStable(scope, expression.left) && isStable(scope, expression.right);
    default:
      return expression.kind === 'constant' || expression.kind === 'parameter' || expression.kind === 'builtin';
  }
}

function isInteger(expression: Expression): boolean {
  const type = typeOf(expression);
  return type.lanes === 1 && (type.scalar === 'i32' || type.scalar === 'u32');
}

function scale(form: LinearForm, factor: number): LinearForm {
  return {
    constant: Math.imul(form.constant, factor),
    terms: form.terms.map(({ coefficient, atom }) => ({ coefficient: Math.imul(coefficient, factor), atom })),
  };
}

function sum(scope: WasmScope, left: LinearForm, right: LinearForm): LinearForm | undefined {
  const terms = [...left.terms];
  for (const term of right.terms) {
    const key = scope.key(term.atom);
    const index = terms.findIndex((other) => scope.key(other.atom) === key);
    const same = terms[index];
    if (same === undefined) terms.push(term);
    else terms[index] = { atom: term.atom, coefficient: (same.coefficient + term.coefficient) | 0 };
  }
  const kept = terms.filter((term) => term.coefficient !== 0);
  return kept.length > mostTerms ? undefined : { constant: (left.constant + right.constant) | 0, terms: kept };
}

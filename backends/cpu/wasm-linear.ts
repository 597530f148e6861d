import { typeOf } from '../../ir/kernel/expressions.js';
import type { Expression } from '../../ir/kernel/thread.js';
import { parameterRegister, type WasmScope } from './wasm-scope.js';

/**
 * (constant + sum of coefficient · atom) / divisor, modulo 2^32 where it is multiplied by the divisor; atoms are i32 expressions that
 * are no sums. The divisor is a power of two and divides the sum.
 */
export interface LinearForm {
  readonly divisor: number;
  readonly constant: number;
  readonly terms: readonly { readonly coefficient: number; readonly atom: Expression }[];
}

/** More terms than this are not gathered: the sum stays an atom. */
const mostTerms = 8;
/** What zero is a multiple of, and more than any vector has lanes. */
const largestFactor = 2 ** 20;

/**
 * The linear form of an i32 expression. Reordering sums is exact, since i32 arithmetic wraps. Registers whose form is
 * known are looked through, so an address splits into what each loop changes, whatever names the schedule gave the parts.
 */
export function linearForm(scope: WasmScope, expression: Expression): LinearForm {
  const itself = atomForm(expression);
  switch (expression.kind) {
    case 'constant':
      return { divisor: 1, constant: expression.value | 0, terms: [] };
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
      if (expression.operator === 'mul' && isNumber(right)) return scale(left, right.constant);
      if (expression.operator === 'mul' && isNumber(left)) return scale(right, left.constant);
      if (!isNumber(right) || right.constant < 0 || right.constant >= 20) return itself;
      if (expression.operator === 'shift_left') return scale(left, 1 << right.constant);
      const by = 1 << right.constant;
      // Elements to vectors: the bits that are shifted out are zeros.
      if (expression.operator === 'shift_right' && left.divisor === 1 && factorOfForm(scope, left) % by === 0)
        return { ...left, divisor: by };
      return itself;
    }
    default:
      return itself;
  }
}

/** The expression as a form of one term. */
export function atomForm(atom: Expression): LinearForm {
  return { divisor: 1, constant: 0, terms: [{ coefficient: 1, atom }] };
}

/** A power of two that divides an i32 expression's value. */
export function factorOf(scope: WasmScope, expression: Expression): number {
  switch (expression.kind) {
    case 'constant':
      return factorOfNumber(expression.value);
    case 'register':
      return scope.register(expression.name).factor ?? 1;
    case 'parameter':
      return scope.register(parameterRegister(expression.name)).factor ?? 1;
    case 'convert':
    case 'bitcast':
      return isInteger(expression) && isInteger(expression.operand) ? factorOf(scope, expression.operand) : 1;
    case 'binary': {
      if (!isInteger(expression)) return 1;
      const [left, right] = [factorOf(scope, expression.left), factorOf(scope, expression.right)];
      if (expression.operator === 'mul') return Math.min(left * right, largestFactor);
      const keeps = ['add', 'sub', 'min', 'max', 'xor', 'or'].includes(expression.operator);
      return keeps ? Math.min(left, right) : 1;
    }
    case 'select':
      return Math.min(factorOf(scope, expression.yes), factorOf(scope, expression.no));
    default:
      return 1;
  }
}

function factorOfNumber(value: number): number {
  return value === 0 ? largestFactor : Math.min(Math.abs(value & -value), largestFactor);
}

function factorOfForm(scope: WasmScope, { constant, terms }: LinearForm): number {
  return terms.reduce(
    (factor, { coefficient, atom }) => Math.min(factor, factorOfNumber(coefficient) * factorOf(scope, atom)),
    factorOfNumber(constant),
  );
}

function isNumber({ terms, divisor }: LinearForm): boolean {
  return terms.length === 0 && divisor === 1;
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
    divisor: form.divisor,
    constant: Math.imul(form.constant, factor),
    terms: form.terms.map(({ coefficient, atom }) => ({ coefficient: Math.imul(coefficient, factor), atom })),
  };
}

/** The form with a larger divisor. */
function dividedBy(form: LinearForm, divisor: number): LinearForm {
  return { ...scale(form, divisor / form.divisor), divisor };
}

function sum(scope: WasmScope, first: LinearForm, second: LinearForm): LinearForm | undefined {
  const divisor = Math.max(first.divisor, second.divisor);
  const [left, right] = [dividedBy(first, divisor), dividedBy(second, divisor)];
  const terms = [...left.terms];
  for (const term of right.terms) {
    const key = scope.key(term.atom);
    const index = terms.findIndex((other) => scope.key(other.atom) === key);
    const same = terms[index];
    if (same === undefined) terms.push(term);
    else terms[index] = { atom: term.atom, coefficient: (same.coefficient + term.coefficient) | 0 };
  }
  const kept = terms.filter((term) => term.coefficient !== 0);
  return kept.length > mostTerms ? undefined : { divisor, constant: (left.constant + right.constant) | 0, terms: kept };
}

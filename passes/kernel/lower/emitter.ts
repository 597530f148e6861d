import type { Expression, RegisterType, Statement } from '../../../ir/kernel/thread.js';

export const f32: RegisterType = { scalar: 'f32', lanes: 1 };
export const i32: RegisterType = { scalar: 'i32', lanes: 1 };
export const bool: RegisterType = { scalar: 'bool', lanes: 1 };

interface Scope {
  readonly statements: Statement[];
  /** Values already computed here, by structural key. */
  readonly known: Map<string, Expression>;
}

/**
 * Writes statements of a thread kernel. Pure integer expressions are bound once, in the outermost scope that has all they
 * need: address arithmetic leaves the loops it does not depend on, whatever order it is asked for in.
 */
export class Emitter {
  private readonly scopes: Scope[] = [{ statements: [], known: new Map() }];
  private readonly depthOf = new Map<string, number>();
  private counter = 0;

  get statements(): readonly Statement[] {
    return (this.scopes[0] as Scope).statements;
  }

  get depth(): number {
    return this.scopes.length - 1;
  }

  push(statement: Statement): void {
    (this.scopes.at(-1) as Scope).statements.push(statement);
  }

  freshName(hint: string): string {
    return `${hint}_${this.counter++}`;
  }

  /** Declares a name as defined in the current scope and returns a reference to it. */
  declare(kind: 'let' | 'var', name: string, type: RegisterType, value: Expression): Expression {
    this.push({ kind, name, type, value });
    this.depthOf.set(name, this.depth);
    return { kind: 'register', name, type };
  }

  /** A value that is not hoisted (loads, arithmetic on mutable registers). */
  bind(hint: string, type: RegisterType, value: Expression): Expression {
    if (value.kind === 'register' || value.kind === 'constant') return value;
    return this.declare('let', this.freshName(hint), type, value);
  }

  /** A pure value of immutable registers: computed once, as far out as possible. */
  hoist(hint: string, type: RegisterType, value: Expression): Expression {
    if (value.kind === 'register' || value.kind === 'constant') return value;
    const depth = this.depthNeeded(value);
    const key = JSON.stringify(value);
    for (let outer = 0; outer <= depth; outer++) {
      const known = (this.scopes[outer] as Scope).known.get(key);
      if (known !== undefined) return known;
    }
    const scope = this.scopes[depth] as Scope;
    const name = this.freshName(hint);
    scope.statements.push({ kind: 'let', name, type, value });
    this.depthOf.set(name, depth);
    const register: Expression = { kind: 'register', name, type };
    scope.known.set(key, register);
    return register;
  }

  /** The scope (0 = kernel body) in which everything the expression names is defined. */
  depthNeeded(expression: Expression): number {
    switch (expression.kind) {
      case 'register':
        return this.depthOf.get(expression.name) ?? 0;
      case 'constant':
      case 'parameter':
      case 'builtin':
        return 0;
      case 'load':
      case 'load_shared':
        return this.depth;
      case 'unary':
      case 'convert':
      case 'bitcast':
      case 'splat':
      case 'lane':
      case 'shuffle':
      case 'subgroup_broadcast':
      case 'subgroup_reduce':
        return this.depthNeeded(expression.operand);
      case 'binary':
        return Math.max(this.depthNeeded(expression.left), this.depthNeeded(expression.right));
      case 'dot':
        return Math.max(this.depthNeeded(expression.a), this.depthNeeded(expression.b));
      case 'fma':
        return Math.max(...[expression.a, expression.b, expression.c].map((part) => this.depthNeeded(part)));
      case 'select':
        return Math.max(...[expression.condition, expression.yes, expression.no].map((part) => this.depthNeeded(part)));
      case 'vector':
        return Math.max(...expression.parts.map((part) => this.depthNeeded(part)));
    }
  }

  /** for (variable = start; variable < end; variable += step). */
  loop(hint: string, start: Expression, end: Expression, step: number, body: (variable: Expression) => void): void {
    const variable = this.freshName(hint);
    this.scopes.push({ statements: [], known: new Map() });
    this.depthOf.set(variable, this.depth);
    body({ kind: 'register', name: variable, type: i32 });
    const scope = this.scopes.pop() as Scope;
    this.push({ kind: 'for', variable, start, end, step, body: scope.statements });
  }

  /** Statements that run only where the condition holds. */
  when(condition: Expression | undefined, body: () => void): void {
    if (condition === undefined) {
      body();
      return;
    }
    this.scopes.push({ statements: [], known: new Map() });
    body();
    const scope = this.scopes.pop() as Scope;
    this.push({ kind: 'if', condition, then: scope.statements });
  }
}

export function integer(value: number): Expression {
  return { kind: 'constant', type: i32, value };
}

export function add(left: Expression, right: Expression): Expression {
  if (left.kind === 'constant' && right.kind === 'constant') return integer(left.value + right.value);
  if (left.kind === 'constant' && left.value === 0) return right;
  if (right.kind === 'constant' && right.value === 0) return left;
  return { kind: 'binary', operator: 'add', left, right };
}

export function multiply(left: Expression, right: Expression): Expression {
  if (left.kind === 'constant' && right.kind === 'constant') return integer(left.value * right.value);
  if (left.kind === 'constant') return left.value === 1 ? right : multiply(right, left);
  if (right.kind === 'constant' && right.value === 1) return left;
  if (right.kind === 'constant' && right.value === 0) return right;
  return { kind: 'binary', operator: 'mul', left, right };
}

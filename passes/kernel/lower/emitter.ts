import { i32, operandsOf } from '../../../ir/kernel/expressions.js';
import type { Expression, RegisterType, Statement } from '../../../ir/kernel/thread.js';

interface Scope {
  /** The body of a loop: what is read in it may as well be read before it. */
  readonly isLoop: boolean;
  readonly statements: Statement[];
  /** Values already computed here, by structural key. */
  readonly known: Map<string, Expression>;
}

/**
 * Writes statements of a thread kernel. Pure integer expressions are bound once, in the outermost scope that has all they
 * need: address arithmetic leaves the loops it does not depend on, whatever order it is asked for in.
 */
export class Emitter {
  private readonly scopes: Scope[] = [{ isLoop: false, statements: [], known: new Map() }];
  private readonly depthOf = new Map<string, number>();
  private counter = 0;

  get statements(): readonly Statement[] {
    return (this.scopes[0] as Scope).statements;
  }

  get depth(): number {
    return this.scopes.length - 1;
  }

  /** Nothing but loops is open: all invocations come here. */
  get isUnconditional(): boolean {
    return this.scopes.slice(1).every(({ isLoop }) => isLoop);
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
    return this.bindAt(this.depthNeeded(value), hint, type, value);
  }

  /** A load from memory that nothing writes: once, before the loops that its address does not depend on. */
  keep(hint: string, load: Extract<Expression, { kind: 'load' }>): Expression {
    const inside = this.scopes.findLastIndex(({ isLoop }) => !isLoop);
    return this.bindAt(Math.max(inside, this.depthNeeded(load.index)), hint, load.type, load);
  }

  private bindAt(depth: number, hint: string, type: RegisterType, value: Expression): Expression {
    if (value.kind === 'register' || value.kind === 'constant') return value;
    const key = keyOf(value);
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
    if (expression.kind === 'register') return this.depthOf.get(expression.name) ?? 0;
    // What is in memory may change from statement to statement.
    if (expression.kind === 'load' || expression.kind === 'load_shared') return this.depth;
    return operandsOf(expression).reduce((depth, operand) => Math.max(depth, this.depthNeeded(operand)), 0);
  }

  /** for (variable = start; variable < end; variable += step). `before` may write what only the body's making has shown to be needed. */
  loop(
    hint: string,
    start: Expression,
    end: Expression,
    step: number,
    body: (variable: Expression) => void,
    before?: () => void,
  ): void {
    const variable = this.freshName(hint);
    this.scopes.push({ isLoop: true, statements: [], known: new Map() });
    this.depthOf.set(variable, this.depth);
    body({ kind: 'register', name: variable, type: i32 });
    const scope = this.scopes.pop() as Scope;
    before?.();
    this.push({ kind: 'for', variable, start, end, step, body: scope.statements });
  }

  /** Statements apart, for a statement that holds them. */
  block(body: () => void): readonly Statement[] {
    this.scopes.push({ isLoop: false, statements: [], known: new Map() });
    body();
    return (this.scopes.pop() as Scope).statements;
  }

  /** Statements that run only where the condition holds. */
  when(condition: Expression | undefined, body: () => void): void {
    if (condition === undefined) {
      body();
      return;
    }
    this.push({ kind: 'if', condition, then: this.block(body) });
  }

  /** One of two blocks of statements. */
  either(condition: Expression, yes: () => void, no: () => void): void {
    const [then, otherwise] = [this.block(yes), this.block(no)];
    this.push({ kind: 'if', condition, then, otherwise });
  }
}

/** A text that only equal expressions share. Addresses are mostly sums and products, which JSON takes long for. */
function keyOf(value: Expression): string {
  switch (value.kind) {
    case 'register':
      return value.name;
    case 'parameter':
      return `$${value.name}`;
    case 'constant':
      return `${value.type.scalar}x${value.type.lanes} ${Object.is(value.value, -0) ? '-0' : value.value}`;
    case 'binary':
      return `(${keyOf(value.left)} ${value.operator} ${keyOf(value.right)})`;
    default:
      return JSON.stringify(value);
  }
}

import { Flux2cError, unreachable } from '../diagnostics.js';
import { i32 } from './expressions.js';
import type { Statement } from './thread.js';
import { compileArrival, CompiledWait, failWaiting } from './thread-interpret-barriers.js';
import { compileCopy, expectTogether } from './thread-interpret-copies.js';
import { compileExpression } from './thread-interpret-expressions.js';
import type { CompiledExpression, InterpretScope } from './thread-interpret-expressions.js';
import { compileProduct, compileSharedProduct } from './thread-interpret-matrix.js';
import { createValues } from './thread-interpret-memory.js';
import type { Invocations, Values } from './thread-interpret-memory.js';
import { compileRoles } from './thread-interpret-roles.js';
import { compileSubgroupProduct } from './thread-interpret-subgroup-products.js';
import { compileTensorCopy } from './thread-interpret-tensors.js';

/** Statements ready to run for all active invocations. */
export function compileBlock(body: readonly Statement[], scope: InterpretScope): () => void {
  const steps = body.map((statement) => compileStatement(statement, scope));
  return () => {
    for (const step of steps) step();
  };
}

/** One statement, likewise. */
export function compileStatement(statement: Statement, scope: InterpretScope): () => void {
  const { invocations } = scope;
  switch (statement.kind) {
    case 'let':
    case 'var':
    case 'assign': {
      const value = compileExpression(statement.value, scope);
      let register = scope.registers.get(statement.name);
      if (statement.kind !== 'assign') {
        register = createValues(statement.type, invocations.count);
        scope.registers.set(statement.name, register);
      }
      if (register === undefined) {
        throw new Flux2cError('F2C220', `'${statement.name}' is not defined where the kernel assigns it`);
      }
      const target = register;
      return () => {
        value.run();
        copyActive(value.values, target, invocations);
      };
    }
    case 'store':
    case 'store_shared': {
      const index = compileExpression(statement.index, scope);
      const value = compileExpression(statement.value, scope);
      const target =
        statement.kind === 'store' ? scope.buffers.get(statement.buffer) : scope.shared.get(statement.array);
      if (target === undefined) throw new Flux2cError('F2C226', 'the kernel stores to memory that it does not declare');
      return () => {
        index.run();
        value.run();
        target.store(index.values, value.values);
      };
    }
    case 'for':
      return compileFor(statement, scope);
    case 'if':
      return compileIf(statement, scope);
    case 'barrier':
      return () => {
        if (invocations.active.includes(0)) {
          throw new Flux2cError('F2C243', 'not all invocations of the workgroup reach a barrier', {
            where: [`kernel @${invocations.kernelName}`],
            found: `invocation ${invocations.active.indexOf(0)} of workgroup (${invocations.workgroup.join(', ')}) does not`,
          });
        }
        invocations.order.synchronize();
      };
    case 'copy_async':
      return compileCopy(statement, scope);
    case 'commit_copies':
      return () => {
        expectTogether(scope);
        scope.copies.commit();
      };
    case 'wait_copies':
      return () => {
        expectTogether(scope);
        scope.copies.wait(statement.pending);
      };
    case 'multiply_matrices':
      return compileProduct(statement, scope);
    case 'multiply_shared':
      return compileSharedProduct(statement, scope);
    case 'declare_sums':
    case 'load_factor':
    case 'multiply_factors':
    case 'store_sums':
      return compileSubgroupProduct(statement, scope);
    case 'share_writes':
    case 'begin_products':
    case 'commit_products':
    case 'wait_products':
      return () => expectTogether(scope);
    case 'roles':
      return compileRoles(statement, scope);
    case 'copy_tensor':
      return compileTensorCopy(statement, scope);
    case 'expect_copies':
    case 'arrive':
      return compileArrival(statement, scope);
    case 'wait_barrier': {
      const wait = new CompiledWait(statement, scope);
      return () => {
        wait.begin();
        if (!wait.pass()) failWaiting(invocations, [wait.describe()]);
      };
    }
    default:
      return unreachable(statement, 'statement');
  }
}

function copyActive(from: Values, to: Values, { active, count }: Invocations): void {
  const lanes = to.length / count;
  for (let invocation = 0; invocation < count; invocation++) {
    if (active[invocation] === 0) continue;
    for (let at = invocation * lanes; at < (invocation + 1) * lanes; at++) to[at] = from[at] as number;
  }
}

/** The two ways of an `if`, and who goes them. */
export class Branches {
  private readonly condition: CompiledExpression;
  private readonly masks: readonly [Uint8Array, Uint8Array];
  private outer: Uint8Array;

  constructor(
    { condition }: Extract<Statement, { kind: 'if' }>,
    private readonly scope: InterpretScope,
  ) {
    const { count, active } = scope.invocations;
    this.condition = compileExpression(condition, scope);
    this.masks = [new Uint8Array(count), new Uint8Array(count)];
    this.outer = active;
  }

  /** Both masks before either block runs: the condition's registers may change inside. */
  part(): void {
    this.condition.run();
    const { active } = this.scope.invocations;
    const { values } = this.condition;
    const [then, otherwise] = this.masks;
    this.outer = active;
    for (let at = 0; at < active.length; at++) {
      const holds = values[at] as number;
      then[at] = active[at] === 1 && holds === 1 ? 1 : 0;
      otherwise[at] = active[at] === 1 && holds === 0 ? 1 : 0;
    }
  }

  /** Whether any go this way, who are active then. */
  take(way: 0 | 1): boolean {
    if (!this.masks[way].includes(1)) return false;
    this.scope.invocations.active = this.masks[way];
    return true;
  }

  join(): void {
    this.scope.invocations.active = this.outer;
  }
}

function compileIf(statement: Extract<Statement, { kind: 'if' }>, scope: InterpretScope): () => void {
  const branches = new Branches(statement, scope);
  const then = compileBlock(statement.then, scope);
  const otherwise = compileBlock(statement.otherwise ?? [], scope);
  return () => {
    branches.part();
    if (branches.take(0)) then();
    if (branches.take(1)) otherwise();
    branches.join();
  };
}

/** The rounds of a `for`, and who goes along; to be made before its body is compiled, which uses the variable. */
export class Rounds {
  private readonly start: CompiledExpression;
  private readonly end: CompiledExpression;
  private readonly variable: Values;
  private readonly limit: Values;
  private readonly mask: Uint8Array;
  private readonly step: number;
  private outer: Uint8Array;

  constructor(
    { variable, start, end, step }: Extract<Statement, { kind: 'for' }>,
    private readonly scope: InterpretScope,
  ) {
    const { count, active } = scope.invocations;
    this.start = compileExpression(start, scope);
    this.end = compileExpression(end, scope);
    this.variable = createValues(i32, count);
    this.limit = createValues(i32, count);
    this.mask = new Uint8Array(count);
    this.step = step;
    this.outer = active;
    scope.registers.set(variable, this.variable);
  }

  begin(): void {
    this.start.run();
    this.end.run();
    this.outer = this.scope.invocations.active;
    this.variable.set(this.start.values);
    this.limit.set(this.end.values);
  }

  /** Whether any go another round, who are active then; ends the loop otherwise. */
  enter(): boolean {
    const { mask, outer, variable, limit } = this;
    for (let at = 0; at < mask.length; at++) {
      mask[at] = outer[at] === 1 && (variable[at] as number) < (limit[at] as number) ? 1 : 0;
    }
    const enters = mask.includes(1);
    this.scope.invocations.active = enters ? mask : outer;
    return enters;
  }

  advance(): void {
    const { variable, step } = this;
    for (let at = 0; at < variable.length; at++) variable[at] = (variable[at] as number) + step;
  }
}

function compileFor(statement: Extract<Statement, { kind: 'for' }>, scope: InterpretScope): () => void {
  const rounds = new Rounds(statement, scope);
  const body = compileBlock(statement.body, scope);
  return () => {
    rounds.begin();
    while (rounds.enter()) {
      body();
      rounds.advance();
    }
  };
}

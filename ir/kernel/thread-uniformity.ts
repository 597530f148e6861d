import { Flux2cError, unreachable } from '../diagnostics.js';
import { operandsOf } from './expressions.js';
import { expressionsOf, forEachStatement } from './statements.js';
import type { Expression, Role, Statement, ThreadKernel } from './thread.js';

/**
 * Between which of the invocations that run together (a workgroup, a role of it) a value may differ, or which may have parted:
 * none, those of different subgroups, any.
 */
type Spread = typeof nowhere | typeof subgroups | typeof invocations;
const nowhere = 0;
const subgroups = 1;
const invocations = 2;

/** Grows, never shrinks. */
interface Register {
  spread: Spread;
}

/**
 * Barriers and subgroup operations stand only where all invocations of the workgroup come together, or of a role in its body: not under
 * a condition or in a loop whose bounds differ between invocations. Copies of tensors, arrivals and waits for them may be one invocation's
 * alone. Factors and sums of a subgroup lie at an index that is equal for all of it. Conservative, as WGSL's own analysis is: what is read
 * from workgroup memory or from a written buffer counts as different, and what subgroup operations give. Throws F2C225.
 */
export function verifyUniformity(kernel: ThreadKernel): void {
  new UniformityCheck(kernel).block(kernel.body, new Map(), nowhere);
}

class UniformityCheck {
  private readonly readOnly: ReadonlySet<string>;

  constructor(private readonly kernel: ThreadKernel) {
    this.readOnly = new Set(kernel.buffers.filter(({ access }) => access === 'read').map(({ name }) => name));
  }

  block(body: readonly Statement[], outer: ReadonlyMap<string, Register>, parted: Spread): void {
    const registers = new Map(outer);
    for (const statement of body) this.statement(statement, registers, parted);
  }

  private statement(statement: Statement, registers: Map<string, Register>, parted: Spread): void {
    const spread = (expression: Expression): Spread => this.spread(expression, registers, parted);
    switch (statement.kind) {
      case 'let':
      case 'var':
        registers.set(statement.name, { spread: spread(statement.value) });
        return;
      case 'assign': {
        const register = registers.get(statement.name);
        const after = widest(spread(statement.value), parted);
        if (register !== undefined) register.spread = widest(register.spread, after);
        return;
      }
      case 'store':
      case 'store_shared':
        spread(statement.index);
        spread(statement.value);
        return;
      case 'for': {
        const start = spread(statement.start);
        const inside = widest(parted, start, spread(statement.end));
        const inner = new Map(registers).set(statement.variable, { spread: start });
        // What the end of the body spreads may be used at its start.
        for (let before = -1; before !== sumOfSpreads(inner);) {
          before = sumOfSpreads(inner);
          this.block(statement.body, inner, inside);
        }
        return;
      }
      case 'if': {
        const inside = widest(parted, spread(statement.condition));
        this.block(statement.then, registers, inside);
        this.block(statement.otherwise ?? [], registers, inside);
        return;
      }
      case 'barrier':
        if (parted !== nowhere) this.fail('a barrier');
        return;
      case 'copy_async':
        [statement.index, statement.from, statement.valid].forEach(spread);
        return;
      case 'share_writes':
      case 'begin_products':
      case 'commit_products':
      case 'wait_products':
        if (parted !== nowhere) this.fail('a group of products');
        return;
      case 'commit_copies':
      case 'wait_copies':
        if (parted !== nowhere) this.fail('a group of copies');
        return;
      case 'multiply_shared':
      case 'multiply_matrices':
        if (parted !== nowhere) this.fail('a product of matrices');
        expressionsOf(statement).forEach(spread);
        for (const name of statement.accumulators) {
          const register = registers.get(name);
          if (register !== undefined) register.spread = invocations;
        }
        return;
      case 'declare_sums':
      case 'load_factor':
      case 'multiply_factors':
      case 'store_sums':
        if (parted !== nowhere) this.fail('a product of a subgroup');
        for (const index of expressionsOf(statement)) {
          if (spread(index) === invocations) this.failIndex(statement.kind);
        }
        return;
      case 'copy_tensor':
      case 'expect_copies':
      case 'arrive':
      case 'wait_barrier':
        expressionsOf(statement).forEach(spread);
        return;
      case 'roles':
        this.roles(statement.roles, registers, parted);
        return;
      default:
        unreachable(statement, 'statement');
    }
  }

  private roles(roles: readonly Role[], registers: Map<string, Register>, parted: Spread): void {
    for (const { body } of roles) this.block(body, registers, parted);
    // Equal in all of a role, and another afterwards in the next.
    for (const { body } of roles) {
      forEachStatement(body, (statement) => {
        const register = statement.kind === 'assign' ? registers.get(statement.name) : undefined;
        if (register !== undefined) register.spread = invocations;
      });
    }
  }

  private spread(expression: Expression, registers: ReadonlyMap<string, Register>, parted: Spread): Spread {
    // Every operand is walked: a subgroup operation may hide in any of them.
    const ofOperands = widest(...operandsOf(expression).map((operand) => this.spread(operand, registers, parted)));
    switch (expression.kind) {
      case 'register':
        return registers.get(expression.name)?.spread ?? invocations;
      case 'builtin':
        if (expression.name === 'subgroup_index') return subgroups;
        return expression.name === 'local_index' || expression.name === 'subgroup_lane' ? invocations : nowhere;
      case 'load':
        return this.readOnly.has(expression.buffer) ? ofOperands : invocations;
      case 'load_shared':
        return invocations;
      case 'subgroup_broadcast':
      case 'subgroup_reduce':
      case 'subgroup_exchange':
      case 'subgroup_lookup':
      case 'load_matrix':
        if (parted !== nowhere) this.fail('a subgroup operation');
        return invocations;
      default:
        return ofOperands;
    }
  }

  private failIndex(kind: Statement['kind']): never {
    throw new Flux2cError('F2C225', `the index of '${kind}' may differ within a subgroup`, {
      where: [`kernel @${this.kernel.name}`],
      expected: 'an index that is equal for all invocations of a subgroup',
      hint: 'Compute it from subgroup_index, not from local_index.',
    });
  }

  private fail(what: string): never {
    throw new Flux2cError('F2C225', `${what} stands where invocations of the workgroup or the role may have parted`, {
      where: [`kernel @${this.kernel.name}`],
      expected: 'conditions and loop bounds that are equal for all invocations',
      hint: 'Guard the loads and stores instead of the barrier.',
    });
  }
}

function widest(...spreads: readonly Spread[]): Spread {
  return spreads.reduce((a, b) => (a > b ? a : b), nowhere);
}

function sumOfSpreads(registers: ReadonlyMap<string, Register>): number {
  return [...registers.values()].reduce((sum, { spread }) => sum + spread, 0);
}

import { Flux2cError, unreachable } from '../diagnostics.js';
import { operandsOf } from './expressions.js';
import { expressionsOf, forEachStatement } from './statements.js';
import type { Expression, Role, Statement, ThreadKernel } from './thread.js';

/** Whether a register may differ between invocations that run together (a workgroup, a role of it); set once it may, never reset. */
interface Register {
  varying: boolean;
}

/**
 * Barriers and subgroup operations stand only where all invocations of the workgroup come together, or of a role in its body: not under
 * a condition or in a loop whose bounds differ between invocations. Copies of tensors, arrivals and waits for them may be one invocation's
 * alone. Conservative, as WGSL's own analysis is: what is read from workgroup
 * memory or from a written buffer counts as different. Throws F2C225.
 */
export function verifyUniformity(kernel: ThreadKernel): void {
  new UniformityCheck(kernel).block(kernel.body, new Map(), true);
}

class UniformityCheck {
  private readonly readOnly: ReadonlySet<string>;

  constructor(private readonly kernel: ThreadKernel) {
    this.readOnly = new Set(kernel.buffers.filter(({ access }) => access === 'read').map(({ name }) => name));
  }

  block(body: readonly Statement[], outer: ReadonlyMap<string, Register>, uniform: boolean): void {
    const registers = new Map(outer);
    for (const statement of body) this.statement(statement, registers, uniform);
  }

  private statement(statement: Statement, registers: Map<string, Register>, uniform: boolean): void {
    const varies = (expression: Expression): boolean => this.varies(expression, registers, uniform);
    switch (statement.kind) {
      case 'let':
      case 'var':
        registers.set(statement.name, { varying: varies(statement.value) });
        return;
      case 'assign': {
        const register = registers.get(statement.name);
        const varying = varies(statement.value) || !uniform;
        if (register !== undefined && varying) register.varying = true;
        return;
      }
      case 'store':
      case 'store_shared':
        varies(statement.index);
        varies(statement.value);
        return;
      case 'for': {
        const start = varies(statement.start);
        const divided = varies(statement.end) || start;
        const inner = new Map(registers).set(statement.variable, { varying: start });
        // What the end of the body makes varying may be used at its start.
        for (let before = -1; before !== countVarying(inner);) {
          before = countVarying(inner);
          this.block(statement.body, inner, uniform && !divided);
        }
        return;
      }
      case 'if': {
        const inside = !varies(statement.condition) && uniform;
        this.block(statement.then, registers, inside);
        this.block(statement.otherwise ?? [], registers, inside);
        return;
      }
      case 'barrier':
        if (!uniform) this.fail('a barrier');
        return;
      case 'copy_async':
        [statement.index, statement.from, statement.valid].forEach(varies);
        return;
      case 'share_writes':
      case 'begin_products':
      case 'commit_products':
      case 'wait_products':
        if (!uniform) this.fail('a group of products');
        return;
      case 'commit_copies':
      case 'wait_copies':
        if (!uniform) this.fail('a group of copies');
        return;
      case 'multiply_shared':
      case 'multiply_matrices':
        if (!uniform) this.fail('a product of matrices');
        expressionsOf(statement).forEach(varies);
        for (const name of statement.accumulators) {
          const register = registers.get(name);
          if (register !== undefined) register.varying = true;
        }
        return;
      case 'copy_tensor':
      case 'expect_copies':
      case 'arrive':
      case 'wait_barrier':
        expressionsOf(statement).forEach(varies);
        return;
      case 'roles':
        this.roles(statement.roles, registers, uniform);
        return;
      default:
        unreachable(statement, 'statement');
    }
  }

  private roles(roles: readonly Role[], registers: Map<string, Register>, uniform: boolean): void {
    for (const { body } of roles) this.block(body, registers, uniform);
    // Equal in all of a role, and another afterwards in the next.
    for (const { body } of roles) {
      forEachStatement(body, (statement) => {
        const register = statement.kind === 'assign' ? registers.get(statement.name) : undefined;
        if (register !== undefined) register.varying = true;
      });
    }
  }

  private varies(expression: Expression, registers: ReadonlyMap<string, Register>, uniform: boolean): boolean {
    // Every operand is walked: a subgroup operation may hide in any of them.
    const operands = operandsOf(expression).map((operand) => this.varies(operand, registers, uniform));
    const any = operands.includes(true);
    switch (expression.kind) {
      case 'register':
        return registers.get(expression.name)?.varying ?? true;
      case 'builtin':
        return expression.name === 'local_index' || expression.name === 'subgroup_lane';
      case 'load':
        return any || !this.readOnly.has(expression.buffer);
      case 'load_shared':
        return true;
      case 'subgroup_broadcast':
      case 'subgroup_reduce':
      case 'subgroup_exchange':
      case 'subgroup_lookup':
      case 'load_matrix':
        if (!uniform) this.fail('a subgroup operation');
        return true;
      default:
        return any;
    }
  }

  private fail(what: string): never {
    throw new Flux2cError('F2C225', `${what} stands where invocations of the workgroup or the role may have parted`, {
      where: [`kernel @${this.kernel.name}`],
      expected: 'conditions and loop bounds that are equal for all invocations',
      hint: 'Guard the loads and stores instead of the barrier.',
    });
  }
}

function countVarying(registers: ReadonlyMap<string, Register>): number {
  return [...registers.values()].filter(({ varying }) => varying).length;
}

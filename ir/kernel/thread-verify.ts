import type { DiagnosticCode } from '../diagnostics.js';
import { Flux2cError, unreachable } from '../diagnostics.js';
import { i32, loadedType } from './expressions.js';
import { matrixTypes } from './matrix-types.js';
import type { Statement, SubgroupProduct, ThreadKernel } from './thread.js';
import { BarrierCheck } from './thread-verify-barriers.js';
import { ExpressionCheck, type Definition, type Fail } from './thread-verify-expressions.js';
import { ProductCheck } from './thread-verify-products.js';
import { SubgroupProductCheck } from './thread-verify-subgroup-products.js';
import { storageBytes } from './thread-interpret-memory.js';
import { verifyUniformity } from './thread-uniformity.js';

/** What a kernel may use; fields of a target. */
export interface ThreadLimits {
  /** Bytes. */
  readonly workgroupMemory: number;
  /** Workgroup memory of invocations that run one after the other, each alone in its workgroup, in place of the other. */
  readonly loops?: { readonly memoryBytes: number };
  readonly maxWorkgroupInvocations: number;
  /** Fragments can be multiplied, or (`subgroup`) factors whose layout only the target knows. */
  readonly matrix?: 'mma' | 'wgmma' | 'subgroup';
  /** What is multiplied at once, with `subgroup`: the kernel's must equal it. */
  readonly subgroupProduct?: SubgroupProduct;
  /** Fragments of 8-bit floats, too. */
  readonly fp8?: boolean;
  /** Products of signed bytes, four to a word. */
  readonly packedDots?: boolean;
  readonly asyncCopy?: boolean;
  /** Copies of tensors, barriers that they arrive at, and roles. */
  readonly tensorCopies?: boolean;
  /** Elements narrower than a word can be stored one at a time. */
  readonly narrowStores?: boolean;
  /** Workgroups can walk over tiles. */
  readonly tileWalks?: boolean;
}

/** What every WebGPU adapter has. */
const portableLimits: ThreadLimits = { workgroupMemory: 16384, maxWorkgroupInvocations: 256 };

/**
 * Throws for the first thing that is wrong with a kernel:
 *
 * - F2C220 a register is used before or outside of its definition
 * - F2C221 a `let` or a loop variable is assigned
 * - F2C222 scalar types differ, or a name stands for another kind of thing (sums, a factor of the other side), F2C223 lanes differ
 * - F2C224 a store is narrower than the word that holds it (16-bit elements need 2 or 4 lanes, bytes 4)
 * - F2C225 a barrier or subgroup operation in divided control flow
 * - F2C226 an unknown buffer, parameter, shared array, tensor map or array of barriers
 * - F2C227 more workgroup memory, invocations or registers than the limits
 * - F2C228 a name twice in one place, or a name that is a word of the language
 * - F2C229 a load from a written buffer or a store to a read one
 * - F2C230 a number that cannot be: a constant outside its type, a step below 1, a lane that is not there
 * - F2C231 an operation that the target does not have
 * - F2C233 what has no place there: roles but in the kernel's own body and once, a barrier of the workgroup in a role, the workgroup's
 *   place in a kernel that walks over tiles, its number in another
 */
export function verifyThreadKernel(kernel: ThreadKernel, limits: ThreadLimits = portableLimits): void {
  new KernelCheck(kernel, limits).run();
  verifyUniformity(kernel);
}

const words = new Set([
  ...(
    'let var for to step if else barrier true false inf nan workgroup_x workgroup_y workgroup_z local_index subgroup_lane ' +
    'subgroup_index declare_sums load_factor by_depth multiply_factors store_sums ' +
    'copy_async commit_copies wait_copies by matrix ' +
    'share_writes begin_products commit_products wait_products roles copy_tensor expect_copies arrive wait_barrier ' +
    'group_index group_count'
  ).split(' '),
  ...matrixTypes.flatMap((type) => [`multiply_${type}`, `multiply_shared_${type}`]),
]);

class KernelCheck {
  private readonly expressions: ExpressionCheck;
  private readonly products: ProductCheck;
  private readonly subgroupProducts: SubgroupProductCheck;
  private readonly barriers: BarrierCheck;
  private readonly declared = new Set<string>();
  private isInRole = false;

  constructor(
    private readonly kernel: ThreadKernel,
    private readonly limits: ThreadLimits,
  ) {
    const fail: Fail = (code, message, detail) => this.fail(code, message, detail);
    this.expressions = new ExpressionCheck(kernel, limits, fail);
    this.products = new ProductCheck(kernel, this.expressions, limits, fail);
    const define = (name: string, definition: Definition): void => this.define(name, definition);
    this.subgroupProducts = new SubgroupProductCheck(kernel, this.expressions, limits, define, fail);
    this.barriers = new BarrierCheck(kernel, this.expressions, limits.tensorCopies === true, fail);
  }

  run(): void {
    const { kernel, limits } = this;
    if (!/^[A-Za-z0-9_.]+$/.test(kernel.name)) this.fail('F2C228', `'${kernel.name}' is no name for a kernel`);
    const { tensorMaps = [], barriers = [] } = kernel;
    for (const { name } of [...kernel.buffers, ...kernel.shared, ...tensorMaps, ...barriers]) {
      this.declare(name, this.declared);
    }
    for (const name of kernel.parameters) this.declare(name, this.declared);
    this.checkPositive(kernel.workgroupSize, 'the workgroup size');
    if (kernel.subgroupSize !== undefined) this.checkPositive(kernel.subgroupSize, 'the subgroup size');
    let bytes = 0;
    for (const { name, type, length } of kernel.shared) {
      this.checkPositive(length, `the length of '${name}'`);
      bytes += length * type.lanes * (type.scalar === 'f16' ? 2 : 4);
    }
    for (const { length } of barriers) bytes += length * 8;
    this.checkLimit(bytes, limits.loops?.memoryBytes ?? limits.workgroupMemory, 'bytes of workgroup memory');
    this.checkLimit(kernel.workgroupSize, limits.maxWorkgroupInvocations, 'invocations a workgroup');
    if (kernel.walksTiles === true && limits.tileWalks !== true) {
      this.fail('F2C231', "the target's workgroups do not walk over tiles");
    }
    this.subgroupProducts.declaration();
    this.barriers.declarations();
    this.block(kernel.body, []);
  }

  private block(body: readonly Statement[], variables: readonly string[]): void {
    const { scopes } = this.expressions;
    scopes.push(new Map());
    for (const name of variables) this.define(name, { kind: 'register', type: i32, assignable: false });
    for (const statement of body) this.statement(statement);
    scopes.pop();
  }

  private statement(statement: Statement): void {
    const { expressions } = this;
    switch (statement.kind) {
      case 'let':
      case 'var':
        expressions.expectType(statement.value, statement.type, `the value of '${statement.name}'`);
        this.define(statement.name, { kind: 'register', type: statement.type, assignable: statement.kind === 'var' });
        return;
      case 'assign': {
        const register = expressions.find(statement.name);
        if (register === undefined) {
          return this.fail('F2C220', `'${statement.name}' is assigned but not defined here`);
        }
        if (!register.assignable) this.fail('F2C221', `'${statement.name}' is assigned but is no 'var'`);
        expressions.expectType(statement.value, register.type, `the value of '${statement.name}'`);
        return;
      }
      case 'store':
        return this.checkStore(statement);
      case 'store_shared': {
        const array = this.kernel.shared.find(({ name }) => name === statement.array);
        if (array === undefined) return this.fail('F2C226', `there is no shared array '${statement.array}'`);
        expressions.expectType(statement.index, i32, `the index of '${array.name}'`);
        expressions.expectType(statement.value, array.type, `the value stored in '${array.name}'`);
        return;
      }
      case 'for':
        expressions.expectType(statement.start, i32, `the start of '${statement.variable}'`);
        expressions.expectType(statement.end, i32, `the end of '${statement.variable}'`);
        this.checkPositive(statement.step, `the step of '${statement.variable}'`);
        this.block(statement.body, [statement.variable]);
        return;
      case 'if':
        expressions.expectType(statement.condition, { scalar: 'bool', lanes: 1 }, 'a condition');
        this.block(statement.then, []);
        this.block(statement.otherwise ?? [], []);
        return;
      case 'barrier':
        if (this.isInRole) this.fail('F2C233', 'a barrier of the workgroup stands in a role');
        return;
      case 'copy_async':
        return this.checkCopy(statement);
      case 'commit_copies':
        return this.expectAsyncCopy();
      case 'wait_copies':
        this.expectAsyncCopy();
        if (Number.isInteger(statement.pending) && statement.pending >= 0) return;
        return this.fail('F2C230', 'a wait for copies has no number of groups', { found: `${statement.pending}` });
      case 'multiply_matrices':
      case 'multiply_shared':
      case 'share_writes':
      case 'begin_products':
      case 'commit_products':
      case 'wait_products':
        return this.products.statement(statement);
      case 'declare_sums':
      case 'load_factor':
      case 'multiply_factors':
      case 'store_sums':
        return this.subgroupProducts.statement(statement);
      case 'roles':
        return this.checkRoles(statement);
      case 'copy_tensor':
      case 'expect_copies':
      case 'arrive':
      case 'wait_barrier':
        return this.barriers.statement(statement);
      default:
        unreachable(statement, 'statement');
    }
  }

  private checkRoles({ roles }: Extract<Statement, { kind: 'roles' }>): void {
    this.barriers.roles(roles, this.expressions.scopes.length === 1);
    this.isInRole = true;
    const names = new Set<string>();
    for (const { name, body } of roles) {
      this.declare(name, names);
      this.block(body, []);
    }
    this.isInRole = false;
  }

  private expectAsyncCopy(): void {
    if (this.limits.asyncCopy !== true) this.fail('F2C231', 'the target has no copies beside the computation');
  }

  private checkCopy(statement: Extract<Statement, { kind: 'copy_async' }>): void {
    const { expressions } = this;
    this.expectAsyncCopy();
    expressions.expectMatrixArray(statement.array);
    expressions.expectType(statement.index, i32, `the index of '${statement.array}'`);
    const buffer = this.kernel.buffers.find(({ name }) => name === statement.buffer);
    if (buffer === undefined) return this.fail('F2C226', `there is no buffer '${statement.buffer}'`);
    if (buffer.access === 'write') this.fail('F2C229', `'${buffer.name}' is copied from but declared as write`);
    expressions.expectType(statement.from, i32, `the index of '${buffer.name}'`);
    expressions.expectType(statement.valid, { scalar: 'bool', lanes: 1 }, 'the condition of a copy');
  }

  private checkStore(statement: Extract<Statement, { kind: 'store' }>): void {
    const { expressions } = this;
    const buffer = this.kernel.buffers.find(({ name }) => name === statement.buffer);
    if (buffer === undefined) return this.fail('F2C226', `there is no buffer '${statement.buffer}'`);
    const { name, storage, lanes, access } = buffer;
    if (access === 'read') this.fail('F2C229', `'${name}' is stored to but declared as read`);
    const needed = this.limits.narrowStores === true ? 1 : 4 / storageBytes(storage);
    if (lanes < needed) {
      this.fail('F2C224', `a store to '${name}' is narrower than a word of memory`, {
        expected: `at least ${needed} lanes of ${storage}`,
        found: `${lanes}`,
      });
    }
    expressions.expectType(statement.index, i32, `the index of '${name}'`);
    expressions.expectType(statement.value, loadedType(buffer), `the value stored in '${name}'`);
  }

  private define(name: string, definition: Definition): void {
    const { expressions } = this;
    if (expressions.definitionOf(name) !== undefined) this.fail('F2C228', `'${name}' is defined twice in one place`);
    this.declare(name, new Set(this.declared));
    expressions.scopes[expressions.scopes.length - 1]?.set(name, definition);
  }

  private declare(name: string, taken: Set<string>): void {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) || words.has(name)) this.fail('F2C228', `'${name}' cannot be a name`);
    if (taken.has(name)) this.fail('F2C228', `'${name}' is declared twice`);
    taken.add(name);
  }

  private checkPositive(value: number, what: string): void {
    if (Number.isInteger(value) && value >= 1) return;
    this.fail('F2C230', `${what} is no positive integer`, { found: `${value}` });
  }

  private checkLimit(value: number, limit: number, what: string): void {
    if (value <= limit) return;
    this.fail('F2C227', `the kernel needs more ${what} than there are`, {
      expected: `at most ${limit}`,
      found: `${value}`,
    });
  }

  private fail(code: DiagnosticCode, message: string, detail: { expected?: string; found?: string } = {}): never {
    throw new Flux2cError(code, message, { where: [`kernel @${this.kernel.name}`], ...detail });
  }
}

import type { Dim } from '../dim.js';
import { i32, integerConstant } from './expressions.js';
import { forEachStatement } from './statements.js';
import { registersAtLaunch, registerStep } from './registers.js';
import { tensorBoxBytes } from './tensor-box.js';
import type { BarrierPlace, Expression, Role, Statement, TensorMap, ThreadKernel } from './thread.js';
import type { ExpressionCheck, Fail } from './thread-verify-expressions.js';
import { storageBytes } from './thread-interpret-memory.js';

/** Rows that copies of tensors write, and what addresses and strides in a buffer are multiples of: CUDA Driver API. */
const rowBytes = 128;
const alignment = 16;
/** Elements (16 bytes) of 8 rows: what the exchange of pieces repeats after. */
const rowsOfExchange = 64;
/** Arrivals and bytes that a barrier can count: PTX ISA, `mbarrier`. */
const largestCount = 2 ** 20 - 1;

type BarrierStatement = Extract<Statement, { kind: 'copy_tensor' | 'expect_copies' | 'arrive' | 'wait_barrier' }>;

/** Tensor maps, barriers and roles of a kernel, and the statements about them. */
export class BarrierCheck {
  private hasRoles = false;

  constructor(
    private readonly kernel: ThreadKernel,
    private readonly expressions: ExpressionCheck,
    private readonly isAvailable: boolean,
    private readonly fail: Fail,
  ) {}

  /** What stands before the body, and what of the body can be added up. */
  declarations(): void {
    const { tensorMaps = [], barriers = [], walksTiles, parameters } = this.kernel;
    if (tensorMaps.length + barriers.length > 0) this.expectAvailable();
    for (const map of tensorMaps) this.checkMap(map);
    for (const { name, length, arrivals } of barriers) {
      this.checkRange(length, 1, Infinity, `the length of '${name}'`);
      this.checkRange(arrivals, 1, largestCount, `the number of arrivals at '${name}'`);
      this.checkBytes(name);
    }
    const missing = ['tiles_x', 'tiles_y', 'tiles_z'].find((name) => !parameters.includes(name));
    if (walksTiles === true && missing !== undefined) {
      this.fail('F2C226', `a kernel that walks over tiles has no parameter '${missing}'`);
    }
  }

  private checkMap(map: TensorMap): void {
    const { name, offset, dimensions } = map;
    const buffer = this.kernel.buffers.find((candidate) => candidate.name === map.buffer);
    if (buffer === undefined) return this.fail('F2C226', `there is no buffer '${map.buffer}'`);
    if (buffer.access === 'write') this.fail('F2C229', `'${buffer.name}' is copied from but declared as write`);
    this.checkRange(dimensions.length, 2, 5, `the number of dimensions of '${name}'`);
    const bytes = storageBytes(buffer.storage);
    this.checkPolynomial(offset, bytes, 0, `the offset of '${name}'`);
    for (const [at, { extent, stride, box }] of dimensions.entries()) {
      const what = `of dimension ${at} of '${name}'`;
      this.checkPolynomial(extent, alignment, 1, `the extent ${what}`);
      this.checkRange(box, 1, 256, `the box ${what}`);
      if (at > 0) {
        this.checkPolynomial(stride, bytes, 1, `the stride ${what}`);
        continue;
      }
      if (!stride.equals(1)) {
        this.fail('F2C230', `the stride ${what} cannot be`, { expected: '1', found: stride.text });
      }
      if (box * bytes !== rowBytes) {
        this.fail('F2C230', `the box ${what} makes no row`, {
          expected: `${rowBytes / bytes} elements, ${rowBytes} bytes`,
          found: `${box}`,
        });
      }
    }
  }

  /** Its symbols are parameters; where it is a number, it is one of multiples of 16 bytes (elements of `bytes`) from `least` on. */
  private checkPolynomial(value: Dim, bytes: number, least: number, what: string): void {
    const unknown = value.symbols.find((symbol) => !this.kernel.parameters.includes(symbol));
    if (unknown !== undefined) {
      this.fail('F2C226', `${what} uses '${unknown}', which is no parameter`, { found: value.text });
    }
    const { constant } = value;
    if (constant === undefined || (constant >= least && (constant * bytes) % alignment === 0)) return;
    this.fail('F2C230', `${what} cannot be`, {
      expected: `at least ${least}${bytes < alignment ? `, a multiple of ${alignment / bytes}` : ''}`,
      found: value.text,
    });
  }

  /** A workgroup whose bytes never balance waits for ever, or goes on too early. */
  private checkBytes(barriers: string): void {
    const sums = blocksOf(this.kernel.body)
      .map((block) => this.bytesIn(block, barriers))
      .filter(({ expects, copies }) => expects + copies > 0);
    if (sums.length === 0) return;
    const [expects, copies] = [sums.some((sum) => sum.expects > 0), sums.some((sum) => sum.copies > 0)];
    if (!expects) this.fail('F2C230', `copies arrive at '${barriers}', where nothing expects them`);
    if (!copies) this.fail('F2C230', `copies are expected at '${barriers}', where none arrive`);
    // In one block, each of them runs as often as the others.
    const [only, ...others] = sums;
    if (only === undefined || others.length > 0 || only.expectedBytes === only.copiedBytes) return;
    this.fail('F2C230', `other bytes are expected at '${barriers}' than are copied`, {
      expected: `${only.copiedBytes}`,
      found: `${only.expectedBytes}`,
    });
  }

  private bytesIn(
    block: readonly Statement[],
    barriers: string,
  ): { expects: number; copies: number; expectedBytes: number; copiedBytes: number } {
    const sum = { expects: 0, copies: 0, expectedBytes: 0, copiedBytes: 0 };
    for (const statement of block) {
      if (statement.kind === 'expect_copies' && statement.barrier.array === barriers) {
        sum.expects++;
        sum.expectedBytes += statement.bytes;
      }
      if (statement.kind === 'copy_tensor' && statement.barrier.array === barriers) {
        sum.copies++;
        sum.copiedBytes += this.copiedBytes(statement.map);
      }
    }
    return sum;
  }

  private copiedBytes(name: string): number {
    const map = this.kernel.tensorMaps?.find((candidate) => candidate.name === name);
    if (map === undefined) return this.fail('F2C226', `there is no tensor map '${name}'`);
    return tensorBoxBytes(this.kernel, map);
  }

  statement(statement: BarrierStatement): void {
    this.expectAvailable();
    this.checkPlace(statement.barrier);
    switch (statement.kind) {
      case 'copy_tensor':
        return this.checkCopy(statement);
      case 'expect_copies':
        return this.checkRange(statement.bytes, rowBytes, largestCount, 'the number of bytes of copies', rowBytes);
      case 'arrive':
        return;
      case 'wait_barrier': {
        this.expressions.expectType(statement.parity, i32, `the parity of a phase of '${statement.barrier.array}'`);
        const parity = integerConstant(statement.parity);
        if (parity !== undefined) this.checkRange(parity, 0, 1, 'the parity of a phase');
      }
    }
  }

  private checkPlace({ array, index }: BarrierPlace): void {
    const barriers = this.kernel.barriers?.find(({ name }) => name === array);
    if (barriers === undefined) return this.fail('F2C226', `there are no barriers '${array}'`);
    this.expressions.expectType(index, i32, `the index of '${array}'`);
    const place = integerConstant(index);
    if (place !== undefined) this.checkRange(place, 0, barriers.length - 1, `the index of '${array}'`);
  }

  private checkCopy({ array, index, map: name, at }: Extract<Statement, { kind: 'copy_tensor' }>): void {
    const { expressions } = this;
    const map = this.kernel.tensorMaps?.find((candidate) => candidate.name === name);
    if (map === undefined) return this.fail('F2C226', `there is no tensor map '${name}'`);
    if (at.length !== map.dimensions.length) {
      this.fail('F2C230', `a copy from '${name}' has the wrong number of coordinates`, {
        expected: `${map.dimensions.length}`,
        found: `${at.length}`,
      });
    }
    at.forEach((coordinate, dimension) =>
      expressions.expectType(coordinate, i32, `coordinate ${dimension} of '${name}'`),
    );
    expressions.expectMatrixArray(array);
    expressions.expectType(index, i32, `the index of '${array}'`);
    this.checkRoom(array, index, this.copiedBytes(name) / alignment);
  }

  /** `length`: elements that the copy writes. */
  private checkRoom(array: string, index: Expression, length: number): void {
    const room = this.kernel.shared.find(({ name }) => name === array)?.length ?? 0;
    const first = integerConstant(index) ?? 0;
    if (first < 0 || first % rowsOfExchange !== 0) {
      this.fail('F2C230', `a copy begins within rows of '${array}'`, {
        expected: `a multiple of ${rowsOfExchange}`,
        found: `${first}`,
      });
    }
    if (first + length <= room) return;
    this.fail('F2C230', `a copy has no room in '${array}'`, {
      expected: `at least ${first + length} elements`,
      found: `${room}`,
    });
  }

  /** `isOwnBody`: the statement stands in the kernel's own body. */
  roles(roles: readonly Role[], isOwnBody: boolean): void {
    this.expectAvailable();
    if (!isOwnBody || this.hasRoles) {
      this.fail('F2C233', 'the workgroup parts more than once', { expected: "roles once, in the kernel's own body" });
    }
    this.hasRoles = true;
    const { workgroupSize } = this.kernel;
    let [invocations, registers] = [0, 0];
    for (const role of roles) {
      this.checkRange(role.invocations, 128, workgroupSize, `the number of invocations of '${role.name}'`, 128);
      this.checkRange(role.registers, 24, 256, `the number of registers of '${role.name}'`, registerStep);
      invocations += role.invocations;
      registers += role.invocations * role.registers;
    }
    if (invocations !== workgroupSize) {
      this.fail('F2C230', 'the roles are not the workgroup', {
        expected: `${workgroupSize} invocations`,
        found: `${invocations}`,
      });
    }
    // More is never given up, and the role that asks for it waits for ever.
    const pool = registersAtLaunch(workgroupSize) * workgroupSize;
    if (registers <= pool) return;
    this.fail('F2C227', 'the kernel needs more registers than there are', {
      expected: `at most ${pool}`,
      found: `${registers}`,
    });
  }

  private expectAvailable(): void {
    if (!this.isAvailable)
      this.fail('F2C231', 'the target has no copies of tensors, and no barriers that they arrive at');
  }

  private checkRange(value: number, least: number, most: number, what: string, divisor = 1): void {
    if (Number.isInteger(value) && value >= least && value <= most && value % divisor === 0) return;
    const range = most === Infinity ? `at least ${least}` : `${least} to ${most}`;
    this.fail('F2C230', `${what} cannot be`, {
      expected: divisor === 1 ? range : `${range}, a multiple of ${divisor}`,
      found: `${value}`,
    });
  }
}

/** The kernel's body and every block in it. */
function blocksOf(body: readonly Statement[]): readonly (readonly Statement[])[] {
  const blocks = [body];
  forEachStatement(body, (statement) => {
    if (statement.kind === 'for') blocks.push(statement.body);
    if (statement.kind === 'if') blocks.push(statement.then, statement.otherwise ?? []);
    if (statement.kind === 'roles') blocks.push(...statement.roles.map((role) => role.body));
  });
  return blocks;
}

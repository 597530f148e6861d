import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16, f8e4m3ToF32 } from '../dtype.js';
import { vectorOf } from './expressions.js';
import { numbersOfWord, productDepth } from './matrix-types.js';
import type { Expression, HalfType, MatrixType, SharedMatrix, Statement } from './thread.js';
import type { CompiledExpression, InterpretScope } from './thread-interpret-expressions.js';
import { checkWhole, compileExpression, known } from './thread-interpret-expressions.js';
import { createValues } from './thread-interpret-memory.js';
import type { Values } from './thread-interpret-memory.js';
import type { SharedMemory } from './thread-interpret-shared.js';

/** Lanes of a subgroup that multiplies matrices. */
const lanes = 32;

const widen: Readonly<Record<MatrixType, (bits: number) => number>> = {
  bf16: bf16ToF32,
  f16: f16ToF32,
  f8e4m3: f8e4m3ToF32,
};
const narrow: Readonly<Record<HalfType, (value: number) => number>> = { bf16: f32ToBf16, f16: f32ToF16 };

/** The value of number `part` of a word. */
type ReadNumber = (word: number, part: number) => number;

function readerOf(operands: MatrixType): ReadNumber {
  const bits = 32 / numbersOfWord[operands];
  const mask = 2 ** bits - 1;
  const toFloat = widen[operands];
  return (word, part) => toFloat((word >>> (bits * part)) & mask);
}

export function compilePack(
  { to, operand }: Extract<Expression, { kind: 'pack' }>,
  scope: InterpretScope,
): CompiledExpression {
  const pair = compileExpression(operand, scope);
  const values = createValues({ scalar: 'u32', lanes: 1 }, scope.invocations.count);
  const round = narrow[to];
  const run = (): void => {
    pair.run();
    for (let at = 0; at < values.length; at++) {
      values[at] = round(pair.values[2 * at] as number) | (round(pair.values[2 * at + 1] as number) << 16);
    }
  };
  return { values, run };
}

export function compileExchange(
  { operand, mask }: Extract<Expression, { kind: 'subgroup_exchange' }>,
  scope: InterpretScope,
): CompiledExpression {
  const { invocations, subgroupSize } = scope;
  const from = compileExpression(operand, scope);
  const values = from.values.slice();
  const width = values.length / invocations.count;
  const run = (): void => {
    from.run();
    for (let start = 0; start < invocations.count; start += subgroupSize) {
      if (!checkWhole(invocations, start, subgroupSize)) continue;
      for (let member = 0; member < subgroupSize; member++) {
        const source = start + (member ^ mask);
        for (let lane = 0; lane < width; lane++) {
          values[(start + member) * width + lane] = from.values[source * width + lane] as number;
        }
      }
    }
  };
  return { values, run };
}

/** Rows of 16 bytes, eight 16-bit numbers each, as two to a word. */
export function compileLoadMatrix(
  { array: name, index, transposed }: Extract<Expression, { kind: 'load_matrix' }>,
  scope: InterpretScope,
): CompiledExpression {
  const { invocations } = scope;
  const at = compileExpression(index, scope);
  const array = known(scope.shared.get(name), name);
  const rows = createValues(vectorOf('u32', 4), invocations.count);
  const values = createValues(vectorOf('u32', 4), invocations.count);
  const half = (row: number, column: number): number => {
    const word = rows[row * 4 + (column >> 1)] as number;
    return (column & 1) === 0 ? word & 0xffff : word >>> 16;
  };
  const run = (): void => {
    at.run();
    array.load(at.values, rows);
    for (let start = 0; start < invocations.count; start += lanes) {
      if (!checkWhole(invocations, start, lanes)) continue;
      for (let lane = 0; lane < lanes; lane++) {
        const [far, near] = [lane >> 2, 2 * (lane & 3)];
        for (let matrix = 0; matrix < 4; matrix++) {
          const first = start + 8 * matrix;
          const [low, high] = transposed
            ? [half(first + near, far), half(first + near + 1, far)]
            : [half(first + far, near), half(first + far, near + 1)];
          values[(start + lane) * 4 + matrix] = low | (high << 16);
        }
      }
    }
  };
  return { values, run };
}

/** Lane maps: PTX ISA, `mma.m16n8k16` and, of 8-bit numbers, `mma.m16n8k32`. */
export function compileProduct(
  statement: Extract<Statement, { kind: 'multiply_matrices' }>,
  scope: InterpretScope,
): () => void {
  const { invocations } = scope;
  const [upper, lower] = statement.accumulators.map((name) => known(scope.registers.get(name), name)) as [
    Values,
    Values,
  ];
  const [a, b] = [compileExpression(statement.a, scope), compileExpression(statement.b, scope)];
  const numberOf = readerOf(statement.operands);
  const numbers = numbersOfWord[statement.operands];
  const depth = productDepth(statement.operands);
  const left = new Float64Array(16 * depth);
  const right = new Float64Array(depth * 8);
  return () => {
    a.run();
    b.run();
    for (let start = 0; start < invocations.count; start += lanes) {
      if (!checkWhole(invocations, start, lanes)) continue;
      for (let lane = 0; lane < lanes; lane++) {
        const group = lane >> 2;
        for (let part = 0; part < numbers; part++) {
          const column = numbers * (lane & 3) + part;
          // Words of a: rows group and group + 8, then the same of the next 16 bytes; words of b: of column group.
          for (let word = 0; word < 4; word++) {
            const at = (group + 8 * (word & 1)) * depth + column + 4 * numbers * (word >> 1);
            left[at] = numberOf(a.values[(start + lane) * 4 + word] as number, part);
          }
          for (let word = 0; word < 2; word++) {
            const at = (column + 4 * numbers * word) * 8 + group;
            right[at] = numberOf(b.values[(start + lane) * 2 + word] as number, part);
          }
        }
      }
      for (let lane = 0; lane < lanes; lane++) {
        for (let part = 0; part < 4; part++) {
          const [row, column] = [(lane >> 2) + 8 * (part >> 1), 2 * (lane & 3) + (part & 1)];
          let sum = 0;
          for (let k = 0; k < depth; k++) sum += (left[row * depth + k] as number) * (right[k * 8 + column] as number);
          const target = part < 2 ? upper : lower;
          const at = (start + lane) * 2 + (part & 1);
          target[at] = (target[at] as number) + sum;
        }
      }
    }
  };
}

/** Four subgroups multiply what is in workgroup memory; the result is there at once, which a missing wait does not show. */
export function compileSharedProduct(
  statement: Extract<Statement, { kind: 'multiply_shared' }>,
  scope: InterpretScope,
): () => void {
  const { invocations } = scope;
  const { columns, operands, a, b } = statement;
  const sums = statement.accumulators.map((name) => known(scope.registers.get(name), name));
  const numberOf = readerOf(operands);
  const depth = productDepth(operands);
  const group = 4 * lanes;
  const right = new SharedOperand(b, operands, scope);
  const left = a.kind === 'shared_matrix' ? new SharedOperand(a, operands, scope) : undefined;
  const registers = a.kind === 'shared_matrix' ? undefined : compileExpression(a, scope);
  const leftValues = new Float64Array(64 * depth);
  const rightValues = new Float64Array(depth * columns);
  return () => {
    right.run();
    left?.run();
    registers?.run();
    for (let start = 0; start < invocations.count; start += group) {
      if (!checkWhole(invocations, start, group)) continue;
      for (let row = 0; row < 64; row++) {
        for (let k = 0; k < depth; k++) {
          // As in `compileProduct`: the lane and word of a fragment (of 16-bit numbers) that hold the element.
          const lane = start + (row >> 4) * lanes + 4 * (row & 7) + ((k & 7) >> 1);
          const word = registers?.values[lane * 4 + ((row & 15) >> 3) + 2 * (k >> 3)] ?? 0;
          leftValues[row * depth + k] = left?.element(start, row, k) ?? numberOf(word, k & 1);
        }
      }
      for (let column = 0; column < columns; column++) {
        for (let k = 0; k < depth; k++) rightValues[k * columns + column] = right.element(start, column, k);
      }
      for (let member = 0; member < group; member++) {
        const lane = member % lanes;
        for (let part = 0; part < columns / 2; part++) {
          const row = 16 * Math.floor(member / lanes) + (lane >> 2) + 8 * ((part >> 1) & 1);
          const column = 8 * (part >> 2) + 2 * (lane & 3) + (part & 1);
          let sum = 0;
          for (let k = 0; k < depth; k++) {
            sum += (leftValues[row * depth + k] as number) * (rightValues[k * columns + column] as number);
          }
          const target = sums[part >> 1] as Values;
          const at = (start + member) * 2 + (part & 1);
          target[at] = statement.fresh === true ? sum : (target[at] as number) + sum;
        }
      }
    }
  };
}

/** Reads elements of a matrix in workgroup memory, for the invocation that names its place. */
class SharedOperand {
  private readonly index: CompiledExpression;
  private readonly array: SharedMemory;
  private readonly numberOf: ReadNumber;
  /** Numbers of a word. */
  private readonly numbers: number;

  constructor(
    private readonly matrix: SharedMatrix,
    operands: MatrixType,
    scope: InterpretScope,
  ) {
    this.numberOf = readerOf(operands);
    this.numbers = numbersOfWord[operands];
    this.index = compileExpression(matrix.index, scope);
    this.array = known(scope.shared.get(matrix.array), matrix.array);
  }

  run(): void {
    this.index.run();
  }

  /** `outer`: row or column of the output; `inner`: place on the contracted axis. */
  element(invocation: number, outer: number, inner: number): number {
    const { byDepth, blockLength } = this.matrix;
    const [row, along] = byDepth ? [outer, inner] : [inner, outer];
    const first = this.index.values[invocation] as number;
    const word = Math.floor(along / this.numbers);
    // 4 words to a piece, 8 pieces to a row of a block.
    const straight = first + (word >> 5) * blockLength + row * 8 + ((word >> 2) & 7);
    const place = straight ^ ((straight >> 3) & 7);
    return this.numberOf(this.array.peek(place, word & 3, invocation), along % this.numbers);
  }
}

import type { Expression, RegisterType } from '../../ir/kernel/thread.js';
import type { Opcode } from './wasm-opcodes.js';
import type { WasmScope } from './wasm-scope.js';

/** The sum or the largest of a vector's four lanes: of pairs two apart, then of both. */
export interface LaneFold {
  readonly operator: 'add' | 'max';
  readonly vector: Extract<Expression, { kind: 'register' }>;
}

/** A fold that a register was given, and what makes sure that its vector is still the same. */
export interface KnownFold extends LaneFold {
  readonly version: string;
}

/** Recognises the fold as the lowering of tiles writes it (`foldLanes`). */
export function laneFold(expression: Expression): LaneFold | undefined {
  if (expression.kind !== 'binary') return undefined;
  const { operator, left, right } = expression;
  if ((operator !== 'add' && operator !== 'max') || left.kind !== 'binary' || right.kind !== 'binary') return undefined;
  const lanes = [left.left, left.right, right.left, right.right];
  const vector = lanes[0]?.kind === 'lane' ? lanes[0].operand : undefined;
  if (left.operator !== operator || right.operator !== operator || vector?.kind !== 'register') return undefined;
  const { scalar, lanes: count } = vector.type;
  // Of integers only sums are folded.
  if (count !== 4 || (scalar !== 'f32' && (scalar !== 'i32' || operator !== 'add'))) return undefined;
  const order = [0, 2, 1, 3];
  const isFold = lanes.every(
    (lane, place) =>
      lane.kind === 'lane' &&
      lane.lane === order[place] &&
      lane.operand.kind === 'register' &&
      lane.operand.name === vector.name,
  );
  return isFold ? { operator, vector } : undefined;
}

/** Leaves the fold on the stack: two shuffles where lanes one by one are three, and no branch of a scalar maximum. */
export function writeFold(scope: WasmScope, { operator, vector }: LaneFold): void {
  const { writer } = scope;
  const part = writer.local('v128');
  writer.get(scope.register(vector.name).local);
  for (const distance of [2, 1]) {
    writer.tee(part).get(part).get(part);
    writer.op('i8x16.shuffle', ...bytesOfLanes([0, 1, 2, 3].map((lane) => lane ^ distance)));
    writer.op(operator === 'add' ? additionOf(vector.type) : 'f32x4.pmax');
  }
  writer.op(vector.type.scalar === 'i32' ? 'i32x4.extract_lane' : 'f32x4.extract_lane', 0);
}

/**
 * Leaves the vector of two or four sums on the stack, where all parts are registers that hold such sums: vectors are transposed on the
 * way (5 or 9 instructions for all). False, and nothing written, for other parts.
 */
export function writeFoldedVector(scope: WasmScope, parts: readonly Expression[]): boolean {
  const folds = parts.map((part) => (part.kind === 'register' ? scope.foldOf(part.name) : undefined));
  const vectors = folds.map((fold) => (fold?.operator === 'add' ? scope.register(fold.vector.name).local : undefined));
  const [type] = folds.map((fold) => fold?.vector.type);
  if (type === undefined || (parts.length !== 2 && parts.length !== 4)) return false;
  if (vectors.some((local) => local === undefined)) return false;
  const { writer } = scope;
  const sumOfLanes = (first: number, second: number, lanes: readonly (readonly number[])[]): void => {
    for (const picked of lanes) {
      writer.get(first).get(second);
      writer.op('i8x16.shuffle', ...bytesOfLanes(picked));
    }
    writer.op(additionOf(type));
  };
  const pairs = (first: number): number => {
    const sums = writer.local('v128');
    sumOfLanes(vectors[first] as number, vectors[first + 1] as number, [
      [0, 1, 4, 5],
      [2, 3, 6, 7],
    ]);
    writer.set(sums);
    return sums;
  };
  const low = pairs(0);
  const high = parts.length === 4 ? pairs(2) : low;
  sumOfLanes(low, high, [
    [0, 2, 4, 6],
    [1, 3, 5, 7],
  ]);
  return true;
}

function additionOf({ scalar }: RegisterType): Opcode {
  return scalar === 'i32' ? 'i32x4.add' : 'f32x4.add';
}

/** Byte indices that pick 32-bit lanes: 0-3 of the first operand, 4-7 of the second. */
function bytesOfLanes(lanes: readonly number[]): number[] {
  return lanes.flatMap((lane) => [0, 1, 2, 3].map((byte) => 4 * lane + byte));
}

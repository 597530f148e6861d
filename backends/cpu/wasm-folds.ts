import type { Expression } from '../../ir/kernel/thread.js';
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
  if (vector.type.lanes !== 4 || vector.type.scalar !== 'f32') return undefined;
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
    writer.op(operator === 'add' ? 'f32x4.add' : 'f32x4.pmax');
  }
  writer.op('f32x4.extract_lane', 0);
}

/**
 * Leaves the vector of four sums on the stack, where all parts are registers that hold such sums: vectors are transposed on the way
 * (9 instructions for all). False, and nothing written, for other parts.
 */
export function writeFoldedVector(scope: WasmScope, parts: readonly Expression[]): boolean {
  const folds = parts.map((part) => (part.kind === 'register' ? scope.foldOf(part.name) : undefined));
  const [a, b, c, d] = folds;
  if (parts.length !== 4 || [a, b, c, d].some((fold) => fold?.operator !== 'add')) return false;
  const { writer } = scope;
  const pairs = ([first, second]: readonly (LaneFold | undefined)[]): number => {
    const [one, other] = [first, second].map((fold) => scope.register((fold as LaneFold).vector.name).local);
    const sums = writer.local('v128');
    for (const lanes of [
      [0, 1, 4, 5],
      [2, 3, 6, 7],
    ]) {
      writer.get(one as number).get(other as number);
      writer.op('i8x16.shuffle', ...bytesOfLanes(lanes));
    }
    writer.op('f32x4.add').set(sums);
    return sums;
  };
  const [low, high] = [pairs([a, b]), pairs([c, d])];
  for (const lanes of [
    [0, 2, 4, 6],
    [1, 3, 5, 7],
  ]) {
    writer.get(low).get(high);
    writer.op('i8x16.shuffle', ...bytesOfLanes(lanes));
  }
  writer.op('f32x4.add');
  return true;
}

/** Byte indices that pick 32-bit lanes: 0-3 of the first operand, 4-7 of the second. */
function bytesOfLanes(lanes: readonly number[]): number[] {
  return lanes.flatMap((lane) => [0, 1, 2, 3].map((byte) => 4 * lane + byte));
}

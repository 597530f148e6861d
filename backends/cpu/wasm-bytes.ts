import { operandsOf } from '../../ir/kernel/expressions.js';
import { forEachExpression } from '../../ir/kernel/statements.js';
import type { Expression, Statement } from '../../ir/kernel/thread.js';
import { writeLoadHalves } from './wasm-memory.js';
import type { WasmScope } from './wasm-scope.js';

type WriteExpression = (expression: Expression) => void;
/** Locals of the first and the last eight of 16 bytes, each widened to 16 bits. */
export type WidenedHalves = readonly [low: number, high: number];

/**
 * Registers of 16 bytes that are only multiplied (`dot_bytes`): they are kept widened, so that a factor of several products is widened
 * once, by the load itself.
 */
export function findByteVectors(body: readonly Statement[]): ReadonlySet<string> {
  const multiplied = new Map<string, number>();
  const read = new Map<string, number>();
  const count = (counts: Map<string, number>, expression: Expression): void => {
    if (expression.kind === 'register') counts.set(expression.name, (counts.get(expression.name) ?? 0) + 1);
  };
  forEachExpression(body, (expression) => {
    count(read, expression);
    if (expression.kind === 'dot_bytes') operandsOf(expression).forEach((operand) => count(multiplied, operand));
  });
  return new Set([...multiplied].flatMap(([name, times]) => (read.get(name) === times ? [name] : [])));
}

/** Widens what the expression gives. */
export function writeHalves(scope: WasmScope, expression: Expression, write: WriteExpression): WidenedHalves {
  const { writer } = scope;
  if (expression.kind === 'load' && scope.buffer(expression.buffer).storage === 'u32')
    return writeLoadHalves(scope, expression, write);
  const [bytes, low, high] = [writer.local('v128'), writer.local('v128'), writer.local('v128')];
  write(expression);
  writer.tee(bytes).op('i16x8.extend_low_i8x16_s').set(low);
  writer.get(bytes).op('i16x8.extend_high_i8x16_s').set(high);
  return [low, high];
}

/** Leaves the sums of products of bytes on the stack: of 16 in four lanes, of a word's as one number. */
export function writeDotBytes(
  scope: WasmScope,
  { a, b }: Extract<Expression, { kind: 'dot_bytes' }>,
  lanes: number,
  write: WriteExpression,
): void {
  const { writer } = scope;
  if (lanes === 1) {
    for (const operand of [a, b]) {
      write(operand);
      writer.op('i32x4.splat').op('i16x8.extend_low_i8x16_s');
    }
    const pairs = writer.local('v128');
    writer.op('i32x4.dot_i16x8_s').tee(pairs).op('i32x4.extract_lane', 0);
    writer.get(pairs).op('i32x4.extract_lane', 1).op('i32.add');
    return;
  }
  const [left, right] = [a, b].map((operand) => halvesOf(scope, operand, write)) as [WidenedHalves, WidenedHalves];
  for (const half of [0, 1] as const) writer.get(left[half]).get(right[half]).op('i32x4.dot_i16x8_s');
  writer.op('i32x4.add');
}

function halvesOf(scope: WasmScope, operand: Expression, write: WriteExpression): WidenedHalves {
  const known = operand.kind === 'register' ? scope.register(operand.name).halves : undefined;
  return known ?? writeHalves(scope, operand, write);
}

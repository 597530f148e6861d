import { bytesOfVector } from '../../../ir/kernel/bytes.js';
import { binary, lane, vectorOf } from '../../../ir/kernel/expressions.js';
import type { Expression, RegisterType } from '../../../ir/kernel/thread.js';
import type { Schedule } from '../../../ir/kernel/tile.js';
import type { Contract } from './matrix-operands.js';
import { foldLanes } from './tile-loops.js';

/** How an invocation adds up the products of one element along the contracted axis. */
export interface PartialSums {
  /** Registers of the contracted axis that are multiplied at once. */
  readonly step: number;
  /** Of a sum. */
  readonly type: RegisterType;
  /** The sum and the products of two factors' vectors. */
  readonly added: (a: Expression, b: Expression, sum: Expression) => Expression;
  /** One number of the sum's type. */
  readonly whole: (sum: Expression) => Expression;
}

export function partialSums(
  { inBytes }: Contract,
  vector: 1 | 2 | 4,
  { dots, widensBytes }: Pick<Schedule, 'dots' | 'widensBytes'>,
): PartialSums {
  if (inBytes === true) return widensBytes === true ? sumOfIntegers : dots === true ? sumOfBytes : lanesOfBytes;
  const lanes = dots === true ? 1 : vector;
  return {
    step: 1,
    type: vectorOf('f32', lanes),
    added: (a, b, c) => (lanes === vector ? { kind: 'fma', a, b, c } : binary('add', c, { kind: 'dot', a, b })),
    whole: (sum) => foldLanes(sum, lanes, 'add'),
  };
}

/** A vector of bytes is four registers of the axis, each a word. */
const step = bytesOfVector / 4;

const sumOfBytes: PartialSums = {
  step,
  type: vectorOf('i32', 1),
  added: (a, b, sum) =>
    [0, 1, 2, 3].reduce(
      (all, word) => binary('add', all, { kind: 'dot_bytes', a: lane(a, word), b: lane(b, word) }),
      sum,
    ),
  whole: (sum) => sum,
};

const sumOfIntegers: PartialSums = {
  ...sumOfBytes,
  step: 1,
  added: (a, b, sum) =>
    [0, 1, 2, 3].reduce((all, at) => binary('add', all, binary('mul', lane(a, at), lane(b, at))), sum),
};

const lanesOfBytes: PartialSums = {
  step,
  type: vectorOf('i32', 4),
  added: (a, b, sum) => binary('add', sum, { kind: 'dot_bytes', a, b }),
  whole: (sum) => foldLanes(sum, 4, 'add'),
};

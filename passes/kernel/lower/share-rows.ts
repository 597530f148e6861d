import { add, binary, bool, i32, integer } from '../../../ir/kernel/expressions.js';
import type { Expression } from '../../../ir/kernel/thread.js';
import type { Emitter } from './emitter.js';

/** Vectors of four from one row in workgroup memory to the next: one more than a row has, so that neighbouring rows lie in different banks. */
export function vectorPitch(columns: number): number {
  return columns / 4 + 1;
}

/** What one invocation has of rows in a round. */
export interface RowShare {
  readonly row: Expression;
  /** Which part of the row. */
  readonly part: Expression;
  /** Whether it has one at all; always without it. */
  readonly inside: Expression | undefined;
}

/**
 * Shares the parts of rows out among the invocations of a workgroup, one each a round, neighbours to neighbours. Who has none in the last round
 * is given a part of the last row, so that it reads nothing past it; it must not store.
 */
export function shareRows(emitter: Emitter, rows: number, parts: number, invocations: number): readonly RowShare[] {
  const total = rows * parts;
  return Array.from({ length: Math.ceil(total / invocations) }, (_, round) => {
    const first = round * invocations;
    const number = emitter.hoist('part', i32, add({ kind: 'builtin', name: 'local_index' }, integer(first)));
    const own = emitter.hoist('row', i32, binary('div', number, integer(parts)));
    const part = emitter.hoist('part', i32, binary('mod', number, integer(parts)));
    if (first + invocations <= total) return { row: own, part, inside: undefined };
    const inside = emitter.hoist('c', bool, binary('less', number, integer(total)));
    return { row: emitter.hoist('row', i32, binary('min', own, integer(rows - 1))), part, inside };
  });
}

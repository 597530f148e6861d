import { Dim } from '../../ir/dim.js';
import type { MemoryLayout } from '../kernel/from-group/group.js';
import { spanOf } from './views.js';
import type { View } from './views.js';

type Within = NonNullable<MemoryLayout['within']>;

/**
 * Which operands of a kernel are bound with an earlier one: vectors of one weight that start a constant number of elements after it.
 * For kernels that would bind more buffers than a target has.
 */
export function shareBindings(
  operands: readonly View[],
  isWeight: (storage: number) => boolean,
): readonly (Within | undefined)[] {
  return operands.map((view, place) => {
    if (!isWeight(view.storage)) return undefined;
    for (const [operand, earlier] of operands.slice(0, place).entries()) {
      const offset = distanceBetween(earlier, view);
      if (offset !== undefined) return { operand, offset };
    }
    return undefined;
  });
}

/** Elements that the binding of one of the operands or results spans, those of the operands within it included. */
export function boundSpan(views: readonly View[], place: number, within: readonly (Within | undefined)[]): Dim {
  const own = spanOf(views[place] as View);
  const ends = within.flatMap((one, inner) =>
    one?.operand === place ? [spanOf(views[inner] as View).add(one.offset).constant as number] : [],
  );
  return ends.length === 0 ? own : Dim.of(Math.max(own.constant as number, ...ends));
}

/** Elements from one vector of constant size to a later one of the same storage. */
function distanceBetween(earlier: View, later: View): number | undefined {
  if (earlier.storage !== later.storage) return undefined;
  if ([earlier, later].some(({ shape }) => shape.length !== 1 || shape[0]?.constant === undefined)) return undefined;
  const distance = later.offset.sub(earlier.offset).constant;
  return distance !== undefined && distance >= 0 ? distance : undefined;
}

import type { Operation, Value } from '../../ir/graph/graph.js';
import { opTable } from '../../ir/graph/ops/index.js';
import { equalShapes } from '../../ir/graph/types.js';
import type { Uses } from './uses.js';

/** The pieces that meet another one of their shape in an elementwise operation, each read on the way there only. */
export function findMeeting(pieces: readonly Value[], uses: Uses): ReadonlySet<Value> {
  const ways = pieces.map((piece) => followElementwise(piece, uses));
  return new Set(
    pieces.filter((piece, at) =>
      pieces.some((other, place) => {
        const meets = [...(ways[at] ?? [])].some((operation) => ways[place]?.has(operation));
        return place !== at && meets && equalShapes(piece.type.shape, other.type.shape);
      }),
    ),
  );
}

/** The elementwise operations of a value's shape that only it and what is made of it go through. */
function followElementwise(piece: Value, uses: Uses): ReadonlySet<Operation> {
  const way = new Set<Operation>();
  let value = piece;
  for (;;) {
    const user = uses.onlyUser(value);
    if (user === undefined || opTable[user.kind].category !== 'pointwise') return way;
    const result = user.results[0] as Value;
    if (!equalShapes(result.type.shape, piece.type.shape)) return way;
    way.add(user);
    value = result;
  }
}

/**
 * The elementwise operations that the two of a pair go through up to the one where they meet, which comes last; undefined if
 * they do not meet.
 */
export function waysToMeeting(pair: readonly [Value, Value], uses: Uses): readonly Operation[] | undefined {
  const ways = pair.map((value) => [...followElementwise(value, uses)]) as [Operation[], Operation[]];
  const end = ways[0].find((operation) => ways[1].includes(operation));
  return end && [...ways.flatMap((way) => way.slice(0, way.indexOf(end))), end];
}

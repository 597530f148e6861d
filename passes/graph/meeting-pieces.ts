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
export function followElementwise(piece: Value, uses: Uses): ReadonlySet<Operation> {
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

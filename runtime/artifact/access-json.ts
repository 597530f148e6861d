/** Where a kernel touches its buffers, as JSON: polynomials are their texts, everything else is as `ir/kernel/access.ts` has it. */
import type { JsonValue } from '../../frontend/checkpoint/strict-json.js';
import type { Dim } from '../../ir/dim.js';
import type { Access, AccessMap } from '../../ir/kernel/access.js';
import type { ThreadKernel } from '../../ir/kernel/thread.js';
import type { IndexTerm } from '../../ir/kernel/tile.js';
import { boundsOf, indicesOfTerm } from '../../ir/kernel/tile-walk.js';
import { byKind, count, type Decoder, dim, list, malformed, object, oneOf, string } from './decode.js';

/** The map's text; the same map gives the same text. */
export function encodeAccesses(map: AccessMap): string {
  return `${JSON.stringify(map, null, 1)}\n`;
}

const term: Decoder<IndexTerm> = byKind<IndexTerm>({
  floor: object({ name: string, kind: oneOf('floor'), of: dim, by: dim }),
  modulo: object({ name: string, kind: oneOf('modulo'), of: dim, by: dim }),
  exclusive_or: object({ name: string, kind: oneOf('exclusive_or'), of: dim, mask: count }),
  loaded: object({ name: string, kind: oneOf('loaded'), buffer: string, at: dim, limit: dim }),
});

const access: Decoder<Access> = object({
  index: dim,
  conditions: list(object({ kind: oneOf('less', 'not_less'), left: dim, right: dim })),
});

const accessMap: Decoder<AccessMap> = object({
  axes: list(object({ name: string, kind: oneOf('grid_x', 'grid_y', 'grid_z', 'loop', 'whole'), extent: dim })),
  terms: list(term),
  buffers: list(list(access)),
});

/** Reads a kernel's access map. F2C530 where it is malformed, or names what neither it nor the kernel has. */
export function decodeAccesses(value: JsonValue, file: string, kernel: ThreadKernel): AccessMap {
  const decoded = accessMap(value, [file]);
  if (decoded.buffers.length !== kernel.buffers.length) {
    throw malformed([file, 'buffers'], `a list of ${kernel.buffers.length}`, decoded.buffers.length);
  }
  const known = new Set(kernel.parameters);
  const expectKnown = (dims: readonly Dim[], at: readonly string[]): void => {
    const stranger = dims.flatMap(({ symbols }) => symbols).find((symbol) => !known.has(symbol));
    if (stranger !== undefined)
      throw malformed([file, ...at], 'axes, earlier terms and parameters of the kernel', stranger);
  };
  const declare = (name: string, at: readonly string[]): void => {
    if (known.has(name)) throw malformed([file, ...at], 'a name that is not taken', name);
    known.add(name);
  };
  for (const { extent } of decoded.axes) expectKnown([extent], ['axes']);
  for (const { name } of decoded.axes) declare(name, ['axes']);
  for (const item of decoded.terms) {
    expectKnown(indicesOfTerm(item), ['terms', item.name]);
    declare(item.name, ['terms']);
  }
  decoded.buffers.forEach((accesses, index) => {
    for (const { index: at, conditions } of accesses)
      expectKnown([at, ...boundsOf(conditions)], ['buffers', String(index)]);
  });
  return decoded;
}

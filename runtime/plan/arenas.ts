import { roundUp } from './storage-layout.js';
import type { Lifetime } from './liveness.js';

/** A temporary to be placed. `byteLength` is what it takes. */
export interface ArenaRequest extends Lifetime {
  readonly storage: number;
  readonly byteLength: number;
}

export interface ArenaLayout {
  /** Bytes of each arena. */
  readonly arenas: readonly number[];
  readonly places: ReadonlyMap<number, { readonly arena: number; readonly byteOffset: number }>;
}

export interface ArenaLimits {
  readonly alignment: number;
  readonly maxBytes: number;
}

interface Member {
  readonly request: ArenaRequest;
  readonly byteOffset: number;
}

interface Arena {
  byteLength: number;
  /** In order of their offsets. */
  readonly members: Member[];
}

/** What does not change between the layouts that are tried. */
interface Problem extends ArenaLimits {
  /** Storages that must not share an arena. */
  readonly conflicts: ReadonlyMap<number, ReadonlySet<number>>;
  /** Bytes of arenas that are as good as can be. */
  readonly enough: number;
}

interface Layout {
  readonly arenas: readonly Arena[];
  readonly byteLength: number;
  /** The first that made the arenas larger than is enough; absent where they are not. */
  readonly excessive?: ArenaRequest;
  /** Pairs of temporaries that were looked at: what making the layout cost. */
  readonly comparisons: number;
}

/** How a layout is made: greedily in this order, and, where growth is equal, in a new arena or in an old one. */
interface Attempt {
  readonly ordered: readonly ArenaRequest[];
  readonly prefersNew: boolean;
}

type Order = (a: ArenaRequest, b: ArenaRequest) => number;

const bySize: Order = (a, b) => b.byteLength - a.byteLength || a.first - b.first || a.storage - b.storage;
const bySizeAndTime: Order = (a, b) => area(b) - area(a) || bySize(a, b);
const byTime: Order = (a, b) => b.last - b.first - (a.last - a.first) || bySize(a, b);

/** Released models need up to 60 repairs, most of them fewer than 10. */
const mostRepairs = 64;
/** Counted, not timed: the same plan has the same layout everywhere. A few tens of milliseconds. */
const mostComparisons = 2 ** 23;

function area(request: ArenaRequest): number {
  return request.byteLength * (request.last - request.first + 1);
}

/**
 * Places temporaries in arenas so that no two that live at the same time overlap and no two that conflict share an
 * arena. Greedy: in a fixed order, each at the lowest free offset of the arena that grows least. Of six such layouts (three orders;
 * where storages conflict, equal growth in an old arena or in a new one) the smallest is taken: which is best depends on the plan, and
 * each takes about a millisecond for a thousand temporaries. Where that is more than what is live at one time, the layout is repaired:
 * the temporary that found no room is placed first, all others after it as before, again and again. The smallest layout of all is the
 * result.
 *
 * @param conflicts storages that must not share an arena; none where a launch may read and write one buffer
 */
export function placeInArenas(
  requests: readonly ArenaRequest[],
  conflicts: ReadonlyMap<number, ReadonlySet<number>>,
  limits: ArenaLimits,
): ArenaLayout {
  const least = measureLowerBound(requests);
  const padded = requests.map((request) => ({ ...request, byteLength: roundUp(request.byteLength, limits.alignment) }));
  const problem: Problem = { ...limits, conflicts, enough: measureLowerBound(padded) };
  let best: Layout = { arenas: [], byteLength: Infinity, comparisons: 0 };
  let start: Attempt = { ordered: [], prefersNew: false };
  for (const order of [bySize, bySizeAndTime, byTime]) {
    const ordered = [...requests].sort(order);
    for (const prefersNew of conflicts.size === 0 ? [false] : [false, true]) {
      if (best.byteLength === least) break;
      const layout = placeGreedily({ ordered, prefersNew }, problem);
      if (!isSmaller(layout, best)) continue;
      best = layout;
      start = { ordered, prefersNew };
    }
  }
  const { arenas } = repair(best, start, problem);
  const places = new Map(
    arenas.flatMap(({ members }, arena) =>
      members.map(({ request, byteOffset }) => [request.storage, { arena, byteOffset }] as const),
    ),
  );
  return { arenas: arenas.map(({ byteLength }) => byteLength), places };
}

function isSmaller(a: Layout, b: Layout): boolean {
  return a.byteLength < b.byteLength || (a.byteLength === b.byteLength && a.arenas.length < b.arenas.length);
}

/** Goes on from each layout, better or not: a way to a better one may lead over worse ones. */
function repair(first: Layout, { ordered: order, prefersNew }: Attempt, problem: Problem): Layout {
  let best = first;
  let current = first;
  let ordered = order;
  let comparisons = 0;
  for (let repairs = 0; repairs < mostRepairs && comparisons < mostComparisons; repairs++) {
    const { excessive } = current;
    if (excessive === undefined) break;
    ordered = [excessive, ...ordered.filter((request) => request !== excessive)];
    current = placeGreedily({ ordered, prefersNew }, problem);
    comparisons += current.comparisons;
    if (isSmaller(current, best)) best = current;
  }
  return best;
}

function placeGreedily({ ordered, prefersNew }: Attempt, problem: Problem): Layout {
  const arenas: Arena[] = [];
  const arenaOf = new Map<number, Arena>();
  let byteLength = 0;
  let excessive: ArenaRequest | undefined;
  let comparisons = 0;
  for (const request of ordered) {
    const forbidden = new Set<Arena | undefined>();
    for (const enemy of problem.conflicts.get(request.storage) ?? []) forbidden.add(arenaOf.get(enemy));
    let chosen: Arena | undefined;
    let chosenOffset = 0;
    let leastGrowth = prefersNew ? request.byteLength - 1 : request.byteLength;
    for (const arena of arenas) {
      if (forbidden.has(arena)) continue;
      const byteOffset = findLowestOffset(arena, request, problem.alignment);
      comparisons += arena.members.length;
      const end = byteOffset + request.byteLength;
      const growth = Math.max(0, end - arena.byteLength);
      if (end > problem.maxBytes || growth > leastGrowth || (chosen !== undefined && growth === leastGrowth)) continue;
      chosen = arena;
      chosenOffset = byteOffset;
      leastGrowth = growth;
      if (growth === 0) break;
    }
    if (chosen === undefined) {
      chosen = { byteLength: 0, members: [] };
      arenas.push(chosen);
      leastGrowth = request.byteLength;
    }
    insert(chosen, { request, byteOffset: chosenOffset });
    arenaOf.set(request.storage, chosen);
    byteLength += leastGrowth;
    if (byteLength > problem.enough) excessive ??= request;
  }
  return { arenas, byteLength, comparisons, ...(excessive && { excessive }) };
}

/** The lowest aligned offset at which the request overlaps no member that lives at the same time. */
function findLowestOffset({ members }: Arena, request: ArenaRequest, alignment: number): number {
  let offset = 0;
  for (const { request: other, byteOffset } of members) {
    if (other.last < request.first || request.last < other.first) continue;
    if (offset + request.byteLength <= byteOffset) return offset;
    offset = Math.max(offset, roundUp(byteOffset + other.byteLength, alignment));
  }
  return offset;
}

function insert(arena: Arena, member: Member): void {
  const { members } = arena;
  let [low, high] = [0, members.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((members[middle] as Member).byteOffset > member.byteOffset) high = middle;
    else low = middle + 1;
  }
  members.splice(low, 0, member);
  arena.byteLength = Math.max(arena.byteLength, member.byteOffset + member.request.byteLength);
}

/** The largest sum of bytes that live at one time. */
export function measureLowerBound(requests: readonly ArenaRequest[]): number {
  const changes = new Map<number, number>();
  const change = (position: number, bytes: number): void => {
    changes.set(position, (changes.get(position) ?? 0) + bytes);
  };
  for (const { first, last, byteLength } of requests) {
    change(first, byteLength);
    change(last + 1, -byteLength);
  }
  let live = 0;
  let most = 0;
  for (const [, bytes] of [...changes].sort(([a], [b]) => a - b)) {
    live += bytes;
    most = Math.max(most, live);
  }
  return most;
}

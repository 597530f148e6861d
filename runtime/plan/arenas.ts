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

/** Positions that a list of members is for: most temporaries live for a few. */
const slotLength = 16;

interface Arena {
  byteLength: number;
  readonly members: Member[];
  /** Those that live in each slot of positions, in order of their offsets: nobody else can be in the way there. */
  readonly slots: Map<number, Member[]>;
  readonly storages: Set<number>;
}

type Order = (a: ArenaRequest, b: ArenaRequest) => number;

const bySize: Order = (a, b) => b.byteLength - a.byteLength || a.first - b.first || a.storage - b.storage;
const bySizeAndTime: Order = (a, b) => area(b) - area(a) || bySize(a, b);
const byTime: Order = (a, b) => b.last - b.first - (a.last - a.first) || bySize(a, b);

function area(request: ArenaRequest): number {
  return request.byteLength * (request.last - request.first + 1);
}

/**
 * Places temporaries in arenas so that no two that live at the same time overlap and no two that conflict share an
 * arena. Greedy: in a fixed order, each at the lowest free offset of the arena that grows least. Of six such layouts (three orders;
 * equal growth in an old arena or in a new one) the smallest is taken: which is best depends on the plan, and each takes
 * about a millisecond for a thousand temporaries.
 */
export function placeInArenas(
  requests: readonly ArenaRequest[],
  conflicts: ReadonlyMap<number, ReadonlySet<number>>,
  limits: ArenaLimits,
): ArenaLayout {
  const least = measureLowerBound(requests);
  let best: readonly Arena[] | undefined;
  for (const order of [bySize, bySizeAndTime, byTime]) {
    const ordered = [...requests].sort(order);
    for (const prefersNew of [false, true]) {
      if (best !== undefined && totalBytes(best) === least) break;
      const arenas = placeGreedily(ordered, conflicts, limits, prefersNew);
      if (best === undefined || isSmaller(arenas, best)) best = arenas;
    }
  }
  const chosen = best ?? [];
  const places = new Map(
    chosen.flatMap(({ members }, arena) =>
      members.map(({ request, byteOffset }) => [request.storage, { arena, byteOffset }] as const),
    ),
  );
  return { arenas: chosen.map(({ byteLength }) => byteLength), places };
}

function isSmaller(a: readonly Arena[], b: readonly Arena[]): boolean {
  const [bytesA, bytesB] = [totalBytes(a), totalBytes(b)];
  return bytesA < bytesB || (bytesA === bytesB && a.length < b.length);
}

function totalBytes(arenas: readonly Arena[]): number {
  return arenas.reduce((sum, { byteLength }) => sum + byteLength, 0);
}

function placeGreedily(
  ordered: readonly ArenaRequest[],
  conflicts: ReadonlyMap<number, ReadonlySet<number>>,
  { alignment, maxBytes }: ArenaLimits,
  prefersNew: boolean,
): readonly Arena[] {
  const arenas: Arena[] = [];
  for (const request of ordered) {
    const enemies = conflicts.get(request.storage);
    let chosen: Arena | undefined;
    let chosenOffset = 0;
    let leastGrowth = prefersNew ? request.byteLength - 1 : request.byteLength;
    for (const arena of arenas) {
      if (enemies !== undefined && sharesAny(enemies, arena.storages)) continue;
      const byteOffset = findLowestOffset(arena, request, alignment);
      const end = byteOffset + request.byteLength;
      const growth = Math.max(0, end - arena.byteLength);
      if (end > maxBytes || growth > leastGrowth || (chosen !== undefined && growth === leastGrowth)) continue;
      chosen = arena;
      chosenOffset = byteOffset;
      leastGrowth = growth;
    }
    if (chosen === undefined) {
      chosen = { byteLength: 0, members: [], slots: new Map(), storages: new Set() };
      arenas.push(chosen);
    }
    insert(chosen, { request, byteOffset: chosenOffset });
  }
  return arenas;
}

function sharesAny(some: ReadonlySet<number>, others: ReadonlySet<number>): boolean {
  for (const item of some) if (others.has(item)) return true;
  return false;
}

/** The lowest aligned offset at which the request overlaps no member that lives at the same time. */
function findLowestOffset(arena: Arena, request: ArenaRequest, alignment: number): number {
  let offset = 0;
  for (const { request: other, byteOffset } of membersAround(arena, request)) {
    if (other.last < request.first || request.last < other.first) continue;
    if (offset + request.byteLength <= byteOffset) return offset;
    offset = Math.max(offset, roundUp(byteOffset + other.byteLength, alignment));
  }
  return offset;
}

/** In order of their offsets, at least the members that live at the same time. */
function membersAround(arena: Arena, request: ArenaRequest): readonly Member[] {
  const lists = slotsOf(request).map((slot) => arena.slots.get(slot) ?? []);
  if (lists.length === 1) return lists[0]!;
  return [...new Set(lists.flat())].sort((a, b) => a.byteOffset - b.byteOffset);
}

function slotsOf({ first, last }: Lifetime): readonly number[] {
  const start = Math.floor(first / slotLength);
  return Array.from({ length: Math.floor(last / slotLength) - start + 1 }, (_, at) => start + at);
}

function insert(arena: Arena, member: Member): void {
  for (const slot of slotsOf(member.request)) {
    const list = arena.slots.get(slot) ?? [];
    arena.slots.set(slot, list);
    const place = list.findIndex(({ byteOffset }) => byteOffset > member.byteOffset);
    list.splice(place < 0 ? list.length : place, 0, member);
  }
  arena.members.push(member);
  arena.storages.add(member.request.storage);
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

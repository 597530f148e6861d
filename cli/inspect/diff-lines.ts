/** Differences of two texts, line by line. */

export interface DiffLine {
  readonly kind: 'same' | 'removed' | 'added';
  readonly text: string;
}

/** Lines that belong together, with a few unchanged ones around them. `before`, `after`: numbers of its first line. */
export interface Hunk {
  readonly before: number;
  readonly after: number;
  readonly lines: readonly DiffLine[];
}

/**
 * Patience diff: lines that occur once in both texts and keep their order hold the texts together, what lies between
 * them is compared in turn. Programs change in whole lines with distinct names, so this is linear and reads well.
 */
export function diffLines(before: readonly string[], after: readonly string[]): readonly DiffLine[] {
  const result: DiffLine[] = [];
  compare(before, 0, before.length, after, 0, after.length, result);
  return result;
}

function compare(
  before: readonly string[],
  beforeStart: number,
  beforeEnd: number,
  after: readonly string[],
  afterStart: number,
  afterEnd: number,
  result: DiffLine[],
): void {
  let [b, a, bEnd, aEnd] = [beforeStart, afterStart, beforeEnd, afterEnd];
  while (b < bEnd && a < aEnd && before[b] === after[a]) {
    result.push({ kind: 'same', text: before[b] as string });
    b++;
    a++;
  }
  const tail: DiffLine[] = [];
  while (b < bEnd && a < aEnd && before[bEnd - 1] === after[aEnd - 1]) {
    tail.push({ kind: 'same', text: before[bEnd - 1] as string });
    bEnd--;
    aEnd--;
  }
  const anchors = b < bEnd && a < aEnd ? findAnchors(before, b, bEnd, after, a, aEnd) : [];
  for (const [atBefore, atAfter] of anchors) {
    compare(before, b, atBefore, after, a, atAfter, result);
    result.push({ kind: 'same', text: before[atBefore] as string });
    [b, a] = [atBefore + 1, atAfter + 1];
  }
  if (anchors.length > 0) compare(before, b, bEnd, after, a, aEnd, result);
  else {
    for (; b < bEnd; b++) result.push({ kind: 'removed', text: before[b] as string });
    for (; a < aEnd; a++) result.push({ kind: 'added', text: after[a] as string });
  }
  result.push(...tail.reverse());
}

/** Lines that occur once on each side, in the longest sequence that rises on both. */
function findAnchors(
  before: readonly string[],
  beforeStart: number,
  beforeEnd: number,
  after: readonly string[],
  afterStart: number,
  afterEnd: number,
): readonly (readonly [number, number])[] {
  const places = new Map<string, number>();
  for (let at = beforeStart; at < beforeEnd; at++) {
    const text = before[at] as string;
    places.set(text, places.has(text) ? -1 : at);
  }
  const seen = new Map<string, number>();
  for (let at = afterStart; at < afterEnd; at++) {
    const text = after[at] as string;
    seen.set(text, seen.has(text) ? -1 : at);
  }
  const pairs: (readonly [number, number])[] = [];
  for (const [text, at] of seen) {
    const place = places.get(text) ?? -1;
    if (at >= 0 && place >= 0) pairs.push([place, at]);
  }
  pairs.sort((one, other) => one[1] - other[1]);
  return longestRise(pairs);
}

function longestRise(pairs: readonly (readonly [number, number])[]): readonly (readonly [number, number])[] {
  // tops[n]: index of the pair that ends the rise of length n + 1 with the smallest place.
  const tops: number[] = [];
  const previous = new Array<number>(pairs.length).fill(-1);
  pairs.forEach(([place], index) => {
    let low = 0;
    let high = tops.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((pairs[tops[middle] as number] as readonly [number, number])[0] < place) low = middle + 1;
      else high = middle;
    }
    previous[index] = low === 0 ? -1 : (tops[low - 1] as number);
    tops[low] = index;
  });
  const rise: (readonly [number, number])[] = [];
  for (let at = tops.at(-1) ?? -1; at >= 0; at = previous[at] as number)
    rise.push(pairs[at] as readonly [number, number]);
  return rise.reverse();
}

/** The changed parts of a diff with `context` unchanged lines around them. */
export function groupHunks(lines: readonly DiffLine[], context: number): readonly Hunk[] {
  const hunks: Hunk[] = [];
  const isNear = new Array<boolean>(lines.length).fill(false);
  lines.forEach(({ kind }, at) => {
    if (kind === 'same') return;
    for (let near = Math.max(0, at - context); near <= Math.min(lines.length - 1, at + context); near++)
      isNear[near] = true;
  });
  let [before, after] = [1, 1];
  let open: DiffLine[] | undefined;
  lines.forEach((line, at) => {
    if (isNear[at] === true) {
      if (open === undefined) {
        open = [];
        hunks.push({ before, after, lines: open });
      }
      open.push(line);
    } else open = undefined;
    if (line.kind !== 'added') before++;
    if (line.kind !== 'removed') after++;
  });
  return hunks;
}

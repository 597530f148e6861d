/** Room of a ring: ranges are taken in order, round and round, and are free again in nearly the same order. */
export class RingSpace {
  private readonly taken: RingRange[] = [];

  constructor(readonly byteLength: number) {}

  /** A range behind the last one; undefined while there is no room for it. */
  take(byteLength: number): RingRange | undefined {
    const start = this.findRoom(byteLength);
    if (start === undefined) return undefined;
    const range: RingRange = { start, end: start + byteLength, isFree: false };
    this.taken.push(range);
    return range;
  }

  free(range: RingRange): void {
    range.isFree = true;
    while (this.taken[0]?.isFree === true) this.taken.shift();
  }

  private findRoom(byteLength: number): number | undefined {
    const [first, last] = [this.taken[0], this.taken.at(-1)];
    if (first === undefined || last === undefined) return byteLength <= this.byteLength ? 0 : undefined;
    const isRound = last.start < first.start;
    if (isRound) return last.end + byteLength <= first.start ? last.end : undefined;
    if (last.end + byteLength <= this.byteLength) return last.end;
    return byteLength <= first.start ? 0 : undefined;
  }
}

export interface RingRange {
  readonly start: number;
  readonly end: number;
  isFree: boolean;
}

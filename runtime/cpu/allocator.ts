/** Blocks start at multiples of a cache line, so that no two buffers share one. */
const blockAlignment = 64;

interface Block {
  readonly address: number;
  readonly byteLength: number;
}

/**
 * Places blocks in one linear memory: the smallest free block that fits, else at the end. Neighbouring free blocks are
 * joined, and free space at the end is given up, so a memory that was filled and emptied is as new.
 */
export class LinearAllocator {
  /** Ascending, never touching each other or `end`. */
  private free: Block[] = [];
  private end: number;

  constructor(start: number) {
    this.end = Math.ceil(start / blockAlignment) * blockAlignment;
  }

  /** First address that was never given out or is free up to the end. */
  get endAddress(): number {
    return this.end;
  }

  /** Address of a new block; undefined when it would end beyond `limit`. */
  allocate(byteLength: number, limit: number): number | undefined {
    const size = roundUp(byteLength);
    let best: Block | undefined;
    for (const block of this.free)
      if (block.byteLength >= size && (best === undefined || block.byteLength < best.byteLength)) best = block;
    if (best !== undefined) {
      const { address, byteLength: available } = best;
      const rest = available > size ? [{ address: address + size, byteLength: available - size }] : [];
      this.free = this.free.flatMap((block) => (block === best ? rest : [block]));
      return address;
    }
    if (this.end + size > limit) return undefined;
    const address = this.end;
    this.end += size;
    return address;
  }

  /** Returns a block of `allocate` with the same length. */
  release(address: number, byteLength: number): void {
    const joined: Block[] = [];
    const blocks = [...this.free, { address, byteLength: roundUp(byteLength) }];
    for (const block of blocks.sort((first, second) => first.address - second.address)) {
      const before = joined.at(-1);
      if (before !== undefined && before.address + before.byteLength === block.address)
        joined[joined.length - 1] = { address: before.address, byteLength: before.byteLength + block.byteLength };
      else joined.push(block);
    }
    const last = joined.at(-1);
    if (last !== undefined && last.address + last.byteLength === this.end) {
      this.end = last.address;
      joined.pop();
    }
    this.free = joined;
  }
}

function roundUp(byteLength: number): number {
  return Math.max(1, Math.ceil(byteLength / blockAlignment)) * blockAlignment;
}

/** Broken files, and what may come of reading them. */
import { memorySource, type ByteSource } from '../frontend/checkpoint/byte-source.js';
import { Flux2cError } from '../ir/diagnostics.js';

/** Mulberry32: 32 bits of state, so a failure is repeated from its seed alone. */
export function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

export type Random = (below: number) => number;

export function pick<T>(random: Random, items: readonly T[]): T {
  const item = items[random(items.length)];
  if (item === undefined) throw new Error('nothing to pick from');
  return item;
}

export function flipBits(random: Random, bytes: Uint8Array, end: number): Uint8Array {
  const flipped = bytes.slice();
  for (let count = 1 + random(4); count > 0; count--) {
    const at = random(Math.max(1, end));
    flipped[at] = (flipped[at] ?? 0) ^ (1 << random(8));
  }
  return flipped;
}

/** Fails the test when anything is asked for that is larger than the file. */
export function watchedSource(bytes: Uint8Array): ByteSource {
  const source = memorySource('fuzzed', bytes);
  return {
    ...source,
    read: (offset, length) => {
      if (length > bytes.length) throw new Error(`${length} bytes asked of a file of ${bytes.length}`);
      return source.read(offset, length);
    },
  };
}

export interface Outcomes {
  read: number;
  readonly refused: Map<string, number>;
}

/** Runs the action; anything but success or an error for users fails the test, with the seed that repeats it. */
export async function judge(outcomes: Outcomes, seed: number, action: () => Promise<void>): Promise<void> {
  try {
    await action();
    outcomes.read += 1;
  } catch (error) {
    if (!(error instanceof Flux2cError)) throw new Error(`seed ${seed}`, { cause: error });
    if (!/^F2C4\d\d$/.test(error.code)) throw new Error(`seed ${seed}: code ${error.code}`, { cause: error });
    if (error.format().length > 10_000) throw new Error(`seed ${seed}: a message of ${error.format().length}`);
    outcomes.refused.set(error.code, (outcomes.refused.get(error.code) ?? 0) + 1);
  }
}

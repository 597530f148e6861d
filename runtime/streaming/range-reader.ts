import { Flux2cError } from '../../ir/diagnostics.js';
import { byteSize } from '../../ir/dtype.js';
import { printType } from '../../ir/graph/types.js';
import { storageBytes } from '../../ir/kernel/thread-interpret-memory.js';
import { forEachParallel } from '../for-each-parallel.js';
import { convertToStorage } from '../host-array.js';
import type { WeightProvider } from '../weight-provider.js';
import type { WeightRange } from '../weight-ranges.js';
import { divideRange } from './divide-range.js';

/** Reads at a time. Disks reach their speed with a few. */
const parallelReads = 4;
/** Bytes of one read: as many are on their way from the provider to their place. */
const readBytes = 4 * 2 ** 20;

/** Reads ranges of weights as the device stores them: several parts at a time, the parts of earlier ranges first. */
export class RangeReader {
  private readonly gate = new Gate(parallelReads);

  constructor(private readonly provider: WeightProvider) {}

  /**
   * @param into as long as the range on the device; gets zeros behind the last element
   * @throws F2C523 the provider gives another number of bytes, whatever the provider throws (naming the weight), `signal`'s reason
   */
  async read(range: WeightRange, into: Uint8Array, signal: AbortSignal): Promise<void> {
    const { start, end, storage } = range;
    into.fill(0, (end - start) * storageBytes(storage));
    try {
      await forEachParallel(divideRange(range, readBytes), parallelReads, (part, stop) =>
        this.gate.pass(async () => {
          // Asked for, not listened to: many ranges are read under one signal.
          for (const { aborted, reason } of [signal, stop]) if (aborted) throw reason;
          await this.readPart(range, part, into);
        }),
      );
    } catch (error) {
      throw nameWeight(error, range);
    }
  }

  private async readPart(range: WeightRange, part: WeightRange, into: Uint8Array): Promise<void> {
    const { declaration, storage, start } = range;
    const { dtype } = declaration.type;
    const elementBytes = byteSize(dtype);
    const byteLength = (part.end - part.start) * elementBytes;
    let at = (part.start - start) * storageBytes(storage);
    let received = 0;
    for await (const bytes of this.provider.read(declaration, { byteOffset: part.start * elementBytes, byteLength })) {
      received += bytes.byteLength;
      if (received > byteLength) break;
      const stored = convertToStorage(bytes, dtype, storage);
      into.set(stored, at);
      at += stored.byteLength;
    }
    if (received === byteLength) return;
    throw new Flux2cError('F2C523', 'a weight is not as long as it is declared', {
      expected: `${byteLength} bytes of ${printType(declaration.type)}`,
      found: received > byteLength ? 'more' : `${received} bytes`,
    });
  }
}

function nameWeight(error: unknown, { declaration }: WeightRange): unknown {
  if (!(error instanceof Flux2cError)) return error;
  const name = `@${declaration.name}`;
  const { where = [] } = error.detail;
  if (where.includes(name)) return error;
  return new Flux2cError(error.code, error.message, { ...error.detail, where: [...where, name] });
}

/** Lets so many in at a time, in the order in which they come. */
class Gate {
  private inside = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(private readonly limit: number) {}

  async pass<T>(work: () => Promise<T>): Promise<T> {
    if (this.inside === this.limit) await new Promise<void>((enter) => this.waiting.push(enter));
    else this.inside++;
    try {
      return await work();
    } finally {
      // Whoever waited longest takes the place over.
      const next = this.waiting.shift();
      if (next === undefined) this.inside--;
      else next();
    }
  }
}

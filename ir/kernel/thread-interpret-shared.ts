import { Flux2cError } from '../diagnostics.js';
import type { SharedArray } from './thread.js';
import { createValues, place } from './thread-interpret-memory.js';
import type { Invocations, Values } from './thread-interpret-memory.js';

const nobody = -1;
const several = -2;

/**
 * A workgroup array that notices missing barriers: an element is read by many or used by one invocation, and between that and another
 * use stands a barrier. Lockstep alone would hide such races.
 */
export class SharedMemory {
  private readonly elements: Values;
  /** The last party that wrote each element, and the last that read it since (`Order`), with their times. */
  private readonly writer: Int32Array;
  private readonly writeTime: Int32Array;
  private readonly reader: Int32Array;
  private readonly readTime: Int32Array;
  /** Of an element that more than one has read since it was written: the times of the others. */
  private readonly otherReaders = new Map<number, Map<number, number>>();

  constructor(
    private readonly array: SharedArray,
    private readonly invocations: Invocations,
  ) {
    this.elements = createValues(array.type, array.length);
    this.writer = new Int32Array(array.length);
    this.writeTime = new Int32Array(array.length);
    this.reader = new Int32Array(array.length);
    this.readTime = new Int32Array(array.length);
  }

  /** Poisons the contents: NaN, or a number that no index survives. */
  reset(): void {
    this.elements.fill(this.array.type.scalar.startsWith('f') ? NaN : 0x5a5a5a5a);
    this.writer.fill(nobody);
    this.reader.fill(nobody);
    this.writeTime.fill(-1);
    this.readTime.fill(-1);
    this.otherReaders.clear();
  }

  load(index: Values, out: Values): void {
    const { active, count } = this.invocations;
    const { lanes } = this.array.type;
    for (let invocation = 0; invocation < count; invocation++) {
      if (active[invocation] === 0) continue;
      const at = index[invocation] as number;
      this.check(at, invocation);
      if (this.writer[at] !== invocation) this.expectKnownWrite(at, invocation);
      this.noteRead(at, invocation);
      for (let lane = 0; lane < lanes; lane++) {
        out[invocation * lanes + lane] = this.elements[at * lanes + lane] as number;
      }
    }
  }

  store(index: Values, values: Values): void {
    const { active, count } = this.invocations;
    const { lanes } = this.array.type;
    for (let invocation = 0; invocation < count; invocation++) {
      if (active[invocation] === 0) continue;
      const at = index[invocation] as number;
      this.claim(at, invocation, invocation);
      for (let lane = 0; lane < lanes; lane++) {
        this.elements[at * lanes + lane] = values[invocation * lanes + lane] as number;
      }
    }
  }

  /**
   * One lane of an element, read by a product of the invocation's subgroup or of it and the next three, whichever of the invocations does:
   * what one of them wrote is not known to it without a barrier.
   */
  peek(index: number, lane: number, invocation: number): number {
    this.check(index, invocation);
    if (this.writer[index] === nobody) {
      throw new Flux2cError('F2C248', 'a product reads workgroup memory that nothing has written', {
        where: this.where(),
        found: `element ${index}, ${place(this.invocations, invocation)}`,
      });
    }
    this.expectKnownWrite(index, invocation);
    this.noteRead(index, this.invocations.order.productParty(invocation));
    return this.elements[index * this.array.type.lanes + lane] as number;
  }

  /**
   * An element that the invocation's subgroup stores together. Which of its invocations does is the target's business, so none may count on
   * the use before or after to be its own.
   */
  storeTogether(index: number, invocation: number, values: Values): void {
    this.claim(index, invocation, this.invocations.order.productParty(invocation), nobody);
    this.deliver(index, values);
  }

  /** An element that a copy will fill: nobody may use it until then. `party`: the copy's, if it is not the invocation's own. */
  poison(index: number, invocation: number, party = invocation): void {
    this.claim(index, invocation, party);
    this.elements.fill(0x7fc07fc0, index * this.array.type.lanes, (index + 1) * this.array.type.lanes);
  }

  /** What a copy of the invocation brought, when it has waited for it. */
  put(index: number, invocation: number, values: Values): void {
    this.claim(index, invocation, invocation);
    this.deliver(index, values);
  }

  /** What a copy brought to an element that it has claimed. */
  deliver(index: number, values: Values): void {
    this.elements.set(values, index * this.array.type.lanes);
  }

  private noteRead(at: number, party: number): void {
    const { common, now, barriers } = this.invocations.order;
    const reader = this.reader[at] as number;
    const time = this.readTime[at] as number;
    this.reader[at] = party;
    this.readTime[at] = now;
    if (reader === party || time < common) return;
    // Without barriers to arrive at, one for all is enough: whoever writes next has no way to know of the others.
    if (barriers === 0) this.reader[at] = several;
    else this.othersAt(at).set(reader, time);
  }

  private othersAt(at: number): Map<number, number> {
    const others = this.otherReaders.get(at) ?? new Map<number, number>();
    this.otherReaders.set(at, others);
    return others;
  }

  /** `own`: whose uses before need no barrier. */
  private claim(at: number, invocation: number, party: number, own = invocation): void {
    const { order } = this.invocations;
    this.check(at, invocation);
    if (this.writer[at] !== own) this.expectKnownWrite(at, invocation);
    this.expectKnownRead(this.reader[at] as number, this.readTime[at] as number, at, invocation, own);
    if (this.otherReaders.size > 0) {
      for (const [reader, time] of this.otherReaders.get(at) ?? []) {
        this.expectKnownRead(reader, time, at, invocation, own);
      }
      this.otherReaders.delete(at);
    }
    this.reader[at] = nobody;
    this.readTime[at] = -1;
    this.writer[at] = party;
    this.writeTime[at] = order.now;
  }

  private expectKnownWrite(at: number, invocation: number): void {
    const { order } = this.invocations;
    if (order.isKnown(this.writer[at] as number, this.writeTime[at] as number, invocation)) return;
    this.reportRace(at, invocation);
  }

  private expectKnownRead(reader: number, time: number, at: number, invocation: number, own: number): void {
    if (reader === own || this.invocations.order.isKnown(reader, time, invocation)) return;
    this.reportRace(at, invocation);
  }

  private check(index: number, invocation: number): void {
    if (index >= 0 && index < this.array.length) return;
    throw new Flux2cError('F2C242', 'workgroup memory is used outside of its bounds', {
      where: this.where(),
      expected: `an index below ${this.array.length}`,
      found: `${index}, ${place(this.invocations, invocation)}`,
    });
  }

  private reportRace(index: number, invocation: number): never {
    throw new Flux2cError('F2C244', 'two invocations use an element of workgroup memory, one of them writes', {
      where: this.where(),
      found: `element ${index}, ${place(this.invocations, invocation)}`,
      hint: 'A barrier is missing between the two uses.',
    });
  }

  private where(): readonly string[] {
    return [`kernel @${this.invocations.kernelName}`, `shared ${this.array.name}`];
  }
}

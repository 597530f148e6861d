/** Lanes that multiply matrices together, and subgroups that multiply what is in workgroup memory together. */
const lanes = 32;
const subgroupsOfProduct = 4;

/**
 * Which uses of workgroup memory come before which: vector clocks, so that what is found does not depend on the order in which the
 * interpreter lets roles run.
 *
 * A use is by a party at a time: an invocation, the four subgroups of a product, or the copies of one barrier. `now` is the time of what
 * happens, later after everything that orders. Each invocation knows of each party until when its uses are done: arriving gives all it
 * knows, and its own uses and the products of its subgroup until now, to the phase; the end of a phase adds the copies that it
 * brought; a wait takes what the ended phases were given. A barrier of the workgroup lets all know everything but what copies bring.
 * Invocations that know the same share one array, which is never changed.
 */
export class Order {
  now = 0;
  /** Time of the last barrier of the workgroup: uses before are known to all. */
  common = 0;
  private readonly firstCopy: number;
  private readonly known: Int32Array[];
  private readonly nothing: Int32Array;

  /** `barriers`: of all arrays together. */
  constructor(
    private readonly invocations: number,
    readonly barriers: number,
  ) {
    this.firstCopy = invocations + Math.ceil(invocations / lanes);
    this.nothing = new Int32Array(this.firstCopy + barriers).fill(-1);
    this.known = barriers === 0 ? [] : new Array<Int32Array>(invocations).fill(this.nothing);
  }

  reset(): void {
    this.now = 0;
    this.common = 0;
    this.known.fill(this.nothing);
  }

  /** The four subgroups from the invocation's on. */
  productParty(invocation: number): number {
    return this.invocations + Math.floor(invocation / lanes);
  }

  /** Copies that arrive at a barrier. */
  copyParty(barrier: number): number {
    return this.firstCopy + barrier;
  }

  /** Whether the invocation may rely on what the party did at a time to be done. */
  isKnown(party: number, time: number, invocation: number): boolean {
    if (time < this.common && party < this.firstCopy) return true;
    const known = this.known[invocation];
    if (known === undefined) return false;
    const isProduct = party >= this.invocations && party < this.firstCopy;
    const end = isProduct ? party + subgroupsOfProduct : party + 1;
    for (let at = party; at < end; at++) if ((known[at] as number) < time) return false;
    return true;
  }

  /** All of the workgroup have come together. */
  synchronize(): void {
    this.common = ++this.now;
    const all = this.nothing.slice();
    for (const known of new Set(this.known)) joinInto(all, known);
    this.known.fill(all);
  }

  /** A phase that has been given nothing. */
  emptyPhase(): Int32Array {
    return this.nothing.slice();
  }

  /** The invocation arrives; `tick` follows when all that arrive in one statement have. */
  arrive(invocation: number, phase: Int32Array): void {
    joinInto(phase, this.known[invocation] as Int32Array);
    phase[invocation] = this.now;
    phase[this.productParty(invocation)] = this.now;
  }

  /** The phase has ended: its copies are there, and what it was given is added to that of the phases before. */
  end(barrier: number, phase: Int32Array, ended: Int32Array): void {
    phase[this.copyParty(barrier)] = this.now;
    joinInto(ended, phase);
    this.tick();
  }

  tick(): void {
    this.now++;
  }

  /** The invocations have waited for phases that were given this. */
  acquire(invocations: readonly number[], ended: Int32Array): void {
    const joined = new Map<Int32Array, Int32Array>();
    for (const invocation of invocations) {
      const before = this.known[invocation] as Int32Array;
      const after = joined.get(before) ?? before.slice();
      if (!joined.has(before)) {
        joinInto(after, ended);
        joined.set(before, after);
      }
      this.known[invocation] = after;
    }
  }
}

function joinInto(target: Int32Array, other: Int32Array): void {
  for (let at = 0; at < target.length; at++) {
    if ((other[at] as number) > (target[at] as number)) target[at] = other[at] as number;
  }
}

import { Flux2cError } from '../diagnostics.js';
import type { BarrierArray, BarrierPlace, Statement } from './thread.js';
import type { CompiledExpression, InterpretScope } from './thread-interpret-expressions.js';
import { compileExpression, known } from './thread-interpret-expressions.js';
import { place } from './thread-interpret-memory.js';
import type { Invocations } from './thread-interpret-memory.js';
import type { TensorCopy } from './thread-interpret-tensors.js';

/** One barrier of an array, while a workgroup runs. */
export class PhaseBarrier {
  private phase = 0;
  private arrivals = 0;
  private expectedBytes = 0;
  private copiedBytes = 0;
  /** Of the phase that runs. */
  private copies: TensorCopy[] = [];
  /** Of phases that have ended, which nobody has waited for: as late as a device might bring them. */
  private undelivered: TensorCopy[] = [];
  private phaseKnowledge: Int32Array;
  private readonly endedKnowledge: Int32Array;

  /** `number`: among all barriers of the kernel. */
  constructor(
    private readonly array: BarrierArray,
    private readonly index: number,
    private readonly number: number,
    private readonly invocations: Invocations,
  ) {
    this.phaseKnowledge = invocations.order.emptyPhase();
    this.endedKnowledge = invocations.order.emptyPhase();
  }

  /** Who writes what copies bring, for `Order`. */
  get copyParty(): number {
    return this.invocations.order.copyParty(this.number);
  }

  arrive(invocation: number, bytes = 0): void {
    if (this.arrivals === this.array.arrivals) {
      throw new Flux2cError('F2C235', 'more invocations arrive at a barrier than its phase takes', {
        where: this.where(),
        expected: `${this.array.arrivals} in phase ${this.phase}, which still waits for copies`,
        found: place(this.invocations, invocation),
      });
    }
    this.expectedBytes += bytes;
    this.arrivals++;
    this.invocations.order.arrive(invocation, this.phaseKnowledge);
    this.endPhase();
  }

  copy(copy: TensorCopy): void {
    this.copies.push(copy);
    this.copiedBytes += copy.words.byteLength;
    this.endPhase();
  }

  private endPhase(): void {
    if (this.arrivals < this.array.arrivals) return;
    if (this.copiedBytes > this.expectedBytes) this.failBytes();
    if (this.copiedBytes < this.expectedBytes) return;
    this.invocations.order.end(this.number, this.phaseKnowledge, this.endedKnowledge);
    this.phaseKnowledge = this.invocations.order.emptyPhase();
    this.undelivered.push(...this.copies);
    this.copies = [];
    this.arrivals = this.expectedBytes = this.copiedBytes = 0;
    this.phase++;
  }

  /** Whether the phase of this parity has ended. */
  hasPassed(parity: number): boolean {
    return this.phase % 2 !== parity;
  }

  /** These have waited for a phase that has ended. */
  release(invocations: readonly number[]): void {
    for (const copy of this.undelivered) copy.deliver();
    this.undelivered = [];
    this.invocations.order.acquire(invocations, this.endedKnowledge);
  }

  /** The workgroup is done: what it copied must have been expected and waited for. */
  finish(): void {
    if (this.copiedBytes !== this.expectedBytes) this.failBytes();
    if (this.undelivered.length === 0) return;
    throw new Flux2cError('F2C249', 'nobody waits for copies of a workgroup', {
      where: this.where(),
      found: `${this.undelivered.length} copies that end phase ${this.phase - 1}`,
    });
  }

  describe(): string {
    const bytes = this.expectedBytes - this.copiedBytes;
    const arrivals = `${this.arrivals} of ${this.array.arrivals} arrivals`;
    return `${this.array.name}[${this.index}] is in phase ${this.phase} with ${arrivals}, ${bytes} bytes outstanding`;
  }

  private failBytes(): never {
    throw new Flux2cError('F2C235', 'other bytes are copied to a barrier than it expects', {
      where: this.where(),
      expected: `${this.expectedBytes} bytes in phase ${this.phase}`,
      found: `${this.copiedBytes}`,
      hint: 'expect_copies names the bytes of all copies of the phase, also of what is outside of the tensor.',
    });
  }

  private where(): readonly string[] {
    const { kernelName, workgroup } = this.invocations;
    return [
      `kernel @${kernelName}`,
      `barrier ${this.array.name}[${this.index}]`,
      `workgroup (${workgroup.join(', ')})`,
    ];
  }
}

/** All barriers of an array. */
export class PhaseBarriers {
  private barriers: readonly PhaseBarrier[] = [];

  /** `first`: barriers of the arrays before. */
  constructor(
    private readonly array: BarrierArray,
    private readonly first: number,
    private readonly invocations: Invocations,
  ) {
    this.reset();
  }

  reset(): void {
    const { array, first, invocations } = this;
    this.barriers = Array.from(
      { length: array.length },
      (_, index) => new PhaseBarrier(array, index, first + index, invocations),
    );
  }

  at(index: number, invocation: number): PhaseBarrier {
    const barrier = this.barriers[index];
    if (barrier !== undefined) return barrier;
    throw new Flux2cError('F2C242', 'workgroup memory is used outside of its bounds', {
      where: [`kernel @${this.invocations.kernelName}`, `barriers ${this.array.name}`],
      expected: `an index below ${this.array.length}`,
      found: `${index}, ${place(this.invocations, invocation)}`,
    });
  }

  finish(): void {
    for (const barrier of this.barriers) barrier.finish();
  }
}

/** The barrier that each invocation names. */
export class CompiledPlace {
  private readonly index: CompiledExpression;
  private readonly barriers: PhaseBarriers;

  constructor({ array, index }: BarrierPlace, scope: InterpretScope) {
    this.index = compileExpression(index, scope);
    this.barriers = known(scope.barriers.get(array), array);
  }

  run(): void {
    this.index.run();
  }

  of(invocation: number): PhaseBarrier {
    return this.barriers.at(this.index.values[invocation] as number, invocation);
  }
}

export function compileArrival(
  statement: Extract<Statement, { kind: 'arrive' | 'expect_copies' }>,
  scope: InterpretScope,
): () => void {
  const { invocations } = scope;
  const barrier = new CompiledPlace(statement.barrier, scope);
  const bytes = statement.kind === 'arrive' ? 0 : statement.bytes;
  return () => {
    barrier.run();
    for (const invocation of activeOf(invocations)) barrier.of(invocation).arrive(invocation, bytes);
    invocations.order.tick();
  };
}

/** A wait of the active invocations: `begin`, then `pass` as often as it takes. */
export class CompiledWait {
  private readonly barrier: CompiledPlace;
  private readonly parity: CompiledExpression;
  private readonly invocations: Invocations;

  constructor(statement: Extract<Statement, { kind: 'wait_barrier' }>, scope: InterpretScope) {
    this.barrier = new CompiledPlace(statement.barrier, scope);
    this.parity = compileExpression(statement.parity, scope);
    this.invocations = scope.invocations;
  }

  begin(): void {
    this.barrier.run();
    this.parity.run();
  }

  /** Whether all active invocations go on. */
  pass(): boolean {
    if (this.blocked() !== undefined) return false;
    const waiting = new Map<PhaseBarrier, number[]>();
    for (const invocation of activeOf(this.invocations)) {
      const barrier = this.barrier.of(invocation);
      waiting.set(barrier, [...(waiting.get(barrier) ?? []), invocation]);
    }
    for (const [barrier, invocations] of waiting) barrier.release(invocations);
    return true;
  }

  /** The first active invocation that does not go on, for a message. */
  describe(): string {
    const invocation = this.blocked() ?? 0;
    const parity = this.parity.values[invocation] as number;
    return `invocation ${invocation} waits for parity ${parity}: ${this.barrier.of(invocation).describe()}`;
  }

  private blocked(): number | undefined {
    return activeOf(this.invocations).find(
      (invocation) => !this.barrier.of(invocation).hasPassed(this.parityOf(invocation)),
    );
  }

  private parityOf(invocation: number): number {
    const parity = this.parity.values[invocation] as number;
    if (parity === 0 || parity === 1) return parity;
    throw new Flux2cError('F2C235', 'a phase has another parity than 0 or 1', {
      where: [`kernel @${this.invocations.kernelName}`],
      found: `${parity}, ${place(this.invocations, invocation)}`,
    });
  }
}

/** F2C236: nobody is left that could end what they wait for. */
export function failWaiting(invocations: Invocations, waits: readonly string[]): never {
  throw new Flux2cError('F2C236', 'a workgroup waits for barriers whose phases do not end', {
    where: [`kernel @${invocations.kernelName}`, `workgroup (${invocations.workgroup.join(', ')})`],
    found: waits.join('; '),
    hint: 'An arrival or copy is missing, bytes are expected that do not come, or the parity is that of the next phase.',
  });
}

export function activeOf({ active }: Invocations): readonly number[] {
  const found: number[] = [];
  for (let invocation = 0; invocation < active.length; invocation++)
    if (active[invocation] === 1) found.push(invocation);
  return found;
}

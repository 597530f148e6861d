import { Flux2cError } from '../../ir/diagnostics.js';
import type { BoundPlan, BoundStep, PlannedBinding, PlannedLaunch } from '../plan/bound-plan.js';

/**
 * Proves that a plan which streams weights is right: its buffers stay within the budget, every launch finds in the ring the piece that it
 * reads, whole and arrived, and no piece comes into a place that a later launch still needs. Nothing is taken from how
 * the plan was made.
 *
 * @param budgetBytes for all buffers of the plan
 * @throws F2C316 naming the launch and what is wrong
 */
export function verifyStream(bound: BoundPlan, budgetBytes = Infinity): void {
  const bytes = bound.buffers.reduce((sum, { byteLength }) => sum + byteLength, 0);
  if (bytes > budgetBytes) reject([bound.plan.name], `at most ${budgetBytes} bytes`, `${bytes} bytes of buffers`);
  const ring = new Ring(bound);
  ring.steps(bound.steps, false);
}

class Ring {
  /** Fetched last into its place, and nothing since; whether launches may read it. */
  private readonly present = new Map<number, { isArrived: boolean }>();
  private readonly overlapping: readonly (readonly number[])[];

  constructor(private readonly bound: BoundPlan) {
    const { streamed = [], buffers } = bound;
    streamed.forEach(({ weight, buffer, byteOffset, byteLength }) => {
      const place = buffers[buffer];
      if (place?.kind === 'ring' && byteOffset >= 0 && byteOffset + byteLength <= place.byteLength) return;
      reject([bound.plan.name, `@${weight}`], 'a place inside of a ring', `${byteLength} bytes at ${byteOffset} of ${place?.label}`); // prettier-ignore
    });
    this.overlapping = streamed.map((one, index) =>
      streamed.flatMap((other, at) => {
        const meet = one.buffer === other.buffer && one.byteOffset < other.byteOffset + other.byteLength && other.byteOffset < one.byteOffset + one.byteLength; // prettier-ignore
        return at !== index && meet ? [at] : [];
      }),
    );
  }

  steps(steps: readonly BoundStep[], isLast: boolean): void {
    for (const step of steps) {
      switch (step.kind) {
        case 'loop':
          this.loop(step);
          break;
        case 'launch':
          for (const binding of step.bindings) this.read(binding, step);
          break;
        case 'copy':
          for (const { buffer } of [step.from, step.to]) {
            if (this.bound.buffers[buffer]?.kind === 'ring') reject([step.label], 'copies outside of the ring', `buffer ${buffer}`); // prettier-ignore
          }
          break;
        case 'fetch':
          if (step.isAhead && isLast) break;
          for (const other of this.overlapping[step.piece]!) this.present.delete(other);
          this.present.set(step.piece, { isArrived: false });
          break;
        case 'arrival': {
          const piece = this.present.get(step.piece);
          if (piece !== undefined) piece.isArrived = true;
        }
      }
    }
  }

  /** Equal iterations leave what the second of them leaves; the last one fetches nothing ahead. */
  private loop(loop: Extract<BoundStep, { kind: 'loop' }>): void {
    const indices = Array.from({ length: loop.count }, (_, index) => index);
    for (const index of loop.isUniform ? [...new Set([...indices.slice(0, 2), ...indices.slice(-1)])] : indices) {
      this.steps(loop.iteration(index), index + 1 === loop.count);
    }
  }

  private read(binding: PlannedBinding, { label }: PlannedLaunch): void {
    if (this.bound.buffers[binding.buffer]?.kind !== 'ring') return;
    const where = [this.bound.plan.name, label];
    const { weight } = this.bound.plan.storages[binding.storage]!;
    const [begin, end] = [binding.byteOffset, binding.byteOffset + binding.byteLength];
    const found = [...this.present].find(([number]) => {
      const piece = this.bound.streamed![number]!;
      const holds = piece.buffer === binding.buffer && piece.byteOffset <= begin && end <= piece.byteOffset + piece.byteLength; // prettier-ignore
      return holds && piece.weight === weight;
    });
    if (binding.access !== 'read') reject(where, 'weights are read only', `${binding.access} of @${weight}`);
    if (found === undefined) reject(where, `@${weight} in the ring`, 'another piece, or none');
    if (!found[1].isArrived) reject(where, `@${weight} to have arrived`, 'a launch without an arrival before it');
  }
}

function reject(where: readonly string[], expected: string, found: string): never {
  throw new Flux2cError('F2C316', 'internal: a plan of memory is wrong', { where, expected, found });
}

import { Flux2cError } from '../../ir/diagnostics.js';
import type { Storage } from '../../ir/plan.js';
import type { BoundPlan, BoundStep, PlannedBinding, PlannedBuffer, PlannedCopy, PlannedLaunch } from './bound-plan.js';

/**
 * Checks a bound plan without trusting how it was made: windows inside of their storages and buffers, aligned and
 * within the target's limits; no buffer both read and written by one launch, or, where the target has `mixedAccess`, no byte;
 * and, by walking the steps and remembering whose contents each range of a buffer has, that nothing is read that was not
 * written or has been overwritten since.
 *
 * @throws F2C315 with the launch, what was expected and what was found
 */
export function verifyBoundPlan(bound: BoundPlan): void {
  bound.buffers.forEach((buffer) => verifyBuffer(bound, buffer));
  const verifier = new Verifier(bound);
  verifier.steps(bound.steps);
  verifier.results();
}

function reject(where: readonly string[], expected: string, found: string): never {
  throw new Flux2cError('F2C315', 'internal: the plan is not sound', { where, expected, found });
}

function verifyBuffer({ plan, target }: BoundPlan, { label, byteLength }: PlannedBuffer): void {
  if (byteLength > 0 && byteLength <= target.maxBufferBytes) return;
  reject([plan.name, label], `a buffer of 1..${target.maxBufferBytes} bytes`, `${byteLength} bytes`);
}

class Verifier {
  /** Whether the storage's own contents are in its place. */
  private readonly intact: boolean[];
  /** Other storages with a byte in common. */
  private readonly overlapping: readonly (readonly number[])[];
  /** Launches whose windows have been checked: iterations share them. */
  private readonly checked = new Set<BoundStep>();

  constructor(private readonly bound: BoundPlan) {
    const { plan } = bound;
    const byHost = new Set(bound.hostSteps.flatMap(({ results }) => results.map(({ storage }) => storage)));
    this.intact = plan.storages.map(({ id, kind }) => kind === 'input' || kind === 'weight' || byHost.has(id));
    this.overlapping = findOverlaps(bound);
  }

  steps(steps: readonly BoundStep[]): void {
    for (const step of steps) {
      if (step.kind === 'loop') {
        // What the second iteration leaves is what every later one leaves, so equal ones need no third walk.
        const count = step.isUniform ? Math.min(2, step.count) : step.count;
        for (let index = 0; index < count; index++) {
          this.steps(step.iteration(index));
          for (const { storage, name } of step.carried) this.read(storage, [`%${name} after an iteration`]);
        }
      } else if (step.kind === 'copy') this.copy(step);
      else if (step.kind === 'launch') this.launch(step);
    }
  }

  results(): void {
    for (const { storage, name } of this.bound.plan.results) {
      if (this.bound.placements[storage] !== undefined) this.read(storage, [`result ${name}`]);
    }
  }

  private launch(launch: PlannedLaunch): void {
    if (!this.checked.has(launch)) {
      this.checked.add(launch);
      this.windows(launch);
    }
    for (const { storage, access } of launch.bindings) if (access !== 'write') this.read(storage, [launch.label]);
    for (const { storage, access } of launch.bindings) if (access !== 'read') this.write(storage);
  }

  private copy(copy: PlannedCopy): void {
    const { from, to, byteLength, label } = copy;
    if (from.buffer === to.buffer) {
      const isForbidden = this.bound.target.mixedAccess !== true;
      if (isForbidden) reject([label], 'a copy between two buffers', `both are buffer ${to.buffer}`);
      const apart = Math.abs(from.byteOffset - to.byteOffset);
      if (apart < byteLength) reject([label], 'a copy between disjoint windows', `${byteLength} bytes, ${apart} apart`);
    }
    for (const { storage, buffer, byteOffset } of [from, to]) {
      this.inStorage([label], { storage, buffer, byteOffset, byteLength, access: 'read' }, 4);
    }
    this.read(from.storage, [label]);
    this.write(to.storage);
  }

  private read(storage: number, where: readonly string[]): void {
    if (this.intact[storage] === true || this.bound.placements[storage]?.segments[0]?.end === 0) return;
    const label = this.storage(storage).label;
    reject([...where, label], 'contents that were written before', 'nothing, or what was overwritten since');
  }

  private write(storage: number): void {
    this.intact[storage] = true;
    for (const other of this.overlapping[storage] ?? []) this.intact[other] = false;
  }

  private windows(launch: PlannedLaunch): void {
    const { target, buffers } = this.bound;
    const { label, bindings, workgroups } = launch;
    const most = target.maxWorkgroupsPerDimension;
    if (workgroups.some((count) => !Number.isInteger(count) || count < 1 || count > most)) {
      reject([label], `1..${most} workgroups in each dimension`, workgroups.join(' x '));
    }
    bindings.forEach((binding, index) => {
      const where = [label, this.storage(binding.storage).label];
      this.inStorage(where, binding, target.bindingAlignment);
      if (binding.byteLength > target.maxBindingBytes) {
        reject(where, `a window of at most ${target.maxBindingBytes} bytes`, `${binding.byteLength} bytes`);
      }
      for (const other of bindings.slice(index + 1)) {
        if (binding.buffer !== other.buffer || (binding.access === 'read' && other.access === 'read')) continue;
        const pair = `${binding.access} and ${other.access} of ${buffers[binding.buffer]?.label}`;
        const isMixed = binding.access === 'read' || other.access === 'read';
        if (isMixed && target.mixedAccess !== true) {
          reject(where, 'a buffer that is only read or only written by a launch', pair);
        }
        const start = Math.max(binding.byteOffset, other.byteOffset);
        const end = Math.min(binding.byteOffset + binding.byteLength, other.byteOffset + other.byteLength);
        if (start < end) reject(where, 'windows that are disjoint where one is written', `${pair} at ${start}..${end}`);
      }
    });
  }

  private inStorage(where: readonly string[], window: PlannedBinding, alignment: number): void {
    const { storage, buffer, byteOffset, byteLength } = window;
    const segment = this.bound.placements[storage]?.segments.find(
      (candidate) =>
        candidate.buffer === buffer &&
        byteOffset >= candidate.byteOffset &&
        byteOffset + byteLength <= candidate.byteOffset + candidate.byteLength,
    );
    const found = `${byteLength} bytes at ${byteOffset} of buffer ${buffer}`;
    if (segment === undefined) reject(where, 'a window inside of its storage', found);
    if (byteLength <= 0 || byteOffset % alignment !== 0) reject(where, `a window at a multiple of ${alignment}`, found);
    const whole = this.bound.buffers[buffer]?.byteLength ?? 0;
    if (segment.byteOffset + segment.byteLength > whole)
      reject(where, `a storage in a buffer of ${whole} bytes`, found);
  }

  private storage(id: number): Storage {
    return this.bound.plan.storages[id] as Storage;
  }
}

/** For each storage the others that share bytes with it: candidates by buffer, in order of their offsets. */
function findOverlaps({ buffers, placements }: BoundPlan): readonly (readonly number[])[] {
  const overlaps: number[][] = placements.map(() => []);
  const byBuffer = buffers.map((): { storage: number; start: number; end: number }[] => []);
  placements.forEach((placement, storage) => {
    for (const { buffer, byteOffset, byteLength } of placement?.segments ?? []) {
      byBuffer[buffer]?.push({ storage, start: byteOffset, end: byteOffset + byteLength });
    }
  });
  for (const ranges of byBuffer) {
    ranges.sort((a, b) => a.start - b.start);
    ranges.forEach((range, index) => {
      for (let at = index + 1; at < ranges.length; at++) {
        const other = ranges[at] as (typeof ranges)[number];
        if (other.start >= range.end) break;
        overlaps[range.storage]?.push(other.storage);
        overlaps[other.storage]?.push(range.storage);
      }
    });
  }
  return overlaps;
}

import { Flux2cError } from '../../ir/diagnostics.js';
import type { Dim, DimBinding } from '../../ir/dim.js';
import type { BufferBinding, CopyStep, LaunchStep, LoopStep, PlanStep } from '../../ir/plan.js';

/** Steps with all dimensions evaluated: what liveness, placement and cutting work on. */
export type SizedStep = SizedLaunch | SizedCopy | SizedLoop;

export type Triple = readonly [number, number, number];

export interface SizedLaunch {
  readonly kind: 'launch';
  readonly step: LaunchStep;
  readonly extent: Triple;
  readonly tile: Triple;
  readonly bindings: readonly SizedBinding[];
  readonly parameters: ReadonlyMap<string, number>;
  readonly flop: number;
  readonly bytes: number;
}

/** In elements. */
export interface SizedBinding {
  readonly storage: number;
  readonly access: BufferBinding['access'];
  readonly offset: number;
  readonly span: number;
}

export interface SizedCopy {
  readonly kind: 'copy';
  readonly step: CopyStep;
  readonly fromOffset: number;
  readonly toOffset: number;
  readonly size: number;
}

export interface SizedLoop {
  readonly kind: 'loop';
  readonly step: LoopStep;
  readonly count: number;
  readonly slots: readonly Slot[];
  readonly scope: SizeScope;
}

/** A step of a loop's body as the first iteration has it, and whether others have it with other numbers. */
export interface Slot {
  readonly first: SizedStep;
  readonly source: PlanStep;
  readonly isVarying: boolean;
}

/** Dimensions by their text: a plan names the same few thousands of times. */
export class SizeScope {
  private readonly known = new Map<string, number>();

  constructor(
    readonly sizes: DimBinding,
    private readonly outer?: SizeScope,
    private readonly symbol?: string,
  ) {}

  evaluate(dim: Dim): number {
    const { constant } = dim;
    if (constant !== undefined) return constant;
    let value = this.known.get(dim.text);
    if (value === undefined) {
      const isOwn = this.symbol === undefined || dim.symbols.includes(this.symbol);
      value = isOwn || this.outer === undefined ? dim.evaluate(this.sizes) : this.outer.evaluate(dim);
      this.known.set(dim.text, value);
    }
    return value;
  }

  enter(symbol: string, index: number): SizeScope {
    return new SizeScope({ ...this.sizes, [symbol]: index }, this, symbol);
  }
}

/**
 * Evaluates the device steps of a plan; host steps are left out, as are launches without workgroups, copies of nothing
 * and loops without iterations.
 *
 * @throws F2C102 a size that is not known, F2C310 a negative one
 */
export function sizeSteps(steps: readonly PlanStep[], scope: SizeScope): readonly SizedStep[] {
  return steps.flatMap((step) => {
    const sized = sizeStep(step, scope);
    return sized === undefined || isNothing(sized) ? [] : sized;
  });
}

function sizeStep(step: PlanStep, scope: SizeScope): SizedStep | undefined {
  switch (step.kind) {
    case 'launch':
      return sizeLaunch(step, scope);
    case 'copy': {
      const size = checkSize(scope.evaluate(step.size), step.label, 'the size of the copy');
      const fromOffset = checkSize(scope.evaluate(step.from.offset), step.label, 'the offset of the source');
      const toOffset = checkSize(scope.evaluate(step.to.offset), step.label, 'the offset of the destination');
      return { kind: 'copy', step, fromOffset, toOffset, size };
    }
    case 'host':
      return undefined;
    case 'loop':
      return sizeLoop(step, scope);
  }
}

function isNothing(step: SizedStep): boolean {
  switch (step.kind) {
    case 'launch':
      return step.extent.includes(0);
    case 'copy':
      return step.size === 0;
    case 'loop':
      return step.count === 0;
  }
}

function sizeLaunch(step: LaunchStep, scope: SizeScope): SizedLaunch {
  const { label } = step;
  const extent = mapTriple(step.grid, (axis) => checkSize(scope.evaluate(axis.extent), label, 'the grid'));
  const bindings = step.bindings.map((binding): SizedBinding => ({
    storage: binding.storage,
    access: binding.access,
    offset: checkSize(scope.evaluate(binding.offset), label, 'the offset of a view'),
    // 1 + the sum of (size - 1) * stride: negative where the view has no elements.
    span: Math.max(0, scope.evaluate(binding.span)),
  }));
  const parameters = new Map(step.parameters.map(({ name, value }) => [name, scope.evaluate(value)]));
  const [flop, bytes] = [scope.evaluate(step.flop), scope.evaluate(step.bytes)];
  return {
    kind: 'launch',
    step,
    extent,
    tile: mapTriple(step.grid, (axis) => axis.tile),
    bindings,
    parameters,
    flop,
    bytes,
  };
}

function sizeLoop(step: LoopStep, scope: SizeScope): SizedLoop {
  const count = checkSize(scope.evaluate(step.count), `loop over ${step.symbol}`, 'the number of iterations');
  if (count === 0) return { kind: 'loop', step, count, slots: [], scope };
  const inside = scope.enter(step.symbol, 0);
  const slots = step.steps.flatMap((source): readonly Slot[] => {
    if (source.kind === 'host') throw new Error(`internal: a host step (${source.operation}) inside of a loop`);
    const isVarying = dependsOn(source, step.symbol);
    const first = sizeStep(source, inside);
    // What does nothing in the first iteration may do something in the next.
    return first === undefined || (isNothing(first) && !isVarying) ? [] : [{ first, source, isVarying }];
  });
  return { kind: 'loop', step, count, slots, scope };
}

/** The steps of one iteration, in order. */
export function stepsOfIteration(loop: SizedLoop, index: number): readonly SizedStep[] {
  const scope = loop.scope.enter(loop.step.symbol, index);
  const steps = loop.slots.map(({ first, source, isVarying }) => {
    return isVarying && index > 0 ? (sizeStep(source, scope) as SizedStep) : first;
  });
  return steps.filter((step) => !isNothing(step));
}

/** True when the step is not the same for all values of the symbol. */
function dependsOn(step: PlanStep, symbol: string): boolean {
  const uses = (dim: Dim): boolean => dim.constant === undefined && dim.symbols.includes(symbol);
  switch (step.kind) {
    case 'launch':
      return (
        step.grid.some((axis) => uses(axis.extent)) ||
        step.bindings.some(({ offset, span }) => uses(offset) || uses(span)) ||
        step.parameters.some(({ value }) => uses(value))
      );
    case 'copy':
      return uses(step.from.offset) || uses(step.to.offset) || uses(step.size);
    case 'host':
      return false;
    case 'loop':
      return uses(step.count) || (step.symbol !== symbol && step.steps.some((child) => dependsOn(child, symbol)));
  }
}

function checkSize(value: number, label: string, what: string): number {
  if (value >= 0 && Number.isSafeInteger(value)) return value;
  throw new Flux2cError('F2C310', `${what} is not a size`, {
    where: [label],
    expected: 'at least 0',
    found: `${value}`,
    hint: 'The sizes given do not fit the function.',
  });
}

export function mapTriple<From>(triple: readonly [From, From, From], map: (item: From) => number): Triple {
  return [map(triple[0]), map(triple[1]), map(triple[2])];
}

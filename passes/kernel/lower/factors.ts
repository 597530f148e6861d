import { typeOf } from '../../../ir/kernel/expressions.js';
import type { Expression } from '../../../ir/kernel/thread.js';
import type { Schedule, TileExpression } from '../../../ir/kernel/tile.js';
import type { LaneContext } from './buffer-access.js';
import { wideFactor } from './elements.js';
import { freeAxes } from './free-axes.js';
import { withoutGuards } from './guards.js';
import type { Contract } from './matrix-operands.js';
import { keyPart, withPoint } from './positions.js';
import type { LoweringContext } from './lowering-context.js';
import type { StagedFactors } from './staged-factors.js';

/**
 * Factors of the products of one loop body, each computed where it is first multiplied. What is the same for all lanes of a subgroup is
 * computed once by one of them where the schedule deals it out (`AxisSpread.dealtTo`).
 */
export class Factors {
  private readonly known = new Map<TileExpression, Map<string, Expression>>();
  private readonly masked = new Map<TileExpression, TileExpression>();
  private readonly bare = new Map<TileExpression, TileExpression>();

  /** `left out`: guards that stand still in the open section of the contracted axis hold. */
  constructor(
    private readonly context: LoweringContext & { readonly schedule: Schedule },
    private readonly guards: 'kept' | 'left out' = 'kept',
    private readonly staged?: StagedFactors,
  ) {}

  left(contract: Contract, context: LaneContext): Expression {
    if (this.staged !== undefined) return this.fromStage(contract.a, contract, context);
    return this.factor(this.maskedLeft(contract), contract, context);
  }

  right(contract: Contract, context: LaneContext): Expression {
    if (this.staged !== undefined) return this.fromStage(contract.b, contract, context);
    return this.factor(this.unguarded(contract.b, contract.over), contract, context);
  }

  /** Zero past the end of the contracted axis. */
  private maskedLeft({ a: given, over }: Contract): TileExpression {
    const a = this.unguarded(given, over);
    let masked = this.masked.get(a);
    if (masked === undefined) {
      const wide = this.context.loops.maskPastExtent(wideFactor(a), over, 0);
      masked = a.kind === 'convert' && wideFactor(a) !== a ? { ...a, operand: wide } : wide;
      this.masked.set(a, masked);
    }
    return masked;
  }

  /** Computes what the factors of a product need from memory: loads that stand together wait for each other less. */
  prepare(contract: Contract, context: LaneContext): void {
    if (this.staged !== undefined) {
      this.left(contract, context);
      this.right(contract, context);
      return;
    }
    for (const factor of [this.maskedLeft(contract), this.unguarded(contract.b, contract.over)]) {
      const axes = this.axesOf(factor, contract);
      const dealt = this.dealtAxis(axes);
      if (dealt === undefined) this.factor(factor, contract, context);
      else this.computeDealt(factor, contract, axes, dealt, context);
    }
  }

  private fromStage(factor: TileExpression, contract: Contract, context: LaneContext): Expression {
    const point = this.axesOf(factor, contract).map((axis) => `${axis} ${keyPart(context.position, axis)}`);
    return this.once(factor, point.join(' '), () => (this.staged as StagedFactors).load(factor, contract, context));
  }

  private unguarded(factor: TileExpression, over: string): TileExpression {
    if (this.guards === 'kept') return factor;
    let bare = this.bare.get(factor);
    bare ??= withoutGuards(factor, (guard) => this.context.at.standsStill(guard, over));
    this.bare.set(factor, bare);
    return bare;
  }

  private axesOf(factor: TileExpression, { name, over }: Contract): readonly string[] {
    const { elements, at, loops } = this.context;
    return freeAxes(factor, [...loops.tile(name).axes, over], at, elements.tiles);
  }

  /** The axis whose registers the lanes share out, where the factor is the same for all of them otherwise. */
  private dealtAxis(axes: readonly string[]): string | undefined {
    return axes.find((axis) => {
      const { dealtTo } = this.context.at.spreadOf(axis);
      return dealtTo !== undefined && !axes.includes(dealtTo);
    });
  }

  private factor(factor: TileExpression, contract: Contract, context: LaneContext): Expression {
    const axes = this.axesOf(factor, contract);
    const dealt = this.dealtAxis(axes);
    const point = axes.map((axis) => `${axis} ${keyPart(context.position, axis)}`);
    return this.once(factor, keyOf(context, point), () =>
      dealt === undefined
        ? this.compute(factor, contract, context)
        : this.broadcast(factor, contract, axes, dealt, context),
    );
  }

  /** From the lane that has the register. */
  private broadcast(
    factor: TileExpression,
    contract: Contract,
    axes: readonly string[],
    dealt: string,
    context: LaneContext,
  ): Expression {
    const operand = this.computeDealt(factor, contract, axes, dealt, context);
    const source = (context.position.get(dealt)?.register ?? 0) % this.lanesOf(dealt);
    return this.context.emitter.bind('dealt', typeOf(operand), { kind: 'subgroup_broadcast', operand, source });
  }

  /** What each lane computes in the round that the register is dealt in. */
  private computeDealt(
    factor: TileExpression,
    contract: Contract,
    axes: readonly string[],
    dealt: string,
    context: LaneContext,
  ): Expression {
    const { at } = this.context;
    const { register = 0, lane = 0 } = context.position.get(dealt) ?? {};
    const round = Math.floor(register / this.lanesOf(dealt));
    const point = axes.map((axis) =>
      axis === dealt ? `${axis} round ${round}.${lane}` : `${axis} ${keyPart(context.position, axis)}`,
    );
    return this.once(factor, keyOf(context, point), () => {
      const position = withPoint(context.position, dealt, at.dealtPoint(dealt, round, lane));
      return this.compute(factor, contract, { ...context, position });
    });
  }

  /** Numbers in f32, or bytes as the words that they lie in, if they are not widened. */
  private compute(factor: TileExpression, { inBytes, over }: Contract, context: LaneContext): Expression {
    const { elements } = this.context;
    const { widensBytes } = this.context.schedule;
    return inBytes === true && widensBytes !== true && factor.kind === 'load'
      ? elements.access.loadWords(factor, over, context.position)
      : elements.computeFactor(factor, context);
  }

  private lanesOf(dealt: string): number {
    const { at } = this.context;
    return at.spreadOf(at.spreadOf(dealt).dealtTo ?? dealt).threads;
  }

  private once(factor: TileExpression, key: string, compute: () => Expression): Expression {
    const values = this.known.get(factor) ?? new Map<string, Expression>();
    this.known.set(factor, values);
    const known = values.get(key);
    if (known !== undefined) return known;
    const value = compute();
    values.set(key, value);
    return value;
  }
}

/** Of a factor's numbers at a point, as many and along which axis the context asks for. */
function keyOf(context: LaneContext, point: readonly string[]): string {
  return [context.axis ?? '', context.lanes, ...point].join(' ');
}

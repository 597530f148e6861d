import type { Expression } from '../../../ir/kernel/thread.js';
import type { TileExpression } from '../../../ir/kernel/tile.js';
import type { Elements, LaneContext } from './elements.js';
import { wideFactor } from './elements.js';
import type { Emitter } from './emitter.js';
import { freeAxes } from './free-axes.js';
import { withoutGuards } from './guards.js';
import type { Contract } from './matrix-operands.js';
import type { Coordinates } from './positions.js';
import { keyPart, withPoint } from './positions.js';
import type { TileLoops } from './tile-loops.js';

export interface FactorContext {
  readonly at: Coordinates;
  readonly elements: Elements;
  readonly emitter: Emitter;
  readonly loops: TileLoops;
}

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
    private readonly context: FactorContext,
    private readonly guards: 'kept' | 'left out' = 'kept',
  ) {}

  /** Zero past the end of the contracted axis. */
  left({ a: given, over, name }: Contract, context: LaneContext): Expression {
    const a = this.unguarded(given, over);
    let masked = this.masked.get(a);
    if (masked === undefined) {
      const wide = this.context.loops.maskPastExtent(wideFactor(a), over, 0);
      masked = a.kind === 'convert' && wideFactor(a) !== a ? { ...a, operand: wide } : wide;
      this.masked.set(a, masked);
    }
    return this.factor(masked, over, name, context);
  }

  right({ b, over, name }: Contract, context: LaneContext): Expression {
    return this.factor(this.unguarded(b, over), over, name, context);
  }

  private unguarded(factor: TileExpression, over: string): TileExpression {
    if (this.guards === 'kept') return factor;
    let bare = this.bare.get(factor);
    bare ??= withoutGuards(factor, (guard) => this.context.at.standsStill(guard, over));
    this.bare.set(factor, bare);
    return bare;
  }

  private factor(factor: TileExpression, over: string, tile: string, context: LaneContext): Expression {
    const { elements, at, loops } = this.context;
    const axes = freeAxes(factor, [...loops.tile(tile).axes, over], at, elements.tiles);
    const dealt = axes.find((axis) => {
      const { dealtTo } = at.spreadOf(axis);
      return dealtTo !== undefined && !axes.includes(dealtTo);
    });
    const point = axes.map((axis) => `${axis} ${keyPart(context.position, axis)}`);
    const compute = (): Expression =>
      dealt === undefined ? elements.computeFactor(factor, context) : this.broadcast(factor, axes, dealt, context);
    return this.once(factor, [context.axis ?? '', context.lanes, ...point].join(' '), compute);
  }

  /** From the lane that has the register, which has computed it in the round that it was dealt in. */
  private broadcast(factor: TileExpression, axes: readonly string[], dealt: string, context: LaneContext): Expression {
    const { elements, emitter, at } = this.context;
    const lanes = at.spreadOf(at.spreadOf(dealt).dealtTo ?? dealt).threads;
    const { register = 0, lane = 0 } = context.position.get(dealt) ?? {};
    const round = Math.floor(register / lanes);
    const point = axes.map((axis) =>
      axis === dealt ? `${axis} round ${round}.${lane}` : `${axis} ${keyPart(context.position, axis)}`,
    );
    const operand = this.once(factor, [context.axis ?? '', context.lanes, ...point].join(' '), () => {
      const position = withPoint(context.position, dealt, at.dealtPoint(dealt, round, lane));
      return elements.computeFactor(factor, { ...context, position });
    });
    const source = register % lanes;
    const type = { scalar: 'f32', lanes: context.lanes } as const;
    return emitter.bind('dealt', type, { kind: 'subgroup_broadcast', operand, source });
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

import { add, integer, parameter } from '../../../ir/kernel/expressions.js';
import { Dim } from '../../../ir/dim.js';
import type { Expression } from '../../../ir/kernel/thread.js';
import type { TileExpression } from '../../../ir/kernel/tile.js';
import type { Elements, LaneContext, TileRegisters } from './elements.js';
import { registerKey } from './elements.js';
import type { Emitter } from './emitter.js';
import type { AxisPoint, Coordinates, Position } from './positions.js';
import { withPoint } from './positions.js';

/** Registers that are worth a loop. */
const fewestRolled = 4;

/** Walks of axes: over chunks in loops, over the registers of a tile. */
export class TileLoops {
  constructor(
    private readonly at: Coordinates,
    private readonly emitter: Emitter,
    private readonly elements: Elements,
  ) {}

  /** Runs the body for each unrolled step of each chunk of a loop or whole axis; inside an open `for`, for its chunk only. */
  overChunks(axis: string, unroll: number, body: (register: number) => void): void {
    const { kind, extent, tile } = this.at.axis(axis);
    const { registers } = this.at.spreadOf(axis);
    const everyRegister = (count: number): void => {
      for (let register = 0; register < count; register++) body(register);
    };
    if (kind !== 'loop' || this.at.isOpen(axis)) return everyRegister(registers);
    const steps = extent.constant !== undefined && extent.constant % (tile * unroll) === 0 ? unroll : 1;
    this.walk(axis, steps, () => everyRegister(registers * steps));
  }

  /** Runs the body once for each chunk of a loop axis, which has all the axis' registers. */
  walkChunks(axis: string, body: () => void): void {
    this.walk(axis, 1, body);
  }

  private walk(axis: string, steps: number, body: () => void): void {
    const { extent, tile } = this.at.axis(axis);
    if (extent.constant === 0) return;
    const enter = (base: Expression): void => {
      this.at.setChunk(axis, base);
      body();
      this.at.leaveChunk(axis);
    };
    if (extent.constant !== undefined && extent.constant <= tile * steps) return enter(integer(0));
    this.emitter.loop(axis, integer(0), this.at.polynomial(extent, new Map()), tile * steps, enter);
  }

  /** Every combination of registers of the axes, innermost fastest; vector axes at lane 0. */
  *registerPositions(axes: readonly string[]): Generator<Position> {
    const counts = axes.map((axis) => this.at.spreadOf(axis).registers);
    const total = counts.reduce((product, count) => product * count, 1);
    for (let flat = 0; flat < total; flat++) {
      const position = new Map<string, AxisPoint>();
      let rest = flat;
      for (let place = axes.length - 1; place >= 0; place--) {
        const count = counts[place] as number;
        position.set(axes[place] as string, { register: rest % count, lane: 0 });
        rest = Math.floor(rest / count);
      }
      yield position;
    }
  }

  /**
   * Runs the body for all registers of the axes: once, or in a loop over the axis that is rolled, of which the positions then have a
   * computed register. `before` as in `Emitter.loop`.
   */
  overRegisters(axes: readonly string[], body: (positions: readonly Position[]) => void, before?: () => void): void {
    const rolled = this.rolledAxis(axes);
    if (rolled === undefined) {
      before?.();
      body([...this.registerPositions(axes)]);
      return;
    }
    const others = [...this.registerPositions(axes.filter((axis) => axis !== rolled))];
    // Origins are never negative; drivers do not know that, and so do not unroll what is a loop on purpose.
    const nothing: Expression = { kind: 'binary', operator: 'min', left: parameter('origin_x'), right: integer(0) };
    const each = (computed: Expression): void => {
      body(others.map((position) => withPoint(position, rolled, { computed, lane: 0 })));
    };
    const end = add(integer(this.at.spreadOf(rolled).registers), nothing);
    this.emitter.loop(`${rolled}_register`, integer(0), end, 1, each, before);
  }

  /** The axis whose registers are gone through in a loop. */
  rolledAxis(axes: readonly string[]): string | undefined {
    return axes.find((axis) => {
      const { rolled, registers } = this.at.spreadOf(axis);
      return rolled === true && registers >= fewestRolled;
    });
  }

  lanesOf(axes: readonly string[]): 1 | 2 | 4 {
    const inner = axes.at(-1);
    return inner === undefined ? 1 : this.at.spreadOf(inner).vector;
  }

  context(axes: readonly string[], position: Position): LaneContext {
    const lanes = this.lanesOf(axes);
    return { position, axis: lanes > 1 ? axes.at(-1) : undefined, lanes };
  }

  tile(name: string): TileRegisters {
    const tile = this.elements.tiles.get(name);
    if (tile === undefined) throw new Error(`internal: tile ${name} is not declared`);
    return tile;
  }

  nameOf(tile: TileRegisters, position: Position): string {
    const register = tile.registers.get(registerKey(tile.axes, position));
    if (register?.kind !== 'register') throw new Error('internal: a tile register has no name');
    return register.name;
  }

  maskPastExtent(value: TileExpression, axis: string, identity: number): TileExpression {
    if (!this.at.isRagged(axis)) return value;
    const { extent } = this.at.axis(axis);
    return {
      kind: 'when',
      conditions: [{ kind: 'less', left: Dim.symbol(axis), right: extent }],
      yes: value,
      no: { kind: 'number', value: identity },
    };
  }
}

/** Pairwise, so that the order does not depend on the backend. */
export function foldLanes(vector: Expression, lanes: number, operator: 'add' | 'max'): Expression {
  if (lanes === 1) return vector;
  let parts = Array.from({ length: lanes }, (_, lane): Expression => ({ kind: 'lane', operand: vector, lane }));
  while (parts.length > 1) {
    const half = parts.length / 2;
    parts = Array.from({ length: half }, (_, i) => ({
      kind: 'binary',
      operator,
      left: parts[i] as Expression,
      right: parts[i + half] as Expression,
    }));
  }
  return parts[0] as Expression;
}

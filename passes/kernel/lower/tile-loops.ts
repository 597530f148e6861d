import { add, i32, integer, multiply } from '../../../ir/kernel/expressions.js';
import { Dim } from '../../../ir/dim.js';
import type { Expression } from '../../../ir/kernel/thread.js';
import type { TileExpression } from '../../../ir/kernel/tile.js';
import type { LaneContext } from './buffer-access.js';
import type { Elements } from './elements.js';
import { registerKey, type TileRegisters } from './tile-registers.js';
import type { Emitter } from './emitter.js';
import type { AxisPoint, Coordinates, Position } from './positions.js';
import { withPoint } from './positions.js';

/** Registers that are worth a loop. */
const fewestRolled = 4;

/** Some of the registers of an axis. */
interface Band {
  readonly axis: string;
  readonly from: number;
  readonly count: number;
}

/** Walks of axes: over chunks in loops, over the registers of a tile. */
export class TileLoops {
  private band: Band | undefined;

  constructor(
    private readonly at: Coordinates,
    private readonly emitter: Emitter,
    private readonly elements: Elements,
  ) {}

  /** Runs the body for each unrolled step of each chunk of a loop or whole axis; inside an open `for`, for its chunk only. */
  overChunks(axis: string, unroll: number, body: (register: number) => void): void {
    if (this.isWalked(axis)) return this.overWalked([axis], () => body(0));
    const { kind, extent, tile } = this.at.axis(axis);
    const { registers } = this.at.spreadOf(axis);
    const overRegisters = (steps: number): void => {
      for (let register = 0; register < registers * steps; register++) body(register);
    };
    if (kind !== 'loop' || this.at.isOpen(axis)) return overRegisters(1);
    const constant = extent.constant;
    const steps = constant !== undefined && constant % (tile * unroll) === 0 ? unroll : 1;
    this.eachChunk(axis, steps, () => overRegisters(steps));
  }

  /**
   * Runs `inSection` in a loop over the sections of a loop axis, which is open at the section's first coordinate; it is given what walks the
   * section's chunks.
   */
  overSections(
    axis: string,
    size: number,
    inSection: (walk: (body: (register: number) => void) => void) => void,
  ): void {
    const { extent, tile } = this.at.axis(axis);
    const { registers } = this.at.spreadOf(axis);
    this.emitter.loop(`${axis}_section`, integer(0), this.at.polynomial(extent, new Map()), size, (start) => {
      this.at.setSection(axis, start, integer(0));
      inSection((body) =>
        this.emitter.loop(axis, integer(0), integer(size), tile, (within) => {
          this.at.setSection(axis, start, within);
          for (let register = 0; register < registers; register++) body(register);
          this.at.setSection(axis, start, integer(0));
        }),
      );
      this.at.leaveChunk(axis);
    });
  }

  /** Runs the body once for each so many chunks of a loop axis, which is open in it. */
  eachChunk(axis: string, steps: number, body: () => void): void {
    const { extent, tile } = this.at.axis(axis);
    const constant = extent.constant;
    if (constant === 0) return;
    const inChunk = (base: Expression): void => {
      this.at.setChunk(axis, base);
      body();
      this.at.leaveChunk(axis);
    };
    if (constant !== undefined && constant <= tile * steps) {
      inChunk(integer(0));
      return;
    }
    this.emitter.loop(axis, integer(0), this.at.polynomial(extent, new Map()), tile * steps, inChunk);
  }

  /** Tiles over the axis are in memory, and its registers are steps of a loop. */
  isWalked(axis: string): boolean {
    return this.at.spreadOf(axis).walked === true;
  }

  /** Runs the body in a loop over a walked axis among those given; once where there is none. */
  overWalked(axes: readonly string[], body: () => void): void {
    const axis = axes.find((name) => this.isWalked(name));
    if (axis === undefined) {
      body();
      return;
    }
    const { tile } = this.at.axis(axis);
    this.emitter.loop(axis, integer(0), integer(tile), this.at.spreadOf(axis).vector, (variable) => {
      this.at.setChunk(axis, variable);
      body();
      this.at.setChunk(axis, integer(0));
    });
  }

  /** Runs the body for registers `from` on of an axis only, so many. */
  inBand(axis: string, from: number, count: number, body: () => void): void {
    this.band = { axis, from, count };
    body();
    this.band = undefined;
  }

  /** Every combination of registers of the axes, innermost fastest; vector axes at lane 0. */
  *registerPositions(axes: readonly string[]): Generator<Position> {
    const bandOf = (axis: string): Band | undefined => (this.band?.axis === axis ? this.band : undefined);
    const counts = axes.map((axis) =>
      this.isWalked(axis) ? 1 : (bandOf(axis)?.count ?? this.at.spreadOf(axis).registers),
    );
    const total = counts.reduce((product, count) => product * count, 1);
    for (let flat = 0; flat < total; flat++) {
      const position = new Map<string, AxisPoint>();
      let rest = flat;
      for (let place = axes.length - 1; place >= 0; place--) {
        const count = counts[place] as number;
        const axis = axes[place] as string;
        position.set(axis, { register: (bandOf(axis)?.from ?? 0) + (rest % count), lane: 0 });
        rest = Math.floor(rest / count);
      }
      yield position;
    }
  }

  /**
   * Runs the body for all registers of the axes: once, in a loop over a walked axis, or in one over the axis that is rolled, of which the
   * positions then have a computed register. `before` as in `Emitter.loop`.
   */
  overRegisters(axes: readonly string[], body: (positions: readonly Position[]) => void, before?: () => void): void {
    const rolled = this.rolledAxis(axes);
    if (rolled === undefined) {
      before?.();
      this.overWalked(axes, () => body([...this.registerPositions(axes)]));
      return;
    }
    const others = [...this.registerPositions(axes.filter((axis) => axis !== rolled))];
    const each = (computed: Expression): void => {
      body(others.map((position) => withPoint(position, rolled, { computed, lane: 0 })));
    };
    const end = integer(this.at.spreadOf(rolled).registers);
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

  /** Gives the tile's register at the position, or its place in memory, a value. */
  assign(tile: TileRegisters, position: Position, value: Expression): void {
    if (tile.memory === undefined) {
      this.emitter.push({ kind: 'assign', name: this.nameOf(tile, position), value });
      return;
    }
    const { array } = tile.memory;
    this.emitter.push({ kind: 'store_shared', array, index: tile.memory.indexOf(position), value });
  }

  /** Where the vector at a position of a tile in memory is. */
  indexInMemory(axes: readonly string[], position: Position): Expression {
    let index: Expression = integer(0);
    for (const axis of axes) {
      const { registers, vector } = this.at.spreadOf(axis);
      const bits = integer(Math.log2(vector));
      const place: Expression = this.isWalked(axis)
        ? { kind: 'binary', operator: 'shift_right', left: this.at.base(axis), right: bits }
        : integer(position.get(axis)?.register ?? 0);
      index = add(multiply(index, integer(registers)), place);
    }
    return this.emitter.hoist('i', i32, index);
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

import { add, builtin, i32, integer, multiply, parameter } from '../../../ir/kernel/expressions.js';
import { Dim } from '../../../ir/dim.js';
import type { Expression } from '../../../ir/kernel/thread.js';
import type { Axis, AxisSpread, IndexCondition, IndexTerm, Schedule, TileKernel } from '../../../ir/kernel/tile.js';
import { threadsOfPart } from '../../../ir/kernel/tile.js';
import type { Emitter } from './emitter.js';
import { Conditions } from './conditions.js';
import { Quotients } from './quotients.js';

/**
 * Where on an axis: which register, and which lane when a vector is taken apart (0 for a whole vector); a register whose number is
 * computed; or a coordinate that has nothing to do with the spread.
 */
export type AxisPoint =
  | {
      readonly register: number;
      readonly lane: number;
      readonly computed?: undefined;
      readonly coordinate?: undefined;
    }
  | {
      readonly computed: Expression;
      readonly lane: number;
      readonly register?: undefined;
      readonly coordinate?: undefined;
    }
  | {
      readonly coordinate: Expression;
      readonly register?: undefined;
      readonly lane?: undefined;
      readonly computed?: undefined;
    };

export type Position = ReadonlyMap<string, AxisPoint>;

/** The position with one lane of an axis' vector picked. */
export function moveLane(position: Position, axis: string, lane: number): Position {
  const point = position.get(axis);
  const moved: AxisPoint =
    point?.computed === undefined ? { register: point?.register ?? 0, lane } : { computed: point.computed, lane };
  return withPoint(position, axis, moved);
}

/** Which tile of a launch, in x, y and z. */
export interface TileNumbers {
  readonly x: Expression;
  readonly y: Expression;
  readonly z: Expression;
}

/** An axis' register and lane as a part of a key. */
export function keyPart(position: Position, axis: string): string {
  const point = position.get(axis);
  if (point?.coordinate !== undefined || point?.computed !== undefined) {
    throw new Error(`internal: a computed coordinate of ${axis} has no key`);
  }
  return `${point?.register ?? 0}.${point?.lane ?? 0}`;
}

/** The position with another point of one axis. */
export function withPoint(position: Position, axis: string, point: AxisPoint): Position {
  return new Map(position).set(axis, point);
}

/**
 * Turns index polynomials into i32 expressions for a position. Knows each axis' chunk base (workgroup, loop variable)
 * and the spread over threads, registers and lanes.
 */
export class Coordinates {
  private readonly axes: ReadonlyMap<string, Axis>;
  private readonly terms: ReadonlyMap<string, IndexTerm>;
  private readonly chunkBase = new Map<string, Expression>();
  private readonly threadPart = new Map<string, Expression>();
  private readonly quotients: Quotients;
  private readonly guards: Conditions;

  constructor(
    kernel: TileKernel,
    private readonly schedule: Schedule,
    private readonly emitter: Emitter,
  ) {
    this.quotients = new Quotients(this, emitter, schedule.dots === true);
    this.guards = new Conditions(this, emitter, schedule.dots === true);
    this.axes = new Map(kernel.axes.map((axis) => [axis.name, axis]));
    this.terms = new Map(kernel.terms.map((term) => [term.name, term]));
    let stride = 1;
    for (const name of schedule.threadOrder) {
      const threads = threadsOfPart(schedule, name);
      const { number, apart, end } = this.numberOf(stride);
      const shifted = apart === 1 ? number : this.binary('div', number, integer(apart));
      const isLast = name === schedule.threadOrder.at(-1) || stride * threads === end;
      if (threads > 1) {
        const part = isLast ? shifted : this.binary('mod', shifted, integer(threads));
        this.threadPart.set(name, emitter.hoist(`${name.replace('.', '_')}_thread`, i32, part));
      }
      stride *= threads;
    }
    for (const axis of kernel.axes) if (axis.kind === 'whole') this.chunkBase.set(axis.name, integer(0));
    if (schedule.matrix?.walk !== undefined) return;
    // The builtins have the origin of a cut launch in them.
    const [x, y, z] = [builtin('workgroup_x'), builtin('workgroup_y'), builtin('workgroup_z')];
    this.placeTile({ x, y, z });
  }

  /**
   * What the threads of a part are counted in that is `stride` invocations apart: which number, how far apart they are in it, and the
   * number of invocations that it ends at.
   */
  private numberOf(stride: number): { readonly number: Expression; readonly apart: number; readonly end?: number } {
    const { spread, bySubgroups, subgroupSize = 1 } = this.schedule;
    if (bySubgroups === true) {
      if (stride < subgroupSize) return { number: builtin('subgroup_lane'), apart: stride, end: subgroupSize };
      return { number: builtin('subgroup_index'), apart: stride / subgroupSize };
    }
    // Lanes take numbers from each other by their place in the subgroup, which nothing says is that in the workgroup.
    const isSubgroup = Object.values(spread).some(({ dealtTo }) => dealtTo !== undefined);
    return { number: builtin(isSubgroup ? 'subgroup_lane' : 'local_index'), apart: stride };
  }

  /** Opens a tile of the launch by its numbers, counted from the launch's first. */
  enterTile({ x, y, z }: TileNumbers): void {
    const from = (letter: 'x' | 'y' | 'z', number: Expression): Expression =>
      this.emitter.hoist(letter, i32, add(parameter(`origin_${letter}`), number));
    this.placeTile({ x: from('x', x), y: from('y', y), z: from('z', z) });
  }

  private placeTile(numbers: TileNumbers): void {
    for (const { name, kind, tile } of this.axes.values()) {
      if (kind === 'loop' || kind === 'whole') continue;
      const number = numbers[kind.slice(-1) as 'x' | 'y' | 'z'];
      this.chunkBase.set(name, this.emitter.hoist(`${name}_base`, i32, multiply(number, integer(tile))));
    }
  }

  axis(name: string): Axis {
    const axis = this.axes.get(name);
    if (axis === undefined) throw new Error(`internal: no axis ${name}`);
    return axis;
  }

  isAxis(name: string): boolean {
    return this.axes.has(name);
  }

  isTerm(name: string): boolean {
    return this.terms.has(name);
  }

  term(name: string): IndexTerm | undefined {
    return this.terms.get(name);
  }

  spreadOf(name: string): AxisSpread {
    const spread = this.schedule.spread[name];
    if (spread === undefined) throw new Error(`internal: the schedule does not spread axis ${name}`);
    return spread;
  }

  /** A driver that computes a subgroup's lanes as a vector, of 8 or more numbers, takes them from each other at once. */
  get sharesTables(): boolean {
    return this.schedule.dots === true && (this.schedule.subgroupSize ?? 0) >= 8;
  }

  /** The part of the local index that `threads` of an axis are, and how far its invocations are apart. */
  threadsOf(name: string): { readonly part: string; readonly stride: number } {
    const part = this.spreadOf(name).threadsOf ?? name;
    let stride = 1;
    for (const earlier of this.schedule.threadOrder) {
      if (earlier === part) break;
      stride *= threadsOfPart(this.schedule, earlier);
    }
    return { part, stride };
  }

  /** An invocation's number in the group of `axis.groups`; 0 where the axis has none. */
  group(name: string): Expression {
    return this.threadPart.get(`${name}.groups`) ?? integer(0);
  }

  /** An invocation's number among the threads of an axis. */
  thread(name: string): Expression {
    return this.threadPart.get(this.spreadOf(name).threadsOf ?? name) ?? integer(0);
  }

  /** Where the open chunk of a loop axis, or the workgroup's tile, begins. */
  base(name: string): Expression {
    const base = this.chunkBase.get(name);
    if (base === undefined) throw new Error(`internal: axis ${name} has no chunk here`);
    return base;
  }

  /** Enters a chunk of a loop axis. */
  setChunk(axis: string, base: Expression): void {
    this.chunkBase.set(axis, base);
  }

  leaveChunk(axis: string): void {
    this.chunkBase.delete(axis);
    this.quotients.leaveSection(axis);
  }

  /** Enters a chunk of a section of a loop axis. */
  setSection(axis: string, start: Expression, within: Expression): void {
    this.quotients.enterSection(axis, { start, within });
    this.chunkBase.set(axis, add(start, within));
  }

  isOpen(axis: string): boolean {
    return this.chunkBase.has(axis);
  }

  /** Some tile of the axis may reach past its extent. */
  isRagged(name: string): boolean {
    const { extent, tile } = this.axis(name);
    return !extent.isMultipleOf(tile);
  }

  /** No vector along the axis reaches past its extent in a part. */
  holdsWholeVectors(name: string): boolean {
    return this.axis(name).extent.isMultipleOf(this.spreadOf(name).vector);
  }

  /** The coordinate, possibly past the extent. */
  unclamped(name: string, point: AxisPoint): Expression {
    if (point.coordinate !== undefined) return point.coordinate;
    const base = this.base(name);
    const { threads, vector, registers, threadsOf } = this.spreadOf(name);
    const thread = this.threadPart.get(threadsOf ?? name);
    const group = this.threadPart.get(`${name}.groups`);
    const apart = threads * vector;
    const grouped = group === undefined ? base : add(base, multiply(group, integer(registers * threads * vector)));
    const moving = thread === undefined ? grouped : add(grouped, multiply(thread, integer(vector)));
    if (point.computed === undefined) {
      return this.emitter.hoist(name, i32, add(moving, integer(point.register * apart + point.lane)));
    }
    const from = this.emitter.hoist(name, i32, add(moving, multiply(point.computed, integer(apart))));
    return this.emitter.hoist(name, i32, add(from, integer(point.lane)));
  }

  /**
   * The register of an axis that this invocation's lane has in a round of dealing (`AxisSpread.dealtTo`); the last one where a round
   * has fewer registers than lanes.
   */
  dealtPoint(name: string, round: number, lane: number): AxisPoint {
    const { registers, dealtTo = name } = this.spreadOf(name);
    const { threads } = this.spreadOf(dealtTo);
    const own = add(this.threadPart.get(dealtTo) ?? integer(0), integer(round * threads));
    const isFull = (round + 1) * threads <= registers;
    const register = isFull ? own : this.binary('min', own, integer(registers - 1));
    return { computed: this.emitter.hoist(`${name}_dealt`, i32, register), lane };
  }

  /** The coordinate, clamped so that a whole vector lies inside the extent. */
  clamped(name: string, point: AxisPoint): Expression {
    if (point.coordinate !== undefined || !this.isRagged(name)) return this.unclamped(name, point);
    const { vector } = this.spreadOf(name);
    if (!this.holdsWholeVectors(name)) {
      const last = this.polynomial(this.axis(name).extent.sub(1), new Map());
      return this.emitter.hoist(`${name}_in`, i32, this.binary('min', this.unclamped(name, point), last));
    }
    const whole = this.unclamped(name, { ...point, lane: 0 });
    const last = this.polynomial(this.axis(name).extent.sub(vector), new Map());
    const inside = this.emitter.hoist(`${name}_in`, i32, this.binary('min', whole, last));
    return this.emitter.hoist(name, i32, add(inside, integer(point.lane)));
  }

  /** The polynomial's value; axis coordinates are clamped unless `exact`. */
  polynomial(index: Dim, position: Position, exact = false): Expression {
    const parts = index.monomials().map(({ symbols, coefficient }) => {
      let product: Expression | undefined;
      for (const symbol of symbols) {
        const factor = this.symbol(symbol, position, exact);
        product = product === undefined ? factor : this.emitter.hoist('t', i32, multiply(product, factor));
      }
      if (product === undefined) return { value: integer(coefficient), depth: -1 };
      const value = this.emitter.hoist('t', i32, multiply(product, integer(coefficient)));
      return { value, depth: this.emitter.depthNeeded(value) };
    });
    // Outer parts first, so that their sum is bound outside the loop.
    parts.sort((a, b) => a.depth - b.depth);
    let sum: Expression = integer(0);
    for (const { value } of parts) sum = this.emitter.hoist('i', i32, add(sum, value));
    return sum;
  }

  /** The element of a buffer's binding at an index of its view. */
  address(buffer: string, index: Dim, position: Position, exact: boolean): Expression {
    const base = `${buffer}_base`;
    // Few addresses: all that a loop does not change is added up outside of it. Of many, as after fragments' products, each would be
    // a register more (sm_90a spilled 600 bytes).
    if (this.schedule.dots === true) return this.polynomial(index.add(Dim.symbol(base)), position, exact);
    return this.emitter.hoist('i', i32, add(this.polynomial(index, position, exact), parameter(base)));
  }

  /** Runs the body where the conditions hold: they are not asked for in it. */
  assuming(conditions: readonly IndexCondition[], body: () => void): void {
    this.guards.assuming(conditions, body);
  }

  /** All conditions, or undefined when there are none but those that are known to hold. */
  conditions(list: readonly IndexCondition[], position: Position, exact = false): Expression | undefined {
    return this.guards.all(list, position, exact);
  }

  /** Whether a condition is the same for all of the open section of an axis. */
  standsStill({ left, right }: IndexCondition, axis: string): boolean {
    const size = this.spreadOf(axis).section;
    const isStill = (symbol: string): boolean => {
      const term = this.terms.get(symbol);
      if (term === undefined) return symbol !== axis;
      if (term.kind === 'loaded') return term.at.symbols.every(isStill);
      const by = term.kind === 'floor' ? term.by.constant : undefined;
      if (size !== undefined && by !== undefined && by % size === 0 && term.of.equals(Dim.symbol(axis))) return true;
      return term.of.symbols.every(isStill);
    };
    return [...left.symbols, ...right.symbols].every(isStill);
  }

  private symbol(name: string, position: Position, exact: boolean): Expression {
    if (this.axes.has(name)) {
      const point = position.get(name) ?? { register: 0, lane: 0 };
      return exact ? this.unclamped(name, point) : this.clamped(name, point);
    }
    const term = this.terms.get(name);
    if (term === undefined) return { kind: 'parameter', name };
    switch (term.kind) {
      case 'floor':
        return this.quotients.quotient('div', term.of, term.by, position, exact);
      case 'modulo':
        return this.quotients.quotient('mod', term.of, term.by, position, exact);
      case 'exclusive_or':
        return this.emitter.hoist(
          't',
          i32,
          this.binary('xor', this.polynomial(term.of, position, exact), integer(term.mask)),
        );
      case 'loaded': {
        const at = this.polynomial(term.at, position, exact);
        const index = this.emitter.hoist('i', i32, add(at, { kind: 'parameter', name: `${term.buffer}_base` }));
        const value = this.emitter.bind('row', i32, { kind: 'load', buffer: term.buffer, index, type: i32 });
        const last = this.polynomial(term.limit.sub(1), new Map());
        const capped = this.binary('min', this.binary('max', value, integer(0)), last);
        return this.emitter.bind('row', i32, capped);
      }
    }
  }

  /** What is left of an index, which is not negative, when a power of two divides it. */
  remainder(of: Dim, by: number, position: Position): Expression {
    return this.quotients.remainder(of, by, position);
  }

  private binary(
    operator: 'div' | 'mod' | 'min' | 'max' | 'less' | 'and' | 'xor',
    left: Expression,
    right: Expression,
  ): Expression {
    return { kind: 'binary', operator, left, right };
  }
}

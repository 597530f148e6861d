import { add, f32, integer } from '../../../ir/kernel/expressions.js';
import { unreachable } from '../../../ir/diagnostics.js';
import { Dim } from '../../../ir/dim.js';
import type {
  BufferParameter,
  Expression,
  RegisterType,
  ScalarType,
  SharedArray,
  ThreadKernel,
} from '../../../ir/kernel/thread.js';
import type { Schedule, TileExpression, TileKernel, TileStatement } from '../../../ir/kernel/tile.js';
import { threadsOfPart } from '../../../ir/kernel/tile.js';
import { Emitter } from './emitter.js';
import { freeAxes } from './free-axes.js';
import { Elements, registerKey, wideFactor } from './elements.js';
import type { LaneContext, TileRegisters } from './elements.js';
import { MatrixLowering } from './lower-matrix.js';
import { readsVectors } from './reads-vectors.js';
import { Coordinates, keyPart, moveLane, withPoint } from './positions.js';
import type { AxisPoint, Position } from './positions.js';

/**
 * Lowers a tile kernel to its thread form under a schedule: every tile operator lowers itself to registers, loops and
 * loads. Buffers whose every access is an aligned group of four (or of two) get as many lanes, the others one.
 */
export function lowerTile(kernel: TileKernel, schedule: Schedule): ThreadKernel {
  // Row numbers are read one at a time.
  const rowNumbers = new Set(kernel.terms.flatMap((term) => (term.kind === 'loaded' ? [term.buffer] : [])));
  const lanes = new Map<string, 2 | 4>();
  for (const { name, alignment } of kernel.buffers) {
    if (alignment % 2 === 0 && !rowNumbers.has(name)) lanes.set(name, alignment % 4 === 0 ? 4 : 2);
  }
  for (;;) {
    const lowering = new Lowering(kernel, schedule, new Map(lanes));
    lowering.run();
    const { refused } = lowering.elements;
    if (refused.size === 0) return lowering.finish();
    for (const [name, width] of refused) {
      if (width === 1) lanes.delete(name);
      else lanes.set(name, width);
    }
  }
}

export function workgroupSizeOf(schedule: Schedule): number {
  return schedule.threadOrder.reduce((size, part) => size * threadsOfPart(schedule, part), 1);
}

class Lowering {
  readonly elements: Elements;
  private readonly emitter = new Emitter();
  private readonly at: Coordinates;
  private readonly shared: SharedArray[] = [];
  private readonly matrix: MatrixLowering | undefined;

  constructor(
    private readonly kernel: TileKernel,
    private readonly schedule: Schedule,
    private readonly bufferLanes: ReadonlyMap<string, 2 | 4>,
  ) {
    this.at = new Coordinates(kernel, schedule, this.emitter);
    this.elements = new Elements(kernel, this.at, this.emitter, bufferLanes);
    if (schedule.matrix !== undefined) {
      this.matrix = new MatrixLowering({
        kernel,
        schedule,
        at: this.at,
        elements: this.elements,
        emitter: this.emitter,
        invocations: workgroupSizeOf(schedule),
        declareShared: (array) => this.shared.push(array),
      });
    }
  }

  run(): void {
    for (const statement of this.kernel.body) this.lower(statement);
  }

  finish(): ThreadKernel {
    const buffers = this.kernel.buffers.map(({ name, storage, access }): BufferParameter => ({
      name,
      storage,
      access,
      lanes: this.bufferLanes.get(name) ?? 1,
    }));
    return {
      phase: 'thread',
      name: this.kernel.name,
      buffers,
      parameters: [
        'origin_x',
        'origin_y',
        'origin_z',
        ...buffers.map(({ name }) => `${name}_base`),
        ...this.kernel.parameters,
      ],
      workgroupSize: workgroupSizeOf(this.schedule),
      shared: this.shared,
      ...(this.schedule.subgroupSize !== undefined && { subgroupSize: this.schedule.subgroupSize }),
      body: this.emitter.statements,
    };
  }

  private lower(statement: TileStatement): void {
    switch (statement.kind) {
      case 'tile':
        this.declareTile(statement.name, statement.axes, statement.value);
        return;
      case 'assign': {
        const tile = this.tile(statement.name);
        for (const position of this.registerPositions(tile.axes)) {
          const { value } = this.elements.compute(statement.value, this.context(tile.axes, position));
          this.emitter.push({ kind: 'assign', name: this.nameOf(tile, position), value });
        }
        return;
      }
      case 'contract':
        if (this.matrix === undefined) this.lowerContract(statement);
        else this.matrix.lowerContract(statement);
        return;
      case 'reduce':
        this.lowerReduce(statement);
        return;
      case 'for': {
        const lowerBody = (): void => statement.body.forEach((inner) => this.lower(inner));
        const multiplies = statement.body.some(({ kind }) => kind === 'contract');
        if (this.matrix === undefined || !multiplies) this.overChunks(statement.axis, 1, lowerBody);
        else this.matrix.lowerFor(statement.axis, statement.body, lowerBody);
        return;
      }
      case 'store':
        this.lowerStore(statement);
        return;
      default:
        unreachable(statement, 'tile statement');
    }
  }

  private declareTile(name: string, axes: readonly string[], value: TileExpression): void {
    const registers = new Map<string, Expression>();
    let scalar: ScalarType = 'f32';
    const lanes = this.lanesOf(axes);
    for (const position of this.registerPositions(axes)) {
      const computed = this.elements.compute(value, this.context(axes, position));
      scalar = computed.scalar;
      const key = registerKey(axes, position);
      const register = this.emitter.freshName(key === '' ? name : `${name}_${key}`);
      registers.set(key, this.emitter.declare('var', register, { scalar, lanes }, computed.value));
    }
    this.elements.tiles.set(name, { axes, lanes, scalar, registers });
  }

  /**
   * Two forms. Dot: lanes run along the contracted axis, each output element has a vector of partial sums that is added up at
   * the end; right when both operands are contiguous there (x · wᵀ). Outer: lanes run along the output's last axis.
   */
  private lowerContract({ name, over, a, b }: Extract<TileStatement, { kind: 'contract' }>): void {
    const tile = this.tile(name);
    const { vector } = this.at.spreadOf(over);
    const isDot =
      vector > 1 && [a, b].every((operand) => readsVectors(operand, over, vector, this.at, this.elements.tiles));
    const wide = this.maskPastExtent(wideFactor(a), over, 0);
    const masked: TileExpression = a.kind === 'convert' && wideFactor(a) !== a ? { ...a, operand: wide } : wide;
    if (!isDot) {
      const unrolled = this.at.isOpen(over) ? 1 : this.schedule.unroll;
      this.overChunks(over, unrolled, (step) => this.emitOuter(tile, over, step, masked, b));
      return;
    }
    const positions = [...this.registerPositions(tile.axes)];
    const inner = tile.axes.at(-1);
    const type: RegisterType = { scalar: 'f32', lanes: vector };
    const partials = new Map<string, string>();
    const lanesOf = (position: Position): Position[] =>
      inner === undefined
        ? [position]
        : Array.from({ length: tile.lanes }, (_, lane) => moveLane(position, inner, lane));
    const keyOf = (position: Position): string =>
      tile.axes.map((axis) => `${position.get(axis)?.register ?? 0}.${position.get(axis)?.lane ?? 0}`).join(' ');
    for (const position of positions) {
      for (const place of lanesOf(position)) {
        const partial = this.emitter.freshName(`${name}_sum`);
        partials.set(keyOf(place), partial);
        this.emitter.declare('var', partial, type, { kind: 'constant', type, value: 0 });
      }
    }
    this.overChunks(over, this.schedule.unroll, (step) => {
      const operandCache = new Map<string, Expression>();
      const operand = (which: 'a' | 'b', expression: TileExpression, place: Position): Expression => {
        const key = `${which} ${freeAxes(expression, tile.axes, this.at, this.elements.tiles)
          .map((axis) => keyPart(place, axis))
          .join(' ')}`;
        const known = operandCache.get(key);
        if (known !== undefined) return known;
        const moved = withPoint(place, over, { register: step, lane: 0 });
        const value = this.elements.computeFactor(expression, { position: moved, axis: over, lanes: vector });
        operandCache.set(key, value);
        return value;
      };
      for (const position of positions) {
        for (const place of lanesOf(position)) {
          const partial = partials.get(keyOf(place)) as string;
          const c: Expression = { kind: 'register', name: partial, type };
          const value: Expression = { kind: 'fma', a: operand('a', masked, place), b: operand('b', b, place), c };
          this.emitter.push({ kind: 'assign', name: partial, value });
        }
      }
    });
    for (const position of positions) {
      const sums = lanesOf(position).map((place) => this.sumLanes(partials.get(keyOf(place)) as string, type));
      const register = tile.registers.get(registerKey(tile.axes, position)) as Expression;
      const total: Expression = sums.length === 1 ? (sums[0] as Expression) : { kind: 'vector', parts: sums };
      this.emitter.push({
        kind: 'assign',
        name: this.nameOf(tile, position),
        value: { kind: 'binary', operator: 'add', left: register, right: total },
      });
    }
  }

  private emitOuter(tile: TileRegisters, over: string, step: number, a: TileExpression, b: TileExpression): void {
    const { vector } = this.at.spreadOf(over);
    const cache = new Map<string, Expression>();
    for (let lane = 0; lane < vector; lane++) {
      for (const position of this.registerPositions(tile.axes)) {
        const place = withPoint(position, over, { register: step, lane });
        const context = this.context(tile.axes, place);
        const operand = (which: 'a' | 'b', expression: TileExpression): Expression => {
          const free = freeAxes(expression, tile.axes, this.at, this.elements.tiles);
          const key = `${which} ${lane} ${free.map((axis) => keyPart(place, axis)).join(' ')}`;
          const known = cache.get(key);
          if (known !== undefined) return known;
          const value = this.elements.computeFactor(expression, context);
          cache.set(key, value);
          return value;
        };
        const c = tile.registers.get(registerKey(tile.axes, position)) as Expression;
        const value: Expression = { kind: 'fma', a: operand('a', a), b: operand('b', b), c };
        this.emitter.push({ kind: 'assign', name: this.nameOf(tile, position), value });
      }
    }
  }

  /** Partial results a lane, then across lanes, then across the invocations that share the row. */
  private lowerReduce({ name, over, operator, value }: Extract<TileStatement, { kind: 'reduce' }>): void {
    const tile = this.tile(name);
    const { vector, threads } = this.at.spreadOf(over);
    const lanes = readsVectors(value, over, vector, this.at, this.elements.tiles) ? vector : 1;
    const identity = operator === 'add' ? 0 : -Infinity;
    const masked = this.maskPastExtent(value, over, identity);
    const type: RegisterType = { scalar: 'f32', lanes };
    const positions = [...this.registerPositions(tile.axes)];
    const partials = positions.map(() => {
      const partial = this.emitter.freshName(`${name}_part`);
      this.emitter.declare('var', partial, type, { kind: 'constant', type, value: identity });
      return partial;
    });
    this.overChunks(over, this.at.isOpen(over) ? 1 : this.schedule.unroll, (step) => {
      positions.forEach((position, row) => {
        for (let lane = 0; lane < vector; lane += lanes) {
          const place = withPoint(position, over, { register: step, lane });
          const context: LaneContext = { position: place, axis: lanes > 1 ? over : undefined, lanes };
          const right = this.elements.compute(masked, context).value;
          this.combine(partials[row] as string, type, operator, right);
        }
      });
    });
    positions.forEach((position, row) => {
      const partial: Expression = { kind: 'register', name: partials[row] as string, type };
      let total = this.emitter.bind('r', f32, this.foldLanes(partial, lanes, operator));
      if (threads > 1) total = this.reduceAcrossThreads(total, over, operator);
      const register = tile.registers.get(registerKey(tile.axes, position)) as Expression;
      const value: Expression = {
        kind: 'binary',
        operator: operator === 'add' ? 'add' : 'max',
        left: register,
        right: total,
      };
      this.emitter.push({ kind: 'assign', name: this.nameOf(tile, position), value });
    });
  }

  private combine(name: string, type: RegisterType, operator: 'add' | 'max', right: Expression): void {
    const left: Expression = { kind: 'register', name, type };
    this.emitter.push({ kind: 'assign', name, value: { kind: 'binary', operator, left, right } });
  }

  /** By exchanges where the invocations are in one subgroup, otherwise through workgroup memory. */
  private reduceAcrossThreads(partial: Expression, over: string, operator: 'add' | 'max'): Expression {
    const { threads } = this.at.spreadOf(over);
    const { stride } = this.at.threadsOf(over);
    const { subgroupSize = 1 } = this.schedule;
    if (stride * threads > subgroupSize) return this.reduceInMemory(partial, over, operator);
    let total = partial;
    for (let distance = threads / 2; distance >= 1; distance /= 2) {
      const other: Expression = { kind: 'subgroup_exchange', operand: total, mask: distance * stride };
      const right = this.emitter.bind('r', f32, other);
      total = this.emitter.bind('r', f32, { kind: 'binary', operator, left: total, right });
    }
    return total;
  }

  /** Tree over the workgroup memory; the axis must be the fastest part of the local index, its threads a power of two. */
  private reduceInMemory(partial: Expression, over: string, operator: 'add' | 'max'): Expression {
    const { threads } = this.at.spreadOf(over);
    if (this.schedule.threadOrder[0] !== over || (threads & (threads - 1)) !== 0) {
      throw new Error(`internal: axis ${over} must be first in the thread order, with a power of two of threads`);
    }
    const array = `${over}_${operator}_${this.shared.length}`;
    this.shared.push({ name: array, type: f32, length: workgroupSizeOf(this.schedule) });
    const local: Expression = { kind: 'builtin', name: 'local_index' };
    const member: Expression = { kind: 'binary', operator: 'mod', left: local, right: integer(threads) };
    const read = (index: Expression): Expression => ({ kind: 'load_shared', array, index, type: f32 });
    this.emitter.push({ kind: 'store_shared', array, index: local, value: partial });
    this.emitter.push({ kind: 'barrier' });
    for (let stride = threads / 2; stride >= 1; stride /= 2) {
      this.emitter.when({ kind: 'binary', operator: 'less', left: member, right: integer(stride) }, () => {
        const value: Expression = {
          kind: 'binary',
          operator,
          left: read(local),
          right: read(add(local, integer(stride))),
        };
        this.emitter.push({ kind: 'store_shared', array, index: local, value });
      });
      this.emitter.push({ kind: 'barrier' });
    }
    const first: Expression = { kind: 'binary', operator: 'sub', left: local, right: member };
    return this.emitter.bind('r', f32, read(first));
  }

  private lowerStore(statement: Extract<TileStatement, { kind: 'store' }>): void {
    const { axes, buffer, index, conditions, value } = statement;
    for (const position of this.registerPositions(axes)) {
      let inside: Expression | undefined;
      for (const axis of axes) {
        if (!this.at.isRagged(axis)) continue;
        const right = this.at.polynomial(this.at.axis(axis).extent, new Map());
        const left = this.at.unclamped(axis, position.get(axis) ?? { register: 0, lane: 0 });
        const less: Expression = { kind: 'binary', operator: 'less', left, right };
        inside = inside === undefined ? less : { kind: 'binary', operator: 'and', left: inside, right: less };
      }
      const context = this.context(axes, position);
      this.emitter.when(inside, () => {
        const scalar = this.elements.loadScalar(buffer);
        const stored = this.elements.compute({ kind: 'convert', to: scalar, operand: value }, context);
        this.elements.store(buffer, index, stored.value, conditions, context);
      });
    }
  }

  /** Runs the body for each unrolled step of each chunk of a loop or whole axis; inside an open `for`, for its chunk only. */
  private overChunks(axis: string, unroll: number, body: (register: number) => void): void {
    const { kind, extent, tile } = this.at.axis(axis);
    const { registers } = this.at.spreadOf(axis);
    if (kind !== 'loop' || this.at.isOpen(axis)) {
      for (let register = 0; register < registers; register++) body(register);
      return;
    }
    const constant = extent.constant;
    if (constant === 0) return;
    const steps = constant !== undefined && constant % (tile * unroll) === 0 ? unroll : 1;
    if (constant !== undefined && constant <= tile * steps) {
      this.at.setChunk(axis, integer(0));
      for (let register = 0; register < registers * steps; register++) body(register);
      this.at.leaveChunk(axis);
      return;
    }
    const end = this.at.polynomial(extent, new Map());
    this.emitter.loop(axis, integer(0), end, tile * steps, (variable) => {
      this.at.setChunk(axis, variable);
      for (let register = 0; register < registers * steps; register++) body(register);
      this.at.leaveChunk(axis);
    });
  }

  private maskPastExtent(value: TileExpression, axis: string, identity: number): TileExpression {
    if (!this.at.isRagged(axis)) return value;
    const { extent } = this.at.axis(axis);
    return {
      kind: 'when',
      conditions: [{ kind: 'less', left: Dim.symbol(axis), right: extent }],
      yes: value,
      no: { kind: 'number', value: identity },
    };
  }

  private sumLanes(name: string, type: RegisterType): Expression {
    return this.emitter.bind('s', f32, this.foldLanes({ kind: 'register', name, type }, type.lanes, 'add'));
  }

  /** Pairwise, so that the order does not depend on the backend. */
  private foldLanes(vector: Expression, lanes: number, operator: 'add' | 'max'): Expression {
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

  private tile(name: string): TileRegisters {
    const tile = this.elements.tiles.get(name);
    if (tile === undefined) throw new Error(`internal: tile ${name} is not declared`);
    return tile;
  }

  private nameOf(tile: TileRegisters, position: Position): string {
    const register = tile.registers.get(registerKey(tile.axes, position));
    if (register?.kind !== 'register') throw new Error('internal: a tile register has no name');
    return register.name;
  }

  private lanesOf(axes: readonly string[]): 1 | 2 | 4 {
    const inner = axes.at(-1);
    return inner === undefined ? 1 : this.at.spreadOf(inner).vector;
  }

  private context(axes: readonly string[], position: Position): LaneContext {
    const lanes = this.lanesOf(axes);
    return { position, axis: lanes > 1 ? axes.at(-1) : undefined, lanes };
  }

  /** Every combination of registers of the axes, innermost fastest; vector axes at lane 0. */
  private *registerPositions(axes: readonly string[]): Generator<Position> {
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
}

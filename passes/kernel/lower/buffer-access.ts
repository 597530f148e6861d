import { Dim } from '../../../ir/dim.js';
import { bytesOfVector } from '../../../ir/kernel/bytes.js';
import { add, i32, integer } from '../../../ir/kernel/expressions.js';
import type { Expression, RegisterType, ScalarType } from '../../../ir/kernel/thread.js';
import type { IndexCondition, TileBuffer, TileKernel, TileLoad } from '../../../ir/kernel/tile.js';
import type { Emitter } from './emitter.js';
import { groupLanes, isStill, isWholeVector, laneMotion } from './lanes.js';
import type { LaneMotion } from './lanes.js';
import { moveLane } from './positions.js';
import type { Coordinates, Position } from './positions.js';

/** Which axis the lanes of the values being computed run along; one lane means scalars. */
export interface LaneContext {
  readonly position: Position;
  readonly axis: string | undefined;
  readonly lanes: 1 | 2 | 4;
}

/**
 * Reads and writes elements of buffers, as many at once as there are lanes where they fall into one aligned group, otherwise one after the
 * other.
 */
export class BufferAccess {
  /** Buffers with an access that does not read or write as many elements as they are bound with, and how many it does. */
  readonly refused = new Map<string, 1 | 2>();
  /** Buffers of bytes that are read as vectors of words. */
  readonly words = new Set<string>();
  private readonly buffers: ReadonlyMap<string, TileBuffer>;

  constructor(
    kernel: TileKernel,
    private readonly at: Coordinates,
    private readonly emitter: Emitter,
    /** Lanes that buffers are bound with; one where none are given. */
    private readonly bufferLanes: ReadonlyMap<string, 2 | 4>,
  ) {
    this.buffers = new Map(kernel.buffers.map((buffer) => [buffer.name, buffer]));
  }

  storageOf(buffer: string): TileBuffer['storage'] | undefined {
    return this.buffers.get(buffer)?.storage;
  }

  load(buffer: string, index: Dim, conditions: readonly IndexCondition[], context: LaneContext): Expression {
    const { lanes, axis, position } = context;
    const scalar = this.loadScalar(buffer);
    const still = conditions.every((condition) => this.isStillCondition(condition, context));
    const isVector = axis !== undefined && lanes > 1 && this.at.holdsWholeVectors(axis);
    const motion = isVector ? laneMotion(index, axis, lanes, this.at) : undefined;
    if (lanes === 1 || (motion !== undefined && isStill(motion.deltas) && still)) {
      if (this.bufferLanes.has(buffer)) this.refused.set(buffer, 1);
      const element = this.loadElement(buffer, index, conditions, position);
      return this.assemble([element], scalar, context);
    }
    const group = motion === undefined ? undefined : groupLanes(motion);
    if (this.canAccess(buffer, still && group !== undefined, lanes)) {
      const type: RegisterType = { scalar, lanes };
      const condition = this.at.conditions(conditions, position);
      const { residue = 0 } = motion as LaneMotion;
      const raw: Expression = {
        kind: 'load',
        buffer,
        index: this.guarded(this.groupIndex(buffer, index, residue, context, false), condition),
        type,
      };
      const loaded = this.emitter.bind(`${buffer}_v`, type, raw);
      const inOrder = (group as readonly number[]).every((lane, place) => lane === place);
      const turned: Expression = inOrder
        ? loaded
        : { kind: 'shuffle', operand: loaded, lanes: group as readonly number[] };
      const value = this.emitter.bind('v', { scalar, lanes: context.lanes }, turned);
      return condition === undefined
        ? value
        : this.emitter.bind('v', { scalar, lanes: context.lanes }, zeroUnless(condition, value, type));
    }
    const seen = new Map<number, Expression>();
    const parts = this.everyLane(context).map((place, lane) => {
      const delta = motion !== undefined && still ? (motion.deltas[lane] as number) : lane + 1e6;
      const known = seen.get(delta);
      if (known !== undefined) return known;
      const element = this.loadElement(buffer, index, conditions, place);
      seen.set(delta, element);
      return element;
    });
    return this.assemble(parts, scalar, context);
  }

  private loadElement(
    buffer: string,
    index: Dim,
    conditions: readonly IndexCondition[],
    position: Position,
  ): Expression {
    const condition = this.at.conditions(conditions, position);
    const address = this.guarded(this.elementIndex(buffer, index, position, false), condition);
    const type: RegisterType = { scalar: this.loadScalar(buffer), lanes: 1 };
    const value = this.emitter.bind(`${buffer}_s`, type, { kind: 'load', buffer, index: address, type });
    return condition === undefined ? value : this.emitter.bind('v', type, zeroUnless(condition, value, type));
  }

  private guarded(address: Expression, condition: Expression | undefined): Expression {
    if (condition === undefined) return address;
    return this.emitter.hoist('i', i32, { kind: 'select', condition, yes: address, no: integer(0) });
  }

  /** What an element of the buffer is in a register. */
  loadScalar(buffer: string): ScalarType {
    const storage = this.buffers.get(buffer)?.storage;
    return storage === 'i32' || storage === 'i8' || storage === 'u8'
      ? 'i32'
      : storage === 'u32'
        ? 'u32'
        : storage === 'bool'
          ? 'bool'
          : 'f32';
  }

  private elementIndex(buffer: string, index: Dim, position: Position, exact: boolean): Expression {
    return this.at.address(buffer, index, position, exact);
  }

  /** Index of the group of as many lanes that holds the element at `index - residue`. */
  private groupIndex(
    buffer: string,
    index: Dim,
    residue: number,
    { position, lanes }: LaneContext,
    exact: boolean,
  ): Expression {
    const whole = this.at.address(buffer, index.sub(residue), position, exact);
    const right = integer(Math.log2(lanes));
    return this.emitter.hoist('q', i32, { kind: 'binary', operator: 'shift_right', left: whole, right });
  }

  /**
   * Whether an access of `lanes` elements, which may be a vector in memory or not, is one load or store as the buffer is
   * bound; where it is not, the binding is refused for the width that it would need.
   */
  private canAccess(buffer: string, isVector: boolean, lanes: 1 | 2 | 4): boolean {
    const bound = this.bufferLanes.get(buffer);
    if (bound === undefined) return false;
    const isAligned = (this.buffers.get(buffer)?.alignment ?? 1) % lanes === 0;
    if (isVector && isAligned && bound === lanes) return true;
    this.refused.set(buffer, isVector && isAligned && lanes === 2 && bound === 4 ? (this.refused.get(buffer) ?? 2) : 1);
    return false;
  }

  isStillCondition(condition: IndexCondition, { axis, lanes }: LaneContext): boolean {
    if (axis === undefined || lanes === 1) return true;
    // A bound that is a multiple of the vector length never cuts a vector that starts at one.
    const left = laneMotion(condition.left, axis, lanes, this.at);
    const right = laneMotion(condition.right, axis, lanes, this.at);
    if (left === undefined || right === undefined || !isStill(right.deltas)) return false;
    if (isStill(left.deltas)) return true;
    const contiguous = left.deltas.every((delta, lane) => delta === lane);
    return contiguous && left.residue === 0 && right.residue === 0;
  }

  /** An element of a buffer that the kernel only reads. */
  loadKept({ buffer, index, conditions }: TileLoad, position: Position): Expression {
    if (this.bufferLanes.has(buffer)) this.refused.set(buffer, 1);
    if (conditions.length > 0) return this.loadElement(buffer, index, conditions, position);
    const type: RegisterType = { scalar: this.loadScalar(buffer), lanes: 1 };
    const address = this.elementIndex(buffer, index, position, false);
    return this.emitter.keep(`${buffer}_s`, { kind: 'load', buffer, index: address, type });
  }

  /** 16 bytes along an axis, from a coordinate that is a multiple of 16 on, as four words. */
  loadWords({ buffer, index }: TileLoad, axis: string, position: Position): Expression {
    const along = Dim.symbol(axis);
    const outer = index.sub(along).divideExactly(bytesOfVector);
    if (outer === undefined) throw new Error(`internal: ${buffer} has no whole words at ${index.text}`);
    this.words.add(buffer);
    // Parts are divided, not their sum, so that what a loop does not change is added up outside of it.
    const inVectors = (bytes: Expression): Expression =>
      this.emitter.hoist('q', i32, {
        kind: 'binary',
        operator: 'shift_right',
        left: bytes,
        right: integer(Math.log2(bytesOfVector)),
      });
    const base = inVectors({ kind: 'parameter', name: `${buffer}_base` });
    const start = this.emitter.hoist('q', i32, add(this.at.polynomial(outer, position), base));
    const place = add(start, inVectors(this.at.polynomial(along, position)));
    const type: RegisterType = { scalar: 'u32', lanes: 4 };
    const load: Expression = { kind: 'load', buffer, index: this.emitter.hoist('q', i32, place), type };
    return this.emitter.bind(`${buffer}_w`, type, load);
  }

  /** Writes the value (context's lanes) at the index; the caller guards axis extents. */
  store(
    buffer: string,
    index: Dim,
    value: Expression,
    conditions: readonly IndexCondition[],
    context: LaneContext,
  ): void {
    const { lanes, axis, position } = context;
    const motion = axis === undefined ? undefined : laneMotion(index, axis, lanes, this.at);
    const still = conditions.every((condition) => this.isStillCondition(condition, context));
    if (this.canAccess(buffer, still && isWholeVector(motion), lanes)) {
      this.emitter.when(this.at.conditions(conditions, position, true), () => {
        this.emitter.push({ kind: 'store', buffer, index: this.groupIndex(buffer, index, 0, context, true), value });
      });
      return;
    }
    for (let lane = 0; lane < lanes; lane++) {
      const place = axis === undefined ? position : moveLane(position, axis, lane);
      this.emitter.when(this.at.conditions(conditions, place, true), () => {
        const element: Expression = lanes === 1 ? value : { kind: 'lane', operand: value, lane };
        this.emitter.push({
          kind: 'store',
          buffer,
          index: this.elementIndex(buffer, index, place, true),
          value: element,
        });
      });
    }
  }

  /** One position when the index stands still, otherwise one per lane. */
  lanePositions(index: Dim, context: LaneContext): readonly Position[] {
    const { axis, lanes, position } = context;
    if (axis === undefined || lanes === 1) return [position];
    const motion = laneMotion(index, axis, lanes, this.at);
    return motion !== undefined && isStill(motion.deltas) ? [position] : this.everyLane(context);
  }

  everyLane({ axis, lanes, position }: LaneContext): readonly Position[] {
    return Array.from({ length: lanes }, (_, lane) => (axis === undefined ? position : moveLane(position, axis, lane)));
  }

  assemble(parts: readonly Expression[], scalar: ScalarType, context: LaneContext): Expression {
    const first = parts[0] as Expression;
    if (context.lanes === 1) return this.emitter.bind('v', { scalar, lanes: 1 }, first);
    if (parts.length === 1)
      return this.emitter.bind(
        'v',
        { scalar, lanes: context.lanes },
        { kind: 'splat', lanes: context.lanes, operand: first },
      );
    return this.emitter.bind('v', { scalar, lanes: context.lanes }, { kind: 'vector', parts });
  }
}

function zeroUnless(condition: Expression, value: Expression, type: RegisterType): Expression {
  const wide: Expression = type.lanes === 1 ? condition : { kind: 'splat', lanes: type.lanes, operand: condition };
  return { kind: 'select', condition: wide, yes: value, no: { kind: 'constant', type, value: 0 } };
}

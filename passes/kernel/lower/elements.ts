import { fieldNamesOf, planeBits } from '../../../ir/decode-element.js';
import { parseEncoding } from '../../../ir/encoding.js';
import {
  add,
  bool,
  constant,
  convert,
  i32,
  integer,
  integerConstant,
  multiply,
  u32,
} from '../../../ir/kernel/expressions.js';
import type { Dim } from '../../../ir/dim.js';
import type { Expression, RegisterType, ScalarType } from '../../../ir/kernel/thread.js';
import type {
  IndexCondition,
  TileBuffer,
  TileConversion,
  TileDecode,
  TileExpression,
  TileKernel,
  TileLoad,
} from '../../../ir/kernel/tile.js';
import { expandActivation, isActivation } from './activations.js';
import { expandDecode } from './decode.js';
import type { Emitter } from './emitter.js';
import { groupLanes, isStill, isWholeVector, knownFactor, laneMotion } from './lanes.js';
import type { LaneMotion } from './lanes.js';
import { decodesVectors } from './reads-vectors.js';
import { expandRounding } from './rounding.js';
import { moveLane, withPoint } from './positions.js';
import type { Coordinates, Position } from './positions.js';

/** Which axis the lanes of the values being computed run along; one lane means scalars. */
export interface LaneContext {
  readonly position: Position;
  readonly axis: string | undefined;
  readonly lanes: 1 | 2 | 4;
}

interface Computed {
  readonly value: Expression;
  readonly scalar: ScalarType;
}

/** A tile in registers: one per combination of its axes' registers. */
export interface TileRegisters {
  readonly axes: readonly string[];
  readonly lanes: 1 | 2 | 4;
  readonly scalar: ScalarType;
  /** By `registerKey`; none of a tile in memory. */
  readonly registers: ReadonlyMap<string, Expression>;
  readonly memory?: TileMemory;
}

/** An array of vectors along the walked axis of a tile, for one combination of the other axes' registers after another. */
export interface TileMemory {
  readonly array: string;
  indexOf(position: Position): Expression;
}

export function registerKey(axes: readonly string[], position: Position): string {
  return axes.map((axis) => position.get(axis)?.register ?? 0).join('_');
}

/**
 * Computes tile expressions element by element (or vector by vector) as thread expressions. Loads become vector loads where
 * the lanes fall into one aligned group of four, scalar loads otherwise; `scalarBuffers` collects buffers that needed one.
 */
export class Elements {
  readonly tiles = new Map<string, TileRegisters>();
  /** Buffers with an access that does not read or write as many elements as they are bound with, and how many it does. */
  readonly refused = new Map<string, 1 | 2>();
  private readonly buffers: ReadonlyMap<string, TileBuffer>;
  private shared: Map<TileExpression, Computed> | undefined;

  constructor(
    kernel: TileKernel,
    private readonly at: Coordinates,
    private readonly emitter: Emitter,
    /** Lanes that buffers are bound with; one where none are given. */
    private readonly bufferLanes: ReadonlyMap<string, 2 | 4>,
  ) {
    this.buffers = new Map(kernel.buffers.map((buffer) => [buffer.name, buffer]));
  }

  /** A value with the context's lanes. Subexpressions that are one object are computed once. */
  compute(expression: TileExpression, context: LaneContext): Computed {
    const outermost = this.shared === undefined;
    const shared = (this.shared ??= new Map<TileExpression, Computed>());
    const known = shared.get(expression);
    if (known !== undefined) return known;
    const computed = this.computeNew(expression, context);
    shared.set(expression, computed);
    // Registers may be assigned and scopes closed between two calls, so nothing is kept beyond the outermost one.
    if (outermost) this.shared = undefined;
    return computed;
  }

  /**
   * A factor of a product. One that is rounded to f16 goes through an f16 register, and is multiplied in f32: products of
   * halves are exact there.
   */
  computeFactor(expression: TileExpression, context: LaneContext): Expression {
    const factor = wideFactor(expression);
    const to = expression.kind === 'convert' ? expression.to : undefined;
    const isExact = factor.kind === 'load' && this.buffers.get(factor.buffer)?.storage === to;
    if (factor === expression || isExact) return this.compute(factor, context).value;
    if (to === 'bf16') return this.compute(expression, context).value;
    const { value } = this.compute(factor, context);
    const half: Expression = { kind: 'convert', to: 'f16', operand: value };
    return this.bind({ kind: 'convert', to: 'f32', operand: this.bind(half, 'f16', context) }, 'f32', context);
  }

  private computeNew(expression: TileExpression, context: LaneContext): Computed {
    switch (expression.kind) {
      case 'number':
        return {
          value: { kind: 'constant', type: { scalar: 'f32', lanes: context.lanes }, value: expression.value },
          scalar: 'f32',
        };
      case 'tile':
        return this.readTile(expression.name, context);
      case 'index':
        return { value: this.indexLanes(expression.index, context), scalar: 'i32' };
      case 'load': {
        const { buffer, index, conditions } = expression;
        return { value: this.load(buffer, index, conditions, context), scalar: this.loadScalar(buffer) };
      }
      case 'decode':
        return { value: this.decode(expression, context), scalar: 'f32' };
      case 'unary': {
        const operand = this.compute(expression.operand, context);
        if (isActivation(expression.operator)) {
          const parts = { lanes: context.lanes, bind: (value: Expression) => this.bind(value, 'f32', context) };
          return { value: expandActivation(expression.operator, operand.value, parts), scalar: 'f32' };
        }
        const value: Expression = { kind: 'unary', operator: expression.operator, operand: operand.value };
        return { value: this.bind(value, operand.scalar, context), scalar: operand.scalar };
      }
      case 'binary': {
        const left = this.compute(expression.left, context);
        const right = this.compute(expression.right, context);
        const compares = ['equal', 'less', 'less_equal'].includes(expression.operator);
        const scalar: ScalarType = compares ? 'bool' : left.scalar;
        const value: Expression = {
          kind: 'binary',
          operator: expression.operator,
          left: left.value,
          right: right.value,
        };
        return { value: this.bind(value, scalar, context), scalar };
      }
      case 'select': {
        const condition = this.asBool(this.compute(expression.condition, context), context);
        return this.choose(
          condition,
          this.compute(expression.yes, context),
          this.compute(expression.no, context),
          context,
        );
      }
      case 'when': {
        const condition = this.conditionLanes(expression.conditions, context);
        return this.choose(
          condition,
          this.compute(expression.yes, context),
          this.compute(expression.no, context),
          context,
        );
      }
      case 'convert':
        return this.convert(this.compute(expression.operand, context), expression.to, context);
      case 'exchange': {
        const { axis, mask, operand } = expression;
        if (context.axis !== axis || mask >= context.lanes) {
          throw new Error(`internal: partners along ${axis} are not in one vector`);
        }
        const { value, scalar } = this.compute(operand, context);
        const lanes = Array.from({ length: context.lanes }, (_, lane) => lane ^ mask);
        return { value: this.bind({ kind: 'shuffle', operand: value, lanes }, scalar, context), scalar };
      }
    }
  }

  /** Numbers of encoded rows: along a row those of one word, which is read once, and elsewhere each by itself. */
  private decode(expression: TileDecode, context: LaneContext): Expression {
    const { axis, lanes } = context;
    const isAlong =
      axis !== undefined && this.at.holdsWholeVectors(axis) && decodesVectors(expression, axis, lanes, this.at);
    const isStill = expression.fields.every(
      (field) =>
        field.kind === 'load' && field.conditions.every((condition) => this.isStillCondition(condition, context)),
    );
    if (lanes === 1 || (isAlong && isStill)) return this.decodeAt(expression, context);
    const parts = this.everyLane(context).map((position) =>
      this.decodeAt(expression, { position, axis: undefined, lanes: 1 }),
    );
    return this.assemble(parts, 'f32', context);
  }

  private decodeAt(expression: TileDecode, context: LaneContext): Expression {
    const { position, axis, lanes } = context;
    const first = axis === undefined ? 1 : knownFactor(expression.column, axis, lanes, this.at);
    const fields = expression.fields.map((field) => this.fieldAt(field, position));
    return this.expand(expression, fields, { first, position, further: 0 }, context);
  }

  /**
   * Eight neighbours of an encoded row from a multiple of 8 on. What they are made of is read now; the numbers, four in a vector, are made by
   * what comes back, in the same scope.
   */
  decodeEight(expression: TileDecode, position: Position, axis: string): () => readonly Expression[] {
    const { column, fields } = expression;
    const first = knownFactor(column, axis, 8, this.at);
    const { coordinate = integer(0) } = position.get(axis) ?? {};
    const later = withPoint(position, axis, { coordinate: this.emitter.hoist(axis, i32, add(coordinate, integer(4))) });
    const names = fieldNamesOf(parseEncoding(expression.encoding));
    // Of codes of 8 bits the second four are another word.
    const isApart = planeBits(parseEncoding(expression.encoding)).codes === 8;
    const halves = [0, 4].map((further) =>
      fields.map((field, place) =>
        this.fieldAt(field, isApart && names[place] === 'codes' && further > 0 ? later : position),
      ),
    );
    return () =>
      halves.map((numbers, half) =>
        this.expand(expression, numbers, { first, position, further: 4 * half }, { position, axis, lanes: 4 }),
      );
  }

  /** `fields`: what is read for a column that is a multiple of `first`; the numbers wanted are those `further` columns. */
  private expand(
    { encoding: text, column }: TileDecode,
    fields: readonly Expression[],
    { first, position, further }: { readonly first: number; readonly position: Position; readonly further: number },
    context: LaneContext,
  ): Expression {
    const encoding = parseEncoding(text);
    const names = fieldNamesOf(encoding);
    const planes = planeBits(encoding);
    return expandDecode(encoding, {
      lanes: context.lanes,
      isTogether: this.at.sharesTables && this.emitter.isUnconditional,
      field: (name) => {
        const number = fields[names.indexOf(name)] as Expression;
        if (name !== 'codes' && name !== 'high') return number;
        const bits = name === 'codes' ? planes.codes : (planes.high ?? 1);
        const count = 32 / bits;
        const before = first % count === 0 ? integer(0) : this.at.remainder(column, count, position);
        const below = multiply(add(before, integer(further % count)), integer(bits));
        const right = below.kind === 'constant' ? constant(below.value, u32) : convert(below, 'u32');
        if (integerConstant(right) === 0) return number;
        return this.emitter.hoist('w', u32, { kind: 'binary', operator: 'shift_right', left: number, right });
      },
      bind: (value, scalar) => this.bind(value, scalar, context),
      hoist: (value, scalar) => this.emitter.hoist('g', { scalar, lanes: 1 }, value),
    });
  }

  /** What neighbours of an encoded row share, by itself: nothing that is computed for other lanes belongs to it. */
  private fieldAt(field: TileExpression, position: Position): Expression {
    if (field.kind === 'load') return this.loadKept(field, position);
    const outer = this.shared;
    this.shared = undefined;
    const { value } = this.compute(field, { position, axis: undefined, lanes: 1 });
    this.shared = outer;
    return value;
  }

  /** An element of a buffer that the kernel only reads. */
  private loadKept({ buffer, index, conditions }: TileLoad, position: Position): Expression {
    if (this.bufferLanes.has(buffer)) this.refused.set(buffer, 1);
    if (conditions.length > 0) return this.loadElement(buffer, index, conditions, position);
    const type: RegisterType = { scalar: this.loadScalar(buffer), lanes: 1 };
    const address = this.elementIndex(buffer, index, position, false);
    return this.emitter.keep(`${buffer}_s`, { kind: 'load', buffer, index: address, type });
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

  /** Declares a register for the value, with the context's lanes. */
  bind(value: Expression, scalar: ScalarType, context: LaneContext): Expression {
    return this.emitter.bind('v', { scalar, lanes: context.lanes }, value);
  }

  /** Narrow floats are rounded and stay f32. Constants are converted here, so that integers stay exact. */
  private convert({ value, scalar }: Computed, to: TileConversion, context: LaneContext): Computed {
    if (to === 'f16' || to === 'bf16' || to === 'f8e4m3') {
      const wide = this.convert({ value, scalar }, 'f32', context);
      const bind = (part: Expression, type: ScalarType): Expression => this.bind(part, type, context);
      return { value: expandRounding(to, wide.value, { lanes: context.lanes, bind }), scalar: 'f32' };
    }
    if (scalar === to) return { value, scalar };
    if (scalar === 'bool') {
      const [one, zero] = [this.constant(1, to, context), this.constant(0, to, context)];
      return { value: this.bind({ kind: 'select', condition: value, yes: one, no: zero }, to, context), scalar: to };
    }
    if (to === 'bool') return { value: this.asBool({ value, scalar }, context), scalar: 'bool' };
    const { lanes } = context;
    if (value.kind === 'constant' && Number.isInteger(value.value)) {
      return { value: { kind: 'constant', type: { scalar: to, lanes }, value: value.value }, scalar: to };
    }
    return { value: this.bind({ kind: 'convert', to, operand: value }, to, context), scalar: to };
  }

  private constant(value: number, scalar: ScalarType, context: LaneContext): Expression {
    return { kind: 'constant', type: { scalar, lanes: context.lanes }, value };
  }

  private choose(condition: Expression, yes: Computed, no: Computed, context: LaneContext): Computed {
    const value: Expression = { kind: 'select', condition, yes: yes.value, no: no.value };
    return { value: this.bind(value, yes.scalar, context), scalar: yes.scalar };
  }

  private asBool(operand: Computed, context: LaneContext): Expression {
    if (operand.scalar === 'bool') return operand.value;
    const zero = this.constant(0, operand.scalar, context);
    const equal: Expression = { kind: 'binary', operator: 'equal', left: operand.value, right: zero };
    return this.bind({ kind: 'unary', operator: 'not', operand: equal }, 'bool', context);
  }

  private readTile(name: string, context: LaneContext): Computed {
    const tile = this.tiles.get(name);
    if (tile === undefined) throw new Error(`internal: tile ${name} is read before it is declared`);
    const register = this.tileRegister(name, tile, context.position);
    const inner = tile.axes.at(-1);
    if (tile.lanes === context.lanes && inner === context.axis) return { value: register, scalar: tile.scalar };
    if (context.axis !== undefined && inner !== context.axis && tile.axes.includes(context.axis)) {
      throw new Error(`internal: tile ${name} is read along ${context.axis}, which is not its innermost axis`);
    }
    const lane = inner === undefined ? 0 : (context.position.get(inner)?.lane ?? 0);
    const element: Expression = tile.lanes === 1 ? register : { kind: 'lane', operand: register, lane };
    if (context.lanes === 1) return { value: element, scalar: tile.scalar };
    return {
      value: this.bind({ kind: 'splat', lanes: context.lanes, operand: element }, tile.scalar, context),
      scalar: tile.scalar,
    };
  }

  /** The register of a position; picked by comparing where its number is computed. */
  private tileRegister(name: string, tile: TileRegisters, position: Position): Expression {
    const axis = tile.axes.find((one) => position.get(one)?.computed !== undefined);
    const computed = axis === undefined ? undefined : position.get(axis)?.computed;
    const type: RegisterType = { scalar: tile.scalar, lanes: tile.lanes };
    if (axis === undefined || computed === undefined) {
      const { axes, registers, memory } = tile;
      if (memory !== undefined) {
        const { array } = memory;
        return this.emitter.bind('m', type, { kind: 'load_shared', array, index: memory.indexOf(position), type });
      }
      const register = registers.get(registerKey(axes, position));
      if (register !== undefined) return register;
      throw new Error(`internal: tile ${name} has no register ${registerKey(tile.axes, position)}`);
    }
    const lane = position.get(axis)?.lane ?? 0;
    const of = (register: number): Expression =>
      this.tileRegister(name, tile, withPoint(position, axis, { register, lane }));
    let picked = of(0);
    for (let register = 1; register < this.at.spreadOf(axis).registers; register++) {
      const condition = registerIs(computed, register, tile.lanes);
      picked = this.emitter.bind(name, type, { kind: 'select', condition, yes: of(register), no: picked });
    }
    return picked;
  }

  private indexLanes(index: Dim, context: LaneContext): Expression {
    const parts = this.lanePositions(index, context).map((place) => this.at.polynomial(index, place));
    return this.assemble(parts, 'i32', context);
  }

  /** Asked of the true coordinates: a mask past an extent must not see the clamped ones. */
  private conditionLanes(conditions: readonly IndexCondition[], context: LaneContext): Expression {
    const still = conditions.every((condition) => this.isStillCondition(condition, context));
    const places = still || context.axis === undefined ? [context.position] : this.everyLane(context);
    const parts = places.map(
      (place) => this.at.conditions(conditions, place, true) ?? { kind: 'constant' as const, type: bool, value: 1 },
    );
    return this.assemble(parts, 'bool', context);
  }

  private load(buffer: string, index: Dim, conditions: readonly IndexCondition[], context: LaneContext): Expression {
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
      const value = this.bind(turned, scalar, context);
      return condition === undefined ? value : this.bind(zeroUnless(condition, value, type), scalar, context);
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
    return storage === 'i32' || storage === 'u8'
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

  private isStillCondition(condition: IndexCondition, { axis, lanes }: LaneContext): boolean {
    if (axis === undefined || lanes === 1) return true;
    // A bound that is a multiple of the vector length never cuts a vector that starts at one.
    const left = laneMotion(condition.left, axis, lanes, this.at);
    const right = laneMotion(condition.right, axis, lanes, this.at);
    if (left === undefined || right === undefined || !isStill(right.deltas)) return false;
    if (isStill(left.deltas)) return true;
    const contiguous = left.deltas.every((delta, lane) => delta === lane);
    return contiguous && left.residue === 0 && right.residue === 0;
  }

  /** One position when the index stands still, otherwise one per lane. */
  private lanePositions(index: Dim, context: LaneContext): readonly Position[] {
    const { axis, lanes, position } = context;
    if (axis === undefined || lanes === 1) return [position];
    const motion = laneMotion(index, axis, lanes, this.at);
    return motion !== undefined && isStill(motion.deltas) ? [position] : this.everyLane(context);
  }

  private everyLane({ axis, lanes, position }: LaneContext): readonly Position[] {
    return Array.from({ length: lanes }, (_, lane) => (axis === undefined ? position : moveLane(position, axis, lane)));
  }

  private assemble(parts: readonly Expression[], scalar: ScalarType, context: LaneContext): Expression {
    const first = parts[0] as Expression;
    if (context.lanes === 1) return this.emitter.bind('v', { scalar, lanes: 1 }, first);
    if (parts.length === 1) return this.bind({ kind: 'splat', lanes: context.lanes, operand: first }, scalar, context);
    return this.bind({ kind: 'vector', parts }, scalar, context);
  }
}

/** Whether a computed register number is `register`, once for each lane of a vector. */
export function registerIs(computed: Expression, register: number, lanes: 1 | 2 | 4): Expression {
  const is: Expression = { kind: 'binary', operator: 'equal', left: computed, right: integer(register) };
  return lanes === 1 ? is : { kind: 'splat', lanes, operand: is };
}

/** A factor before it is rounded to 16 bits. */
export function wideFactor(expression: TileExpression): TileExpression {
  const isRounded = expression.kind === 'convert' && (expression.to === 'f16' || expression.to === 'bf16');
  return isRounded ? expression.operand : expression;
}

function zeroUnless(condition: Expression, value: Expression, type: RegisterType): Expression {
  const wide: Expression = type.lanes === 1 ? condition : { kind: 'splat', lanes: type.lanes, operand: condition };
  return { kind: 'select', condition: wide, yes: value, no: { kind: 'constant', type, value: 0 } };
}

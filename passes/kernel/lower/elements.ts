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
import type { Expression, ScalarType } from '../../../ir/kernel/thread.js';
import type {
  IndexCondition,
  TileConversion,
  TileDecode,
  TileExpression,
  TileKernel,
} from '../../../ir/kernel/tile.js';
import { expandActivation, isActivation } from './activations.js';
import { BufferAccess, type LaneContext } from './buffer-access.js';
import { expandDecode } from './decode.js';
import type { Emitter } from './emitter.js';
import { knownFactor } from './lanes.js';
import { decodesVectors } from './reads-vectors.js';
import { expandRounding, expandToByte } from './rounding.js';
import { withPoint } from './positions.js';
import type { Coordinates, Position } from './positions.js';
import { readRegister, type TileRegisters } from './tile-registers.js';

interface Computed {
  readonly value: Expression;
  readonly scalar: ScalarType;
}

/**
 * Computes tile expressions element by element (or vector by vector) as thread expressions.
 */
export class Elements {
  readonly tiles = new Map<string, TileRegisters>();
  /** How it reads and writes buffers. */
  readonly access: BufferAccess;
  private shared: Map<TileExpression, Computed> | undefined;

  constructor(
    kernel: TileKernel,
    private readonly at: Coordinates,
    private readonly emitter: Emitter,
    /** Lanes that buffers are bound with; one where none are given. */
    bufferLanes: ReadonlyMap<string, 2 | 4>,
  ) {
    this.access = new BufferAccess(kernel, at, emitter, bufferLanes);
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
    const isExact = factor.kind === 'load' && this.access.storageOf(factor.buffer) === to;
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
        return { value: this.access.load(buffer, index, conditions, context), scalar: this.access.loadScalar(buffer) };
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
        field.kind === 'load' &&
        field.conditions.every((condition) => this.access.isStillCondition(condition, context)),
    );
    if (lanes === 1 || (isAlong && isStill)) return this.decodeAt(expression, context);
    const parts = this.access
      .everyLane(context)
      .map((position) => this.decodeAt(expression, { position, axis: undefined, lanes: 1 }));
    return this.access.assemble(parts, 'f32', context);
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
    if (field.kind === 'load') return this.access.loadKept(field, position);
    const outer = this.shared;
    this.shared = undefined;
    const { value } = this.compute(field, { position, axis: undefined, lanes: 1 });
    this.shared = outer;
    return value;
  }

  /** Declares a register for the value, with the context's lanes. */
  bind(value: Expression, scalar: ScalarType, context: LaneContext): Expression {
    return this.emitter.bind('v', { scalar, lanes: context.lanes }, value);
  }

  /** Narrow floats are rounded and stay f32. Constants are converted here, so that integers stay exact. */
  private convert({ value, scalar }: Computed, to: TileConversion, context: LaneContext): Computed {
    if (to === 'i8') {
      const wide = this.convert({ value, scalar }, 'f32', context);
      const bind = (part: Expression, type: ScalarType): Expression => this.bind(part, type, context);
      return { value: expandToByte(wide.value, { lanes: context.lanes, bind }), scalar: 'i32' };
    }
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
    const register = readRegister(name, tile, context.position, this.at, this.emitter);
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

  private indexLanes(index: Dim, context: LaneContext): Expression {
    const parts = this.access.lanePositions(index, context).map((place) => this.at.polynomial(index, place));
    return this.access.assemble(parts, 'i32', context);
  }

  /** Asked of the true coordinates: a mask past an extent must not see the clamped ones. */
  private conditionLanes(conditions: readonly IndexCondition[], context: LaneContext): Expression {
    const still = conditions.every((condition) => this.access.isStillCondition(condition, context));
    const places = still || context.axis === undefined ? [context.position] : this.access.everyLane(context);
    const parts = places.map(
      (place) => this.at.conditions(conditions, place, true) ?? { kind: 'constant' as const, type: bool, value: 1 },
    );
    return this.access.assemble(parts, 'bool', context);
  }
}

/** A factor before it is rounded to 16 bits. */
export function wideFactor(expression: TileExpression): TileExpression {
  const isRounded = expression.kind === 'convert' && (expression.to === 'f16' || expression.to === 'bf16');
  return isRounded ? expression.operand : expression;
}

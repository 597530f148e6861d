import { integer } from '../../../ir/kernel/expressions.js';
import type { Expression, RegisterType, ScalarType } from '../../../ir/kernel/thread.js';
import type { Emitter } from './emitter.js';
import { withPoint } from './positions.js';
import type { Coordinates, Position } from './positions.js';

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

/** Of the register of a position along these axes, in their order: `0_2`. */
export function registerKey(axes: readonly string[], position: Position): string {
  return axes.map((axis) => position.get(axis)?.register ?? 0).join('_');
}

/** The register of a position; picked by comparing where its number is computed. */
export function readRegister(
  name: string,
  tile: TileRegisters,
  position: Position,
  at: Coordinates,
  emitter: Emitter,
): Expression {
  const axis = tile.axes.find((one) => position.get(one)?.computed !== undefined);
  const computed = axis === undefined ? undefined : position.get(axis)?.computed;
  const type: RegisterType = { scalar: tile.scalar, lanes: tile.lanes };
  if (axis === undefined || computed === undefined) {
    const { axes, registers, memory } = tile;
    if (memory !== undefined) {
      const { array } = memory;
      return emitter.bind('m', type, { kind: 'load_shared', array, index: memory.indexOf(position), type });
    }
    const register = registers.get(registerKey(axes, position));
    if (register !== undefined) return register;
    throw new Error(`internal: tile ${name} has no register ${registerKey(tile.axes, position)}`);
  }
  const lane = position.get(axis)?.lane ?? 0;
  const of = (register: number): Expression =>
    readRegister(name, tile, withPoint(position, axis, { register, lane }), at, emitter);
  let picked = of(0);
  for (let register = 1; register < at.spreadOf(axis).registers; register++) {
    const condition = registerIs(computed, register, tile.lanes);
    picked = emitter.bind(name, type, { kind: 'select', condition, yes: of(register), no: picked });
  }
  return picked;
}

/** Whether a computed register number is `register`, once for each lane of a vector. */
export function registerIs(computed: Expression, register: number, lanes: 1 | 2 | 4): Expression {
  const is: Expression = { kind: 'binary', operator: 'equal', left: computed, right: integer(register) };
  return lanes === 1 ? is : { kind: 'splat', lanes, operand: is };
}

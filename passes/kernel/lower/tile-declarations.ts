import type { Expression, RegisterType, ScalarType } from '../../../ir/kernel/thread.js';
import type { TileExpression } from '../../../ir/kernel/tile.js';
import { walkTileExpressions } from '../../../ir/kernel/tile-walk.js';
import { registerIs, registerKey, type TileRegisters } from './tile-registers.js';
import type { LoweringContext } from './lowering-context.js';
import { type Position, withPoint } from './positions.js';

export interface DeclarationContext extends LoweringContext {
  /** Declares workgroup memory and gives its name, which begins with the hint. */
  declareShared(hint: string, type: RegisterType, length: number): string;
}

/** Where tiles are kept, and how they come to their first numbers. */
export class TileDeclarations {
  constructor(private readonly context: DeclarationContext) {}

  /** Declares the registers of a tile, or its memory, and puts the value there. */
  declare(name: string, axes: readonly string[], value: TileExpression): void {
    const { elements, emitter, loops } = this.context;
    const registers = new Map<string, Expression>();
    let scalar: ScalarType = 'f32';
    const lanes = loops.lanesOf(axes);
    if (axes.some((axis) => loops.isWalked(axis))) {
      this.keepInMemory(name, axes, value);
      return;
    }
    const rolled = loops.rolledAxis(axes);
    if (rolled !== undefined && loadsMemory(value)) {
      this.load(name, axes, rolled, value);
      return;
    }
    for (const position of loops.registerPositions(axes)) {
      const computed = elements.compute(value, loops.context(axes, position));
      scalar = computed.scalar;
      const key = registerKey(axes, position);
      const register = emitter.freshName(key === '' ? name : `${name}_${key}`);
      registers.set(key, emitter.declare('var', register, { scalar, lanes }, computed.value));
    }
    elements.tiles.set(name, { axes, lanes, scalar, registers });
  }

  /** A tile of what is in memory, in a loop over an axis' registers: each assigns its value to the register whose turn it is. */
  private load(name: string, axes: readonly string[], rolled: string, value: TileExpression): void {
    const { at, elements, emitter, loops } = this.context;
    const lanes = loops.lanesOf(axes);
    const names = new Map<string, string>();
    for (const position of loops.registerPositions(axes)) {
      const key = registerKey(axes, position);
      names.set(key, emitter.freshName(`${name}_${key}`));
    }
    const registers = new Map<string, Expression>();
    let scalar: ScalarType = 'f32';
    const declareAll = (): void => {
      const type = { scalar, lanes };
      for (const [key, register] of names) {
        registers.set(key, emitter.declare('var', register, type, { kind: 'constant', type, value: 0 }));
      }
    };
    const assignEach = (position: Position): void => {
      const context = loops.context(axes, position);
      const computed = elements.compute(value, context);
      scalar = computed.scalar;
      const yes = elements.bind(computed.value, scalar, context);
      const turn = position.get(rolled)?.computed;
      if (turn === undefined) throw new Error(`internal: axis ${rolled} is not in a loop`);
      for (let register = 0; register < at.spreadOf(rolled).registers; register++) {
        const key = registerKey(axes, withPoint(position, rolled, { register, lane: 0 }));
        const own = names.get(key) as string;
        const no: Expression = { kind: 'register', name: own, type: { scalar, lanes } };
        const picked: Expression = { kind: 'select', condition: registerIs(turn, register, lanes), yes, no };
        emitter.push({ kind: 'assign', name: own, value: picked });
      }
    };
    loops.overRegisters(axes, (positions) => positions.forEach(assignEach), declareAll);
    elements.tiles.set(name, { axes, lanes, scalar, registers });
  }

  private keepInMemory(name: string, axes: readonly string[], value: TileExpression): void {
    const { at, elements, loops } = this.context;
    const type: RegisterType = { scalar: 'f32', lanes: loops.lanesOf(axes) };
    const length = axes.reduce((product, axis) => product * at.spreadOf(axis).registers, 1);
    const array = this.context.declareShared(name, type, length);
    const indexOf = (position: Position): Expression => loops.indexInMemory(axes, position);
    const tile: TileRegisters = {
      axes,
      lanes: type.lanes,
      scalar: 'f32',
      registers: new Map(),
      memory: { array, indexOf },
    };
    loops.overWalked(axes, () => {
      for (const position of loops.registerPositions(axes)) {
        const computed = elements.compute(value, loops.context(axes, position));
        loops.assign(tile, position, computed.value);
      }
    });
    elements.tiles.set(name, tile);
  }
}

function loadsMemory(value: TileExpression): boolean {
  let loads = false;
  walkTileExpressions([value], (part) => {
    if (part.kind === 'load') loads = true;
  });
  return loads;
}

import type { Expression } from '../../../ir/kernel/thread.js';
import type { IndexCondition, TileStatement } from '../../../ir/kernel/tile.js';
import type { LoweringContext } from './lowering-context.js';
import type { Position } from './positions.js';

type Store = Extract<TileStatement, { kind: 'store' }>;

/** Stores of tiles: what lies inside the extents, under its conditions. */
export class StoreLowering {
  constructor(private readonly context: LoweringContext) {}

  lower(statement: Store): void {
    const { at, emitter, loops } = this.context;
    const { axes, conditions } = statement;
    // Alike for the whole workgroup: where it does not hold, nothing is computed either.
    const isUniform = ({ left, right }: IndexCondition): boolean =>
      [left, right].every((side) => side.symbols.every((name) => !axes.includes(name) && !at.isTerm(name)));
    const uniform = conditions.filter(isUniform);
    emitter.when(at.conditions(uniform, new Map(), true), () => {
      const each = { ...statement, conditions: conditions.filter((condition) => !isUniform(condition)) };
      loops.overRegisters(axes, (positions) => this.storeEach(each, positions));
    });
  }

  private storeEach({ axes, buffer, index, conditions, value }: Store, all: readonly Position[]): void {
    const { elements, emitter, loops } = this.context;
    const scalar = elements.access.loadScalar(buffer);
    // Registers of a row are inside the extents together: their loads wait for each other only where a branch parts them.
    const together: {
      readonly inside: Expression | undefined;
      readonly key: string;
      readonly positions: Position[];
    }[] = [];
    for (const position of all) {
      const inside = this.isInside(axes, position);
      const key = JSON.stringify(inside) ?? '';
      const last = together.at(-1);
      if (last?.key === key) last.positions.push(position);
      else together.push({ inside, key, positions: [position] });
    }
    for (const { inside, positions } of together) {
      emitter.when(inside, () => {
        for (const position of positions) {
          const context = loops.context(axes, position);
          const stored = elements.compute({ kind: 'convert', to: scalar, operand: value }, context);
          elements.access.store(buffer, index, stored.value, conditions, context);
        }
      });
    }
  }

  /** Whether a position is inside the extents of the axes that tiles may reach past. */
  private isInside(axes: readonly string[], position: Position): Expression | undefined {
    const { at } = this.context;
    let inside: Expression | undefined;
    for (const axis of axes) {
      if (!at.isRagged(axis)) continue;
      const right = at.polynomial(at.axis(axis).extent, new Map());
      const left = at.unclamped(axis, position.get(axis) ?? { register: 0, lane: 0 });
      const less: Expression = { kind: 'binary', operator: 'less', left, right };
      inside = inside === undefined ? less : { kind: 'binary', operator: 'and', left: inside, right: less };
    }
    return inside;
  }
}

import { bool } from '../../../ir/kernel/expressions.js';
import type { Expression } from '../../../ir/kernel/thread.js';
import type { IndexCondition } from '../../../ir/kernel/tile.js';
import type { Emitter } from './emitter.js';
import type { Coordinates, Position } from './positions.js';
import { isWithin } from './unsigned.js';

/** Conditions on indices as expressions. */
export class Conditions {
  private assumed: ReadonlySet<string> = new Set();

  /** @param inRanges whether `0 <= i` and `i < n` are one comparison of unsigned numbers */
  constructor(
    private readonly at: Coordinates,
    private readonly emitter: Emitter,
    private readonly inRanges: boolean,
  ) {}

  /** Runs the body where the conditions hold: they are not asked for in it. */
  assuming(conditions: readonly IndexCondition[], body: () => void): void {
    const before = this.assumed;
    this.assumed = new Set([...before, ...conditions.map(textOf)]);
    body();
    this.assumed = before;
  }

  /** All conditions, or undefined when there are none but those that are known to hold. */
  all(conditions: readonly IndexCondition[], position: Position, exact: boolean): Expression | undefined {
    const list =
      this.assumed.size === 0 ? conditions : conditions.filter((condition) => !this.assumed.has(textOf(condition)));
    const bind = (one: Expression): Expression => this.emitter.hoist('c', bool, one);
    let all: Expression | undefined;
    for (let place = 0; place < list.length; place++) {
      const { kind, left, right } = list[place] as IndexCondition;
      const next = list[place + 1];
      const isRange = kind === 'not_less' && right.constant === 0 && next?.kind === 'less' && next.left.equals(left);
      let one: Expression;
      if (this.inRanges && isRange) {
        one = isWithin(this.at.polynomial(left, position, exact), this.at.polynomial(next.right, position, exact));
        place++;
      } else {
        const [a, b] = [this.at.polynomial(left, position, exact), this.at.polynomial(right, position, exact)];
        const less: Expression = { kind: 'binary', operator: 'less', left: a, right: b };
        one = kind === 'less' ? less : { kind: 'unary', operator: 'not', operand: less };
      }
      const bound = bind(one);
      all = all === undefined ? bound : bind({ kind: 'binary', operator: 'and', left: all, right: bound });
    }
    return all;
  }
}

function textOf({ kind, left, right }: IndexCondition): string {
  return `${left.text} ${kind} ${right.text}`;
}

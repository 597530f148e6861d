import { Dim } from '../../../ir/dim.js';
import { add, binary, i32, integer } from '../../../ir/kernel/expressions.js';
import type { Expression } from '../../../ir/kernel/thread.js';
import type { Emitter } from './emitter.js';
import type { Coordinates, Position } from './positions.js';
import { divideUnsigned } from './unsigned.js';

type Operator = 'div' | 'mod';

/** Where the open section of a loop axis begins, and where in it the open chunk does. */
interface OpenSection {
  readonly start: Expression;
  readonly within: Expression;
}

/** Quotients and remainders of index polynomials. What is known of a chunk or a section of a loop axis is not divided again in it. */
export class Quotients {
  private readonly sections = new Map<string, OpenSection>();

  /** @param isUnsigned whether divisions by constants are those of unsigned numbers */
  constructor(
    private readonly at: Coordinates,
    private readonly emitter: Emitter,
    private readonly isUnsigned: boolean,
  ) {}

  enterSection(axis: string, section: OpenSection): void {
    this.sections.set(axis, section);
  }

  leaveSection(axis: string): void {
    this.sections.delete(axis);
  }

  /** What is left of an index, which is not negative, when a power of two divides it. */
  remainder(of: Dim, by: number, position: Position): Expression {
    const inChunk = this.quotientInChunk('mod', of, Dim.of(by), position);
    if (inChunk !== undefined) return inChunk;
    const whole = this.at.polynomial(of, position);
    return this.emitter.hoist('t', i32, binary('and', whole, integer(by - 1)));
  }

  /** What is left of an index, or how often another is in it; neither is negative. */
  quotient(operator: Operator, of: Dim, by: Dim, position: Position, exact: boolean): Expression {
    const inSection =
      this.quotientInSection(operator, of, by, position) ?? this.quotientInChunk(operator, of, by, position);
    if (inSection !== undefined) return inSection;
    const left = this.at.polynomial(of, position, exact);
    const number = by.constant ?? 0;
    const value =
      this.isUnsigned && number > 1
        ? divideUnsigned(operator, left, number)
        : binary(operator, left, this.at.polynomial(by, new Map()));
    return this.emitter.hoist('t', i32, value);
  }

  /** Of an axis itself by a multiple of its section: the quotient stands still in it, the remainder is the section's and the rest. */
  private quotientInSection(operator: Operator, of: Dim, by: Dim, position: Position): Expression | undefined {
    const [axis = ''] = of.symbols;
    const open = this.sections.get(axis);
    const size = open && this.at.spreadOf(axis).section;
    if (open === undefined || size === undefined || by.constant === undefined || by.constant % size !== 0)
      return undefined;
    if (!of.equals(Dim.symbol(axis))) return undefined;
    const ofStart = this.emitter.hoist('t', i32, binary(operator, open.start, integer(by.constant)));
    if (operator === 'div') return ofStart;
    const { threads, vector } = this.at.spreadOf(axis);
    const { register = 0, lane = 0 } = position.get(axis) ?? {};
    const within = this.emitter.hoist('i', i32, add(open.within, integer(register * threads * vector + lane)));
    return by.constant === size ? within : this.emitter.hoist('i', i32, add(ofStart, within));
  }

  /** Of an axis itself, of which the chunk begins at a multiple of the divisor and one invocation has all. */
  private quotientInChunk(operator: Operator, of: Dim, by: Dim, position: Position): Expression | undefined {
    const [axis = ''] = of.symbols;
    const { constant } = by;
    if (constant === undefined || !this.at.isAxis(axis) || !of.equals(Dim.symbol(axis))) return undefined;
    const { tile, kind } = this.at.axis(axis);
    const { threads, vector, groups = 1, threadsOf } = this.at.spreadOf(axis);
    const { register, lane } = position.get(axis) ?? { register: 0, lane: 0 };
    const isOwn = kind === 'loop' && this.at.isOpen(axis) && !this.at.isRagged(axis) && threadsOf === undefined;
    if (!isOwn || threads * groups > 1 || register === undefined || tile % constant !== 0) return undefined;
    const within = register * vector + lane;
    if (operator === 'mod') return integer(within % constant);
    const ofBase = this.quotientOfBase(this.at.base(axis), constant);
    return this.emitter.hoist('t', i32, add(ofBase, integer(Math.floor(within / constant))));
  }

  private quotientOfBase(base: Expression, by: number): Expression {
    if (base.kind === 'constant') return integer(Math.floor(base.value / by));
    const value = this.isUnsigned && by > 1 ? divideUnsigned('div', base, by) : binary('div', base, integer(by));
    return this.emitter.hoist('t', i32, value);
  }
}

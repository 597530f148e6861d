import { f32 } from '../../../ir/kernel/expressions.js';
import type { Expression, RegisterType } from '../../../ir/kernel/thread.js';
import type { Schedule } from '../../../ir/kernel/tile.js';
import type { LaneContext } from './elements.js';
import { registerKey } from './elements.js';
import { type FactorContext, Factors } from './factors.js';
import type { Position } from './positions.js';
import { moveLane, withPoint } from './positions.js';
import { readsVectors } from './reads-vectors.js';
import { foldLanes } from './tile-loops.js';

import type { Contract } from './matrix-operands.js';

/** One contraction on its way through the loop. */
interface Running {
  /** Adds the products of one step of the contracted axis. */
  step(step: number, factors: Factors): void;
  finish(): void;
}

export interface ContractContext extends FactorContext {
  readonly schedule: Schedule;
  /** The sum over the invocations that the contracted axis is spread over. */
  sumAcrossThreads(partial: Expression, over: string): Expression;
}

/**
 * Contractions in which every invocation multiplies its own numbers. Two forms. Dot: lanes run along the contracted axis, each
 * output element has a vector of partial sums that is added up at the end; right when both operands are contiguous there
 * (x · wᵀ). Outer: lanes run along the output's last axis.
 */
export class ContractLowering {
  constructor(private readonly context: ContractContext) {}

  /** Contractions over one axis, walked once: a left operand that several multiply is computed once. */
  lower(contracts: readonly Contract[]): void {
    const { loops, schedule } = this.context;
    const running = contracts.map((contract) =>
      this.isDot(contract) ? this.runDot(contract) : this.runOuter(contract),
    );
    // All steps are in one body.
    const factors = new Factors(this.context);
    loops.overChunks((contracts[0] as Contract).over, schedule.unroll, (step) => {
      for (const one of running) one.step(step, factors);
    });
    for (const one of running) one.finish();
  }

  private isDot({ over, a, b }: Contract): boolean {
    const { at, elements } = this.context;
    const { vector } = at.spreadOf(over);
    return vector > 1 && [a, b].every((operand) => readsVectors(operand, over, vector, at, elements.tiles));
  }

  private runDot(contract: Contract): Running {
    const { name, over } = contract;
    const { at, emitter, loops } = this.context;
    const tile = loops.tile(name);
    const { vector, threads } = at.spreadOf(over);
    const sumAcross = (partial: Expression): Expression =>
      threads > 1 ? this.context.sumAcrossThreads(partial, over) : partial;
    const inner = tile.axes.at(-1);
    const sumLanes = this.context.schedule.dots === true ? 1 : vector;
    const type: RegisterType = { scalar: 'f32', lanes: sumLanes };
    const lanesOf = (position: Position): Position[] =>
      inner === undefined
        ? [position]
        : Array.from({ length: tile.lanes }, (_, lane) => moveLane(position, inner, lane));
    const places = [...loops.registerPositions(tile.axes)].map((position) => ({
      position,
      lanes: lanesOf(position).map((place) => {
        const partial = emitter.freshName(`${name}_sum`);
        emitter.declare('var', partial, type, { kind: 'constant', type, value: 0 });
        return { place, partial };
      }),
    }));
    return {
      step(step, factors) {
        for (const { place, partial } of places.flatMap(({ lanes }) => lanes)) {
          const position = withPoint(place, over, { register: step, lane: 0 });
          const context: LaneContext = { position, axis: over, lanes: vector };
          const c: Expression = { kind: 'register', name: partial, type };
          const [a, b] = [factors.left(contract, context), factors.right(contract, context)];
          const value: Expression =
            sumLanes === vector
              ? { kind: 'fma', a, b, c }
              : { kind: 'binary', operator: 'add', left: c, right: { kind: 'dot', a, b } };
          emitter.push({ kind: 'assign', name: partial, value });
        }
      },
      finish() {
        for (const { position, lanes } of places) {
          const sums = lanes.map(({ partial }) => {
            const whole = foldLanes({ kind: 'register', name: partial, type }, sumLanes, 'add');
            return sumAcross(emitter.bind('s', f32, whole));
          });
          const left = tile.registers.get(registerKey(tile.axes, position)) as Expression;
          const right: Expression = sums.length === 1 ? (sums[0] as Expression) : { kind: 'vector', parts: sums };
          const value: Expression = { kind: 'binary', operator: 'add', left, right };
          emitter.push({ kind: 'assign', name: loops.nameOf(tile, position), value });
        }
      },
    };
  }

  private runOuter(contract: Contract): Running {
    const { name, over } = contract;
    const { at, emitter, loops } = this.context;
    const tile = loops.tile(name);
    const { vector } = at.spreadOf(over);
    return {
      step(step, factors) {
        for (let lane = 0; lane < vector; lane++) {
          for (const position of loops.registerPositions(tile.axes)) {
            const context = loops.context(tile.axes, withPoint(position, over, { register: step, lane }));
            const c = tile.registers.get(registerKey(tile.axes, position)) as Expression;
            const left = factors.left(contract, context);
            const value: Expression = { kind: 'fma', a: left, b: factors.right(contract, context), c };
            emitter.push({ kind: 'assign', name: loops.nameOf(tile, position), value });
          }
        }
      },
      finish() {
        // Sums are in the tile's own registers.
      },
    };
  }
}

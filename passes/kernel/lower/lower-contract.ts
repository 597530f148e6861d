import { Flux2cError } from '../../../ir/diagnostics.js';
import { both, convert, vectorOf } from '../../../ir/kernel/expressions.js';
import type { Expression, RegisterType } from '../../../ir/kernel/thread.js';
import type { Schedule, TileExpression } from '../../../ir/kernel/tile.js';
import type { LaneContext } from './buffer-access.js';
import { registerKey } from './tile-registers.js';
import { Factors } from './factors.js';
import type { LoweringContext } from './lowering-context.js';
import { guardsOf } from './guards.js';
import type { Position } from './positions.js';
import { moveLane, withPoint } from './positions.js';
import type { StagedFactors } from './staged-factors.js';
import { partialSums } from './partial-sums.js';
import { readsVectors } from './reads-vectors.js';

import type { Contract } from './matrix-operands.js';

/** One contraction on its way through the loop. */
interface Running {
  /** Loads what a step multiplies. */
  prepare(step: number, factors: Factors): void;
  /** Adds the products of one step of the contracted axis, of some lanes of its vectors or of all. */
  step(step: number, factors: Factors, lanes?: Lanes): void;
  finish(): void;
}

interface Lanes {
  readonly from: number;
  readonly end: number;
}

/** A sum of lanes: of which element. */
interface PartialSum {
  readonly place: Position;
  readonly partial: string;
}

export interface ContractContext extends LoweringContext {
  /** Its name, for errors. */
  readonly kernel: string;
  readonly schedule: Schedule;
  /** Where factors pass through workgroup memory. */
  readonly staged?: StagedFactors | undefined;
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
    const [first] = contracts as readonly [Contract];
    if (schedule.columnsApart === true && contracts.length === 1 && this.isDot(first)) {
      for (const positions of this.columns(first.name)) {
        const one = this.runDot(first, positions);
        this.walk(first.over, [one]);
        one.finish();
      }
      return;
    }
    const all = contracts.map((contract) =>
      this.isDot(contract)
        ? this.runDot(contract, [...loops.registerPositions(loops.tile(contract.name).axes)])
        : this.runOuter(contract),
    );
    const { staged } = this.context;
    if (staged !== undefined) {
      staged.overChunks(contracts, (register) => this.stepAll(all, 'kept')(register));
      for (const one of all) one.finish();
      return;
    }
    const { section } = this.context.at.spreadOf(first.over);
    const { lanesTogether } = schedule;
    const { lanes } = loops.tile(first.name);
    const together =
      lanesTogether !== undefined && contracts.every((contract) => this.isDot(contract)) ? lanesTogether : lanes;
    for (let from = 0; from < lanes; from += together) {
      const some = together < lanes ? { from, end: from + together } : undefined;
      if (section === undefined) this.walk(first.over, all, some);
      else this.walkSections(contracts, section, all, some);
    }
    for (const one of all) one.finish();
  }

  /** Where all guards hold in all of a section, which they nearly always do, it is walked without them. */
  private walkSections(
    contracts: readonly Contract[],
    section: number,
    running: readonly Running[],
    lanes?: Lanes,
  ): void {
    const { loops, emitter } = this.context;
    const { over } = contracts[0] as Contract;
    loops.overSections(over, section, (walk) => {
      const stepWith = (guards: 'kept' | 'left out'): void => walk(this.stepAll(running, guards, lanes));
      const hold = this.guardsHold(contracts);
      if (hold === undefined) stepWith('kept');
      else
        emitter.either(
          hold,
          () => stepWith('left out'),
          () => stepWith('kept'),
        );
    });
  }

  /** Whether the guards that stand still in the open section hold for all of the invocation's elements; undefined without any. */
  private guardsHold(contracts: readonly Contract[]): Expression | undefined {
    const { at, loops } = this.context;
    let all: Expression | undefined;
    for (const { name, a, b, over } of contracts) {
      const guards = guardsOf([a, b]).filter((guard) => at.standsStill(guard, over));
      if (guards.length === 0) continue;
      for (const position of loops.registerPositions(loops.tile(name).axes)) {
        const one = at.conditions(guards, position);
        if (one !== undefined) all = all === undefined ? one : both(all, one);
      }
    }
    return all;
  }

  private walk(over: string, running: readonly Running[], lanes?: Lanes): void {
    const { loops, schedule } = this.context;
    loops.overChunks(over, schedule.unroll, this.stepAll(running, 'kept', lanes));
  }

  /** A step of all contractions; all steps of a walk are in one body. */
  private stepAll(running: readonly Running[], guards: 'kept' | 'left out', lanes?: Lanes): (step: number) => void {
    const factors = new Factors(this.context, guards, this.context.staged);
    return (step) => {
      // Where a vector is as many registers, there are enough of them to load all of a step first.
      if (this.context.schedule.dots === true) for (const one of running) one.prepare(step, factors);
      for (const one of running) one.step(step, factors, lanes);
    };
  }

  /** A tile's registers by their place on its last axis. */
  private columns(name: string): readonly (readonly Position[])[] {
    const { loops } = this.context;
    const { axes } = loops.tile(name);
    const groups = new Map<number, Position[]>();
    for (const position of loops.registerPositions(axes)) {
      const register = position.get(axes.at(-1) ?? '')?.register ?? 0;
      groups.set(register, [...(groups.get(register) ?? []), position]);
    }
    return [...groups.values()];
  }

  private isDot({ over, a, b, inBytes }: Contract): boolean {
    const { at, elements } = this.context;
    if (inBytes === true) return true;
    const { vector } = at.spreadOf(over);
    return vector > 1 && [a, b].every((operand) => readsVectors(operand, over, vector, at, elements.tiles));
  }

  private runDot(contract: Contract, positions: readonly Position[]): Running {
    const { name, over } = contract;
    const { at, emitter, loops } = this.context;
    const tile = loops.tile(name);
    const { vector, threads } = at.spreadOf(over);
    const sumAcross = (partial: Expression): Expression =>
      threads > 1 ? this.context.sumAcrossThreads(partial, over) : partial;
    const inner = tile.axes.at(-1);
    const { step: stride, type, added, whole } = partialSums(contract, vector, this.context.schedule);
    const sumType = vectorOf(type.scalar, 1);
    const lanesOf = (position: Position): Position[] =>
      inner === undefined
        ? [position]
        : Array.from({ length: tile.lanes }, (_, lane) => moveLane(position, inner, lane));
    const places = positions.map((position) => ({
      position,
      lanes: lanesOf(position).map((place): PartialSum => {
        const partial = emitter.freshName(`${name}_sum`);
        emitter.declare('var', partial, type, { kind: 'constant', type, value: 0 });
        return { place, partial };
      }),
    }));
    const contextOf = (place: Position, step: number): LaneContext => {
      return { position: withPoint(place, over, { register: step, lane: 0 }), axis: over, lanes: vector };
    };
    const all = places.flatMap(({ lanes }) => lanes);
    return {
      prepare(step, factors) {
        if (step % stride === 0) all.forEach(({ place }) => factors.prepare(contract, contextOf(place, step)));
      },
      step(step, factors, some) {
        if (step % stride !== 0) return;
        const sums = some === undefined ? all : places.flatMap(({ lanes }) => lanes.slice(some.from, some.end));
        for (const { place, partial } of sums) {
          const context = contextOf(place, step);
          const [a, b] = [factors.left(contract, context), factors.right(contract, context)];
          const value = added(a, b, { kind: 'register', name: partial, type });
          emitter.push({ kind: 'assign', name: partial, value });
        }
      },
      finish() {
        for (const { position, lanes } of places) {
          const sums = lanes.map(({ partial }) => {
            return sumAcross(emitter.bind('s', sumType, whole({ kind: 'register', name: partial, type })));
          });
          const left = tile.registers.get(registerKey(tile.axes, position)) as Expression;
          const right: Expression = sums.length === 1 ? (sums[0] as Expression) : { kind: 'vector', parts: sums };
          // Integers become numbers when all of a vector are there.
          const value: Expression = { kind: 'binary', operator: 'add', left, right: convert(right, 'f32') };
          emitter.push({ kind: 'assign', name: loops.nameOf(tile, position), value });
        }
      },
    };
  }

  private runOuter(contract: Contract): Running {
    const { name, over } = contract;
    const { at, elements, emitter, loops } = this.context;
    const tile = loops.tile(name);
    const { vector, threads } = at.spreadOf(over);
    if (threads > 1) {
      throw new Flux2cError('F2C304', 'invocations cannot add up products whose lanes lie along the result', {
        where: [`kernel ${this.context.kernel}`, `axis ${over}`],
        expected: '1 thread',
        found: `${threads}`,
        hint: 'Leave the schedule out to get the chosen one.',
      });
    }
    const positions = [...loops.registerPositions(tile.axes)];
    const addProducts = (step: number, factors: Factors, sums: readonly Expression[]): void => {
      for (let lane = 0; lane < vector; lane++) {
        positions.forEach((position, place) => {
          const context = loops.context(tile.axes, withPoint(position, over, { register: step, lane }));
          const c = sums[place] as Extract<Expression, { kind: 'register' }>;
          const left = factors.left(contract, context);
          const value: Expression = { kind: 'fma', a: left, b: factors.right(contract, context), c };
          emitter.push({ kind: 'assign', name: c.name, value });
        });
      }
    };
    return {
      prepare: () => undefined,
      step: (step, factors) => {
        if (tile.memory === undefined) {
          addProducts(
            step,
            factors,
            positions.map((position) => tile.registers.get(registerKey(tile.axes, position)) as Expression),
          );
          return;
        }
        const value: TileExpression = { kind: 'tile', name };
        loops.overWalked(tile.axes, () => {
          const type: RegisterType = { scalar: 'f32', lanes: tile.lanes };
          const sums = positions.map((position) => {
            const before = elements.compute(value, loops.context(tile.axes, position)).value;
            return emitter.declare('var', emitter.freshName(`${name}_sum`), type, before);
          });
          addProducts(step, new Factors(this.context), sums);
          positions.forEach((position, place) => loops.assign(tile, position, sums[place] as Expression));
        });
      },
      finish() {
        // Sums are in the tile's own registers.
      },
    };
  }
}

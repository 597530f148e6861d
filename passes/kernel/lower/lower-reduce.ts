import { add, f32, integer } from '../../../ir/kernel/expressions.js';
import type { Expression, RegisterType } from '../../../ir/kernel/thread.js';
import type { Schedule, TileStatement } from '../../../ir/kernel/tile.js';
import type { LaneContext } from './buffer-access.js';
import { registerKey } from './tile-registers.js';
import type { LoweringContext } from './lowering-context.js';
import { withPoint } from './positions.js';
import { readsVectors } from './reads-vectors.js';
import { foldLanes } from './tile-loops.js';

type Reduce = Extract<TileStatement, { kind: 'reduce' }>;

export interface ReduceContext extends LoweringContext {
  readonly schedule: Schedule;
  /** Of a workgroup. */
  readonly invocations: number;
  /** Declares workgroup memory and gives its name, which begins with the hint. */
  declareShared(hint: string, type: RegisterType, length: number): string;
}

/** Sums and maxima along an axis. */
export class ReduceLowering {
  constructor(private readonly context: ReduceContext) {}

  /** Partial results a lane, then across lanes, then across the invocations that share the row. */
  lower({ name, over, operator, padded, value }: Reduce): void {
    const { schedule, at, elements, emitter, loops } = this.context;
    const tile = loops.tile(name);
    const { vector, threads } = at.spreadOf(over);
    const lanes = readsVectors(value, over, vector, at, elements.tiles) ? vector : 1;
    const identity = operator === 'add' ? 0 : -Infinity;
    const masked = padded === true ? value : loops.maskPastExtent(value, over, identity);
    const type: RegisterType = { scalar: 'f32', lanes };
    const positions = [...loops.registerPositions(tile.axes)];
    const partials = positions.map(() => {
      const partial = emitter.freshName(`${name}_part`);
      emitter.declare('var', partial, type, { kind: 'constant', type, value: identity });
      return partial;
    });
    loops.overChunks(over, at.isOpen(over) ? 1 : schedule.unroll, (step) => {
      positions.forEach((position, row) => {
        for (let lane = 0; lane < vector; lane += lanes) {
          const place = withPoint(position, over, { register: step, lane });
          const context: LaneContext = { position: place, axis: lanes > 1 ? over : undefined, lanes };
          const right = elements.compute(masked, context).value;
          this.combine(partials[row] as string, type, operator, right);
        }
      });
    });
    positions.forEach((position, row) => {
      const partial: Expression = { kind: 'register', name: partials[row] as string, type };
      let total = emitter.bind('r', f32, foldLanes(partial, lanes, operator));
      if (threads > 1) total = this.acrossThreads(total, over, operator);
      const register = tile.registers.get(registerKey(tile.axes, position)) as Expression;
      const value: Expression = {
        kind: 'binary',
        operator: operator === 'add' ? 'add' : 'max',
        left: register,
        right: total,
      };
      emitter.push({ kind: 'assign', name: loops.nameOf(tile, position), value });
    });
  }

  private combine(name: string, type: RegisterType, operator: 'add' | 'max', right: Expression): void {
    const left: Expression = { kind: 'register', name, type };
    this.context.emitter.push({ kind: 'assign', name, value: { kind: 'binary', operator, left, right } });
  }

  /** By exchanges where the invocations are in one subgroup, otherwise through workgroup memory. */
  acrossThreads(partial: Expression, over: string, operator: 'add' | 'max'): Expression {
    const { schedule, at, emitter } = this.context;
    const { threads } = at.spreadOf(over);
    const { stride } = at.threadsOf(over);
    const { subgroupSize = 1 } = schedule;
    if (stride * threads > subgroupSize) return this.inMemory(partial, over, operator);
    let total = partial;
    for (let distance = threads / 2; distance >= 1; distance /= 2) {
      const other: Expression = { kind: 'subgroup_exchange', operand: total, mask: distance * stride };
      const right = emitter.bind('r', f32, other);
      total = emitter.bind('r', f32, { kind: 'binary', operator, left: total, right });
    }
    return total;
  }

  /** Tree over the workgroup memory; the axis must be the fastest part of the local index, its threads a power of two. */
  private inMemory(partial: Expression, over: string, operator: 'add' | 'max'): Expression {
    const { schedule, at, emitter } = this.context;
    const { threads } = at.spreadOf(over);
    if (schedule.threadOrder[0] !== over || (threads & (threads - 1)) !== 0) {
      throw new Error(`internal: axis ${over} must be first in the thread order, with a power of two of threads`);
    }
    const array = this.context.declareShared(`${over}_${operator}`, f32, this.context.invocations);
    const local: Expression = { kind: 'builtin', name: 'local_index' };
    const member: Expression = { kind: 'binary', operator: 'mod', left: local, right: integer(threads) };
    const read = (index: Expression): Expression => ({ kind: 'load_shared', array, index, type: f32 });
    emitter.push({ kind: 'store_shared', array, index: local, value: partial });
    emitter.push({ kind: 'barrier' });
    for (let stride = threads / 2; stride >= 1; stride /= 2) {
      emitter.when({ kind: 'binary', operator: 'less', left: member, right: integer(stride) }, () => {
        const value: Expression = {
          kind: 'binary',
          operator,
          left: read(local),
          right: read(add(local, integer(stride))),
        };
        emitter.push({ kind: 'store_shared', array, index: local, value });
      });
      emitter.push({ kind: 'barrier' });
    }
    const first: Expression = { kind: 'binary', operator: 'sub', left: local, right: member };
    return emitter.bind('r', f32, read(first));
  }
}

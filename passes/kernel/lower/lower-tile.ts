import { unreachable } from '../../../ir/diagnostics.js';
import type {
  BarrierArray,
  BufferParameter,
  Expression,
  RegisterType,
  ScalarType,
  SharedArray,
  TensorMap,
  ThreadKernel,
} from '../../../ir/kernel/thread.js';
import type { IndexCondition, Schedule, TileExpression, TileKernel, TileStatement } from '../../../ir/kernel/tile.js';
import { threadsOfPart } from '../../../ir/kernel/tile.js';
import { walkTileExpressions } from '../../../ir/kernel/tile-walk.js';
import { Emitter } from './emitter.js';
import { Elements, registerIs, registerKey, type TileRegisters, wideFactor } from './elements.js';
import { ContractLowering } from './lower-contract.js';
import { MatrixLowering } from './lower-matrix.js';
import { ReduceLowering } from './lower-reduce.js';
import { CopiedStages } from './operand-stages.js';
import { TensorRings } from './tensor-rings.js';
import { copyingInvocations, tileCounts, walkTiles } from './walk-tiles.js';
import { type Contract, isOnlyLeftFactor } from './matrix-operands.js';
import { wholeTileHolds } from './whole-tile.js';
import { TileLoops } from './tile-loops.js';
import { Coordinates, type Position, withPoint } from './positions.js';

/**
 * Lowers a tile kernel to its thread form under a schedule: every tile operator lowers itself to registers, loops and
 * loads. Buffers whose every access is an aligned group of four (or of two) get as many lanes, the others one.
 */
export function lowerTile(kernel: TileKernel, schedule: Schedule): ThreadKernel {
  // Row numbers are read one at a time.
  const rowNumbers = new Set(kernel.terms.flatMap((term) => (term.kind === 'loaded' ? [term.buffer] : [])));
  const lanes = new Map<string, 2 | 4>();
  for (const { name, alignment } of kernel.buffers) {
    if (alignment % 2 === 0 && !rowNumbers.has(name)) lanes.set(name, alignment % 4 === 0 ? 4 : 2);
  }
  for (;;) {
    const lowering = new Lowering(kernel, schedule, new Map(lanes));
    lowering.run();
    const { refused } = lowering.elements;
    if (refused.size === 0) return lowering.finish();
    for (const [name, width] of refused) {
      if (width === 1) lanes.delete(name);
      else lanes.set(name, width);
    }
  }
}

export function workgroupSizeOf(schedule: Schedule): number {
  return multiplyingInvocations(schedule) + (schedule.matrix?.walk === undefined ? 0 : copyingInvocations);
}

function multiplyingInvocations(schedule: Schedule): number {
  return schedule.threadOrder.reduce((size, part) => size * threadsOfPart(schedule, part), 1);
}

class Lowering {
  readonly elements: Elements;
  private readonly emitter = new Emitter();
  private readonly at: Coordinates;
  private readonly loops: TileLoops;
  private readonly contracts: ContractLowering;
  private readonly reductions: ReduceLowering;
  private readonly shared: SharedArray[] = [];
  private readonly maps: TensorMap[] = [];
  private readonly barriers: BarrierArray[] = [];
  private readonly matrix: MatrixLowering | undefined;
  private readonly rings: TensorRings | undefined;

  constructor(
    private readonly kernel: TileKernel,
    private readonly schedule: Schedule,
    private readonly bufferLanes: ReadonlyMap<string, 2 | 4>,
  ) {
    this.at = new Coordinates(kernel, schedule, this.emitter);
    this.elements = new Elements(kernel, this.at, this.emitter, bufferLanes);
    this.loops = new TileLoops(this.at, this.emitter, this.elements);
    const { at, elements, emitter, loops } = this;
    this.reductions = new ReduceLowering({
      schedule,
      at,
      elements,
      emitter,
      loops,
      invocations: workgroupSizeOf(schedule),
      declareShared: (hint, type, length) => {
        const name = `${hint}_${this.shared.length}`;
        this.shared.push({ name, type, length });
        return name;
      },
    });
    const sumAcrossThreads = (partial: Expression, over: string): Expression =>
      this.reductions.acrossThreads(partial, over, 'add');
    this.contracts = new ContractLowering({
      kernel: kernel.name,
      schedule,
      at,
      elements,
      emitter,
      loops,
      sumAcrossThreads,
    });
    if (schedule.matrix !== undefined) {
      const context = {
        kernel,
        schedule,
        at,
        emitter,
        invocations: this.invocations,
        declareShared: (array: SharedArray) => this.shared.push(array),
        declareMap: (map: TensorMap) => this.maps.push(map),
        declareBarriers: (barriers: BarrierArray) => this.barriers.push(barriers),
      };
      if (schedule.matrix.walk !== undefined) this.rings = new TensorRings(context);
      const stages = this.rings ?? new CopiedStages(context);
      this.matrix = new MatrixLowering({ kernel, schedule, at, elements, emitter, stages });
    }
  }

  run(): void {
    const lowerBody = (): void => this.kernel.body.forEach((statement) => this.lower(statement));
    const walk = this.schedule.matrix?.walk;
    if (this.rings === undefined || walk === undefined) return lowerBody();
    walkTiles(walk, this.invocations, { at: this.at, emitter: this.emitter, rings: this.rings }, lowerBody);
  }

  /** That compute: all but those that only copy. */
  private get invocations(): number {
    return multiplyingInvocations(this.schedule);
  }

  finish(): ThreadKernel {
    const buffers = this.kernel.buffers.map(({ name, storage, access }): BufferParameter => ({
      name,
      storage,
      access,
      lanes: this.bufferLanes.get(name) ?? 1,
    }));
    return {
      phase: 'thread',
      name: this.kernel.name,
      buffers,
      parameters: [
        'origin_x',
        'origin_y',
        'origin_z',
        ...(this.rings === undefined ? [] : tileCounts),
        ...buffers.map(({ name }) => `${name}_base`),
        ...this.kernel.parameters,
      ],
      ...(this.rings !== undefined && { tensorMaps: this.maps, barriers: this.barriers, walksTiles: true }),
      workgroupSize: workgroupSizeOf(this.schedule),
      shared: this.shared,
      ...(this.schedule.subgroupSize !== undefined && { subgroupSize: this.schedule.subgroupSize }),
      body: this.emitter.statements,
    };
  }

  private lower(statement: TileStatement): void {
    switch (statement.kind) {
      case 'tile':
        this.declareTile(statement.name, statement.axes, this.valueOf(statement));
        return;
      case 'assign': {
        const tile = this.loops.tile(statement.name);
        this.emitter.when(this.changesAny(statement), () => {
          this.loops.overWalked(tile.axes, () => {
            for (const position of this.loops.registerPositions(tile.axes)) {
              const { value } = this.elements.compute(statement.value, this.loops.context(tile.axes, position));
              this.loops.assign(tile, position, value);
            }
          });
        });
        return;
      }
      case 'contract':
        if (this.matrix === undefined) this.contracts.lower([statement]);
        else this.matrix.lowerContract(statement);
        return;
      case 'reduce':
        this.reductions.lower(statement);
        return;
      case 'for': {
        const lowerBody = (): void => statement.body.forEach((inner) => this.lower(inner));
        const multiplies = statement.body.some(({ kind }) => kind === 'contract');
        const together = statement.body.filter((inner) => inner.kind === 'contract' && inner.over === statement.axis);
        // Sums of lanes are added up after the walk, not in every chunk of it.
        if (this.matrix === undefined && together.length === statement.body.length) {
          this.contracts.lower(together as readonly Contract[]);
        } else if (this.matrix === undefined || !multiplies) this.loops.eachChunk(statement.axis, 1, lowerBody);
        else this.matrix.lowerFor(statement.axis, statement.body, lowerBody);
        return;
      }
      case 'store':
        this.lowerStore(statement);
        return;
      default:
        unreachable(statement, 'tile statement');
    }
  }

  /** Where an assignment keeps all of a tile but what some conditions exclude: whether they exclude any of it; else undefined. */
  private changesAny({ name, value }: Extract<TileStatement, { kind: 'assign' }>): Expression | undefined {
    if (value.kind !== 'when' || value.yes.kind !== 'tile' || value.yes.name !== name) return undefined;
    const { axes, registers, lanes } = this.loops.tile(name);
    if (registers.size * lanes < 2) return undefined;
    const all = wholeTileHolds(value.conditions, axes, this.at);
    return all === undefined ? undefined : { kind: 'unary', operator: 'not', operand: all };
  }

  /** Factors of fragments are rounded where they are packed: a tile that is nothing else keeps its numbers as they are. */
  private valueOf({ name, value }: Extract<TileStatement, { kind: 'tile' }>): TileExpression {
    const isFactor = this.matrix !== undefined && isOnlyLeftFactor(name, this.kernel.body);
    return isFactor ? wideFactor(value) : value;
  }

  private declareTile(name: string, axes: readonly string[], value: TileExpression): void {
    const registers = new Map<string, Expression>();
    let scalar: ScalarType = 'f32';
    const lanes = this.loops.lanesOf(axes);
    if (axes.some((axis) => this.loops.isWalked(axis))) {
      this.declareInMemory(name, axes, value);
      return;
    }
    const rolled = this.loops.rolledAxis(axes);
    if (rolled !== undefined && loadsMemory(value)) {
      this.loadTile(name, axes, rolled, value);
      return;
    }
    for (const position of this.loops.registerPositions(axes)) {
      const computed = this.elements.compute(value, this.loops.context(axes, position));
      scalar = computed.scalar;
      const key = registerKey(axes, position);
      const register = this.emitter.freshName(key === '' ? name : `${name}_${key}`);
      registers.set(key, this.emitter.declare('var', register, { scalar, lanes }, computed.value));
    }
    this.elements.tiles.set(name, { axes, lanes, scalar, registers });
  }

  /** A tile of what is in memory, in a loop over an axis' registers: each assigns its value to the register whose turn it is. */
  private loadTile(name: string, axes: readonly string[], rolled: string, value: TileExpression): void {
    const { elements, emitter, loops } = this;
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
      for (let register = 0; register < this.at.spreadOf(rolled).registers; register++) {
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

  private declareInMemory(name: string, axes: readonly string[], value: TileExpression): void {
    const type: RegisterType = { scalar: 'f32', lanes: this.loops.lanesOf(axes) };
    const steps = axes.map((axis) => this.at.spreadOf(axis).registers);
    const array = `${name}_${this.shared.length}`;
    this.shared.push({ name: array, type, length: steps.reduce((product, count) => product * count, 1) });
    const indexOf = (position: Position): Expression => this.loops.indexInMemory(axes, position);
    const tile: TileRegisters = {
      axes,
      lanes: type.lanes,
      scalar: 'f32',
      registers: new Map(),
      memory: { array, indexOf },
    };
    this.loops.overWalked(axes, () => {
      for (const position of this.loops.registerPositions(axes)) {
        const computed = this.elements.compute(value, this.loops.context(axes, position));
        this.loops.assign(tile, position, computed.value);
      }
    });
    this.elements.tiles.set(name, tile);
  }

  private lowerStore(statement: Extract<TileStatement, { kind: 'store' }>): void {
    const { axes, conditions } = statement;
    // Alike for the whole workgroup: where it does not hold, nothing is computed either.
    const isUniform = ({ left, right }: IndexCondition): boolean =>
      [left, right].every((side) => side.symbols.every((name) => !axes.includes(name) && !this.at.isTerm(name)));
    const uniform = conditions.filter(isUniform);
    this.emitter.when(this.at.conditions(uniform, new Map(), true), () => {
      const each = { ...statement, conditions: conditions.filter((condition) => !isUniform(condition)) };
      this.loops.overRegisters(axes, (positions) => this.storeEach(each, positions));
    });
  }

  private storeEach(
    { axes, buffer, index, conditions, value }: Extract<TileStatement, { kind: 'store' }>,
    all: readonly Position[],
  ): void {
    const scalar = this.elements.loadScalar(buffer);
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
      this.emitter.when(inside, () => {
        for (const position of positions) {
          const context = this.loops.context(axes, position);
          const stored = this.elements.compute({ kind: 'convert', to: scalar, operand: value }, context);
          this.elements.store(buffer, index, stored.value, conditions, context);
        }
      });
    }
  }

  /** Whether a position is inside the extents of the axes that tiles may reach past. */
  private isInside(axes: readonly string[], position: Position): Expression | undefined {
    let inside: Expression | undefined;
    for (const axis of axes) {
      if (!this.at.isRagged(axis)) continue;
      const right = this.at.polynomial(this.at.axis(axis).extent, new Map());
      const left = this.at.unclamped(axis, position.get(axis) ?? { register: 0, lane: 0 });
      const less: Expression = { kind: 'binary', operator: 'less', left, right };
      inside = inside === undefined ? less : { kind: 'binary', operator: 'and', left: inside, right: less };
    }
    return inside;
  }
}

function loadsMemory(value: TileExpression): boolean {
  let loads = false;
  walkTileExpressions([value], (part) => {
    if (part.kind === 'load') loads = true;
  });
  return loads;
}

import { unreachable } from '../../../ir/diagnostics.js';
import type {
  BarrierArray,
  BufferParameter,
  Expression,
  RegisterType,
  SharedArray,
  TensorMap,
  ThreadKernel,
} from '../../../ir/kernel/thread.js';
import type { Schedule, TileExpression, TileKernel, TileStatement } from '../../../ir/kernel/tile.js';
import { threadsOfPart } from '../../../ir/kernel/tile.js';
import { Emitter } from './emitter.js';
import { Elements, wideFactor } from './elements.js';
import { ContractLowering } from './lower-contract.js';
import { MatrixLowering } from './lower-matrix.js';
import { StagedFactors } from './staged-factors.js';
import { SubgroupProducts } from './lower-subgroup-products.js';
import { ReduceLowering } from './lower-reduce.js';
import { CopiedStages } from './operand-stages.js';
import { TensorRings } from './tensor-rings.js';
import { copyingInvocations, tileCounts, walkTiles } from './walk-tiles.js';
import { type Contract, isOnlyLeftFactor } from './matrix-operands.js';
import { changesOnlyPastEnd, wholeTileHolds } from './whole-tile.js';
import { TileLoops } from './tile-loops.js';
import { Coordinates } from './positions.js';
import { StoreLowering } from './lower-store.js';
import { TileDeclarations } from './tile-declarations.js';

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
    const { refused } = lowering.elements.access;
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
  private readonly declarations: TileDeclarations;
  private readonly stores: StoreLowering;
  private readonly reductions: ReduceLowering;
  private readonly shared: SharedArray[] = [];
  private readonly maps: TensorMap[] = [];
  private readonly barriers: BarrierArray[] = [];
  private readonly matrix: MatrixLowering | SubgroupProducts | undefined;
  /** What buffers are read as, 16 bytes at a time. */
  private readonly vectors = new Map<string, 'u32' | 'f32'>();
  private readonly rings: TensorRings | undefined;
  /** All statements have been lowered, in bands. */
  private isPastBands = false;

  constructor(
    private readonly kernel: TileKernel,
    private readonly schedule: Schedule,
    private readonly bufferLanes: ReadonlyMap<string, 2 | 4>,
  ) {
    this.at = new Coordinates(kernel, schedule, this.emitter);
    this.elements = new Elements(kernel, this.at, this.emitter, bufferLanes);
    this.loops = new TileLoops(this.at, this.emitter, this.elements);
    const { at, elements, emitter, loops } = this;
    const declareShared = (hint: string, type: RegisterType, length: number): string => {
      const name = `${hint}_${this.shared.length}`;
      this.shared.push({ name, type, length });
      return name;
    };
    this.declarations = new TileDeclarations({ at, elements, emitter, loops, declareShared });
    this.stores = new StoreLowering({ at, elements, emitter, loops });
    const invocations = workgroupSizeOf(schedule);
    this.reductions = new ReduceLowering({ schedule, at, elements, emitter, loops, invocations, declareShared });
    const sumAcrossThreads = (partial: Expression, over: string): Expression =>
      this.reductions.acrossThreads(partial, over, 'add');
    const staged =
      schedule.staged === true
        ? new StagedFactors({ kernel, at, elements, emitter, loops, invocations, declareShared })
        : undefined;
    this.contracts = new ContractLowering({
      staged,
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
        elements,
        emitter,
        invocations: this.invocations,
        declareShared: (array: SharedArray) => this.shared.push(array),
        declareMap: (map: TensorMap) => this.maps.push(map),
        declareBarriers: (barriers: BarrierArray) => this.barriers.push(barriers),
      };
      if (schedule.matrix.unit === 'subgroup') {
        const readVectors = (buffer: string, scalar: 'u32' | 'f32'): unknown => this.vectors.set(buffer, scalar);
        this.matrix = new SubgroupProducts({ ...context, loops, readVectors });
        return;
      }
      if (schedule.matrix.walk !== undefined) this.rings = new TensorRings(context);
      const stages = this.rings ?? new CopiedStages(context);
      this.matrix = new MatrixLowering({ kernel, schedule, at, elements, emitter, stages });
    }
  }

  run(): void {
    const lowerBody = (): void => this.lowerAll(this.kernel.body);
    const walk = this.schedule.matrix?.walk;
    if (this.rings === undefined || walk === undefined) return lowerBody();
    walkTiles(walk, this.invocations, { at: this.at, emitter: this.emitter, rings: this.rings }, lowerBody);
  }

  /** What follows sums that only a subgroup has is done for a band of rows after the other: their registers are those of one band. */
  private lowerAll(body: readonly TileStatement[]): void {
    body.forEach((statement, place) => {
      if (this.isPastBands) return;
      this.lower(statement);
      const { matrix, loops } = this;
      const pending = matrix instanceof SubgroupProducts ? matrix.pending : undefined;
      if (pending === undefined || !(matrix instanceof SubgroupProducts)) return;
      const rest = body.slice(place + 1);
      for (let band = 0; band < pending.bands; band++) {
        loops.inBand(pending.axis, band * pending.registers, pending.registers, () => {
          matrix.deliverBand(band, band === pending.bands - 1);
          rest.forEach((later) => this.lower(later));
        });
      }
      this.isPastBands = true;
    });
  }

  /** That compute: all but those that only copy. */
  private get invocations(): number {
    return multiplyingInvocations(this.schedule);
  }

  finish(): ThreadKernel {
    const buffers = this.kernel.buffers.map(({ name, storage, access }): BufferParameter => {
      const vectors = this.vectors.get(name);
      if (vectors !== undefined) return { name, storage: vectors, access, lanes: 4 };
      if (this.elements.access.words.has(name)) return { name, storage: 'u32', access, lanes: 4 };
      return { name, storage, access, lanes: this.bufferLanes.get(name) ?? 1 };
    });
    const { subgroupSize, matrix } = this.schedule;
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
      ...(subgroupSize !== undefined && { subgroupSize }),
      ...(matrix?.product !== undefined && { subgroupProduct: matrix.product }),
      body: this.emitter.statements,
    };
  }

  private lower(statement: TileStatement): void {
    switch (statement.kind) {
      case 'tile':
        this.declarations.declare(statement.name, statement.axes, this.valueOf(statement));
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
        if (statement.conditions !== undefined) {
          const { conditions, ...always } = statement;
          this.emitter.when(this.at.conditions(conditions, new Map()), () => {
            this.at.assuming(conditions, () => this.lower(always));
          });
          return;
        }
        const lowerBody = (without?: TileStatement): void =>
          statement.body.forEach((inner) => inner !== without && this.lower(inner));
        const multiplies = statement.body.some(({ kind }) => kind === 'contract');
        const together = statement.body.filter((inner) => inner.kind === 'contract' && inner.over === statement.axis);
        // Sums of lanes are added up after the walk, not in every chunk of it.
        if (this.matrix === undefined && together.length === statement.body.length) {
          this.contracts.lower(together as readonly Contract[]);
        } else if (this.matrix === undefined || !multiplies) this.loops.eachChunk(statement.axis, 1, () => lowerBody());
        else {
          const mask = this.findEndMask(statement);
          const inChunk = (isWhole: boolean): void => lowerBody(isWhole ? mask : undefined);
          this.matrix.lowerFor(statement.axis, statement.body, inChunk, mask !== undefined);
        }
        return;
      }
      case 'store':
        this.stores.lower(statement);
        return;
      default:
        unreachable(statement, 'tile statement');
    }
  }

  /**
   * Four warps multiply together and read packed tiles from registers. Between two such products of a loop there is no branch: ptxas 13.0
   * then puts what it packs for the second into the registers of the first, which the next chunk still reads.
   */
  private get forbidsBranches(): boolean {
    return this.schedule.matrix?.unit === 'wgmma';
  }

  /** What only the last chunk needs, so that instead of a branch the whole ones have a loop without it. */
  private findEndMask({ axis, body }: Extract<TileStatement, { kind: 'for' }>): TileStatement | undefined {
    if (!this.forbidsBranches) return undefined;
    return body.find((inner) => inner.kind === 'assign' && changesOnlyPastEnd(inner, axis, this.at));
  }

  /** Where an assignment keeps all of a tile but what some conditions exclude: whether they exclude any of it; else undefined. */
  private changesAny({ name, value }: Extract<TileStatement, { kind: 'assign' }>): Expression | undefined {
    if (value.kind !== 'when' || value.yes.kind !== 'tile' || value.yes.name !== name) return undefined;
    if (this.forbidsBranches) return undefined;
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
}

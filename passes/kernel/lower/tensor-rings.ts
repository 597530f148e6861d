import { add, binary, builtin, i32, integer, multiply } from '../../../ir/kernel/expressions.js';
import { Dim } from '../../../ir/dim.js';
import type { BarrierArray, BarrierPlace, Expression, TensorMap } from '../../../ir/kernel/thread.js';
import type { TileKernel } from '../../../ir/kernel/tile.js';
import { type ChunkBody, eachChunk, type OperandStages, type StagesContext } from './operand-stages.js';
import { blockLength, blockPieces, declareArray, type StagedTile, stageLength } from './staging.js';
import { asRectangle, type OperandRectangle } from './tensor-maps.js';

/** Invocations of a warp, one of which says that all have read. */
const subgroupSize = 32;

export interface RingsContext extends StagesContext {
  readonly kernel: TileKernel;
  declareMap(map: TensorMap): void;
  declareBarriers(barriers: BarrierArray): void;
}

/** The stages of one walk over a loop axis. */
interface Ring {
  readonly axis: string;
  readonly operands: readonly RingOperand[];
  /** Arrays of barriers, one of each a stage: its copies have arrived, nobody reads it any more. */
  readonly filled: string;
  readonly emptied: string;
}

interface RingOperand {
  readonly tile: StagedTile;
  readonly map: TensorMap;
  readonly rectangle: OperandRectangle;
}

/**
 * Stages that one invocation, in a role of its own, fills by copies of boxes while others multiply. Neither waits for the other but
 * for a stage, and stages go round through all tiles that the workgroup walks over: while the last sums of a tile are
 * stored, the next one's operands arrive.
 */
export class TensorRings implements OperandStages {
  private readonly rings: Ring[] = [];
  private maps = 0;
  /** Tiles that the workgroup had before this one; set while a tile is open. */
  round: Expression | undefined;

  constructor(private readonly context: RingsContext) {}

  overChunks(axis: string, tiles: readonly StagedTile[], inFlight: 0 | 1, body: ChunkBody, apart = false): void {
    const { at, emitter } = this.context;
    const ring = this.declareRing(axis, tiles);
    eachChunk(axis, { at, emitter }, apart, (variable, isWhole) => {
      const { number, stage, turn } = this.placeOf(ring, variable);
      emitter.push({
        kind: 'wait_barrier',
        barrier: { array: ring.filled, index: stage },
        parity: this.parityOf(turn),
      });
      body(variable, (tile) => emitter.hoist('s', i32, multiply(stage, integer(stageLength(tile)))), isWhole);
      if (inFlight === 0) this.release({ array: ring.emptied, index: stage });
      else {
        // What was multiplied before this chunk is read.
        const before = emitter.hoist('stage', i32, this.stageOf(add(number, integer(this.stages - 1))));
        this.release({ array: ring.emptied, index: before }, binary('less', integer(0), variable));
      }
    });
    if (inFlight === 0) return;
    emitter.push({ kind: 'wait_products', pending: 0 });
    const chunks = this.chunksOf(ring);
    const behind = add(add(this.firstOf(ring), chunks), integer(this.stages - 1));
    const last = emitter.hoist('stage', i32, this.stageOf(behind));
    const isSure = (at.axis(axis).extent.constant ?? 0) > 0;
    this.release({ array: ring.emptied, index: last }, isSure ? undefined : binary('less', integer(0), chunks));
  }

  /** What the copying invocation does for the open tile. */
  lowerCopies(): void {
    const { at, emitter } = this.context;
    for (const ring of this.rings) {
      const bytes = 16 * ring.operands.reduce((sum, { tile }) => sum + stageLength(tile), 0);
      emitter.loop(ring.axis, integer(0), this.endOf(ring), at.axis(ring.axis).tile, (variable) => {
        const { stage, turn } = this.placeOf(ring, variable);
        // In the first turn no stage was used: a barrier in its first phase lets pass whoever waits for the one before.
        const parity = this.parityOf(add(turn, integer(1)));
        emitter.push({ kind: 'wait_barrier', barrier: { array: ring.emptied, index: stage }, parity });
        const barrier = { array: ring.filled, index: stage };
        emitter.push({ kind: 'expect_copies', barrier, bytes });
        for (const operand of ring.operands) this.copy(operand, ring, variable, stage);
      });
    }
  }

  private get stages(): number {
    return this.context.schedule.matrix?.stages ?? 2;
  }

  private declareRing(axis: string, tiles: readonly StagedTile[]): Ring {
    const { context } = this;
    const suffix = this.rings.length === 0 ? '' : `_${this.rings.length}`;
    const ring: Ring = {
      axis,
      operands: tiles.map((tile) => this.describeOperand(tile)),
      filled: `filled${suffix}`,
      emptied: `emptied${suffix}`,
    };
    for (const { tile, map } of ring.operands) {
      context.declareShared(declareArray(tile, this.stages));
      context.declareMap(map);
    }
    context.declareBarriers({ name: ring.filled, length: this.stages, arrivals: 1 });
    const arrivals = context.invocations / subgroupSize;
    context.declareBarriers({ name: ring.emptied, length: this.stages, arrivals });
    this.rings.push(ring);
    return ring;
  }

  private describeOperand(tile: StagedTile): RingOperand {
    const { source: load, rowAxis, rows, alongAxis, rowLength } = tile;
    if (load.kind !== 'load') throw new Error('internal: boxes are not decoded');
    const rectangle = asRectangle(load, this.context.kernel, rowAxis, alongAxis, rowLength);
    if (rectangle === undefined) throw new Error(`internal: what is read of ${load.buffer} is no rectangle`);
    const dimensions = rectangle.dimensions.map(({ symbol, extent, stride }) => {
      const box = symbol === alongAxis ? blockPieces * rowLength : symbol === rowAxis ? rows : 1;
      return { extent, stride, box };
    });
    const { offset } = rectangle;
    return { tile, map: { name: `map_${this.maps++}`, buffer: load.buffer, offset, dimensions }, rectangle };
  }

  /** Blocks of 128 bytes of all rows, one after the other. */
  private copy({ tile, map, rectangle }: RingOperand, ring: Ring, chunk: Expression, stage: Expression): void {
    const { at, emitter } = this.context;
    const start = emitter.hoist('s', i32, multiply(stage, integer(stageLength(tile))));
    for (let block = 0; block * blockPieces < tile.pieces; block++) {
      const coordinates = rectangle.dimensions.map(({ symbol }) => {
        const own = symbol === ring.axis ? chunk : at.isTerm(symbol) ? this.termOf(symbol) : at.base(symbol);
        const further = symbol === tile.alongAxis ? block * blockPieces * tile.rowLength : 0;
        return emitter.hoist(symbol, i32, add(own, integer(further)));
      });
      emitter.push({
        kind: 'copy_tensor',
        array: tile.array,
        index: emitter.hoist('s', i32, add(start, integer(block * blockLength(tile)))),
        map: map.name,
        at: coordinates,
        barrier: { array: ring.filled, index: stage },
      });
    }
  }

  private termOf(name: string): Expression {
    return this.context.at.polynomial(Dim.symbol(name), new Map());
  }

  private release(barrier: BarrierPlace, condition?: Expression): void {
    const { emitter } = this.context;
    const isFirst = binary('equal', builtin('subgroup_lane'), integer(0));
    const who = condition === undefined ? isFirst : binary('and', isFirst, condition);
    emitter.when(who, () => emitter.push({ kind: 'arrive', barrier }));
  }

  /** The chunk's number among all of the workgroup's, its stage, and how often the stage was used before. */
  private placeOf(
    ring: Ring,
    variable: Expression,
  ): { readonly number: Expression; readonly stage: Expression; readonly turn: Expression } {
    const { at, emitter } = this.context;
    const chunk = emitter.hoist('chunk', i32, binary('div', variable, integer(at.axis(ring.axis).tile)));
    const number = emitter.hoist('number', i32, add(this.firstOf(ring), chunk));
    const stage = emitter.hoist('stage', i32, this.stageOf(number));
    return { number, stage, turn: emitter.hoist('turn', i32, binary('div', number, integer(this.stages))) };
  }

  private firstOf(ring: Ring): Expression {
    if (this.round === undefined) throw new Error('internal: no tile is open');
    return this.context.emitter.hoist('first', i32, multiply(this.round, this.chunksOf(ring)));
  }

  private chunksOf({ axis }: Ring): Expression {
    const { at, emitter } = this.context;
    const { extent, tile } = at.axis(axis);
    const rounded = at.polynomial(extent.add(tile - 1), new Map());
    return emitter.hoist('chunks', i32, binary('div', rounded, integer(tile)));
  }

  private endOf({ axis }: Ring): Expression {
    const { at } = this.context;
    return at.polynomial(at.axis(axis).extent, new Map());
  }

  private stageOf(number: Expression): Expression {
    return binary('mod', this.context.emitter.hoist('number', i32, number), integer(this.stages));
  }

  private parityOf(turn: Expression): Expression {
    const { emitter } = this.context;
    return emitter.hoist('parity', i32, binary('mod', emitter.hoist('turn', i32, turn), integer(2)));
  }
}

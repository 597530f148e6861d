import { add, binary, i32, integer, multiply } from '../../../ir/kernel/expressions.js';
import type { Expression, SharedArray } from '../../../ir/kernel/thread.js';
import type { Schedule } from '../../../ir/kernel/tile.js';
import type { Elements } from './elements.js';
import type { Emitter } from './emitter.js';
import type { Coordinates } from './positions.js';
import { declareArray, StageCopier, type StagedTile, stageLength } from './staging.js';

/** The first element of a tile's stage that is in use. */
export type StageOf = (tile: StagedTile) => Expression;

/** Chunks of operands in workgroup memory, several of them at once: copied ahead of their use beside the computation. */
export interface OperandStages {
  /**
   * Walks a loop axis in chunks of its tile; `body` multiplies a chunk. `inFlight` groups of its products, none or one, are still on their
   * way when it ends; behind the walk none is. `apart`: whole chunks have a loop of their own, without what is left behind them.
   */
  overChunks(axis: string, tiles: readonly StagedTile[], inFlight: 0 | 1, body: ChunkBody, apart?: boolean): void;
}

/** `start`: the chunk's first coordinate. `isWhole`: none of it lies past the axis's extent, for all that is known here. */
export type ChunkBody = (start: Expression, stageOf: StageOf, isWhole: boolean) => void;

/** One loop over the chunks of an axis, or one over whole chunks and one over what is left, which runs once at most. */
export function eachChunk(
  axis: string,
  { at, emitter }: { readonly at: Coordinates; readonly emitter: Emitter },
  apart: boolean,
  body: (variable: Expression, isWhole: boolean) => void,
): void {
  const { extent, tile } = at.axis(axis);
  const end = at.polynomial(extent, new Map());
  const isWhole = !at.isRagged(axis);
  if (!apart || isWhole) return emitter.loop(axis, integer(0), end, tile, (variable) => body(variable, isWhole));
  const chunks = emitter.hoist('chunks', i32, binary('div', end, integer(tile)));
  const wholeEnd = emitter.hoist('whole', i32, multiply(chunks, integer(tile)));
  emitter.loop(axis, integer(0), wholeEnd, tile, (variable) => body(variable, true));
  emitter.loop(axis, wholeEnd, end, tile, (variable) => body(variable, false));
}

export interface StagesContext {
  readonly schedule: Schedule;
  readonly at: Coordinates;
  readonly elements: Elements;
  readonly emitter: Emitter;
  /** That multiply. */
  readonly invocations: number;
  declareShared(array: SharedArray): void;
}

/** Every invocation copies its share of a chunk, and barriers of the workgroup part one chunk from the next. */
export class CopiedStages implements OperandStages {
  private readonly copier: StageCopier;

  constructor(private readonly context: StagesContext) {
    this.copier = new StageCopier(context.at, context.elements, context.emitter, context.invocations);
  }

  /**
   * The chunk in use and those on their way are each in a stage. In an iteration the chunk's copies are waited for, a barrier
   * makes them visible to all and says that nobody reads the stage of the last chunk that was multiplied, into which the next
   * copies go: the one before, or as many further back as products are still in flight then.
   */
  overChunks(axis: string, tiles: readonly StagedTile[], inFlight: 0 | 1, body: ChunkBody, apart = false): void {
    const { at, emitter, schedule } = this.context;
    const { stages = 2, unit = 'mma' } = schedule.matrix ?? {};
    const { tile: chunk } = at.axis(axis);
    for (const tile of tiles) this.context.declareShared(declareArray(tile, stages));
    /** What comes back stores what is decoded, whose loads are on their way until then. */
    const copyChunk = (base: Expression, stage: StageOf): (() => void) => {
      const stores = tiles.map((tile) => {
        if (tile.source.kind === 'decode') return this.copier.decode(tile, axis, base, stage(tile));
        this.copier.copy(tile, axis, base, stage(tile));
        return () => undefined;
      });
      emitter.push({ kind: 'commit_copies' });
      return () => stores.forEach((store) => store());
    };
    const ahead = stages - 1 - inFlight;
    for (let first = 0; first < ahead; first++) {
      copyChunk(integer(first * chunk), (tile) => integer(first * stageLength(tile)))();
    }
    eachChunk(axis, { at, emitter }, apart, (variable, isWhole) => {
      emitter.push({ kind: 'wait_copies', pending: ahead - 1 });
      if (unit === 'wgmma') emitter.push({ kind: 'share_writes' });
      emitter.push({ kind: 'barrier' });
      const number: Expression = { kind: 'binary', operator: 'div', left: variable, right: integer(chunk) };
      const stageOf = (later: number): Expression => {
        const shifted = add(emitter.hoist('chunk', i32, number), integer(later));
        return emitter.hoist('stage', i32, { kind: 'binary', operator: 'mod', left: shifted, right: integer(stages) });
      };
      const next = stageOf(ahead);
      const now = stageOf(0);
      const start = (tile: StagedTile, stage: Expression): Expression =>
        emitter.hoist('s', i32, multiply(stage, integer(stageLength(tile))));
      const later = emitter.hoist(axis, i32, add(variable, integer(ahead * chunk)));
      const store = copyChunk(later, (tile) => start(tile, next));
      body(variable, (tile) => start(tile, now), isWhole);
      store();
    });
    if (inFlight > 0) emitter.push({ kind: 'wait_products', pending: 0 });
  }
}

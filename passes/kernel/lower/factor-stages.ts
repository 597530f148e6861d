import { add, constant, i32, integer, multiply, u32, vectorOf } from '../../../ir/kernel/expressions.js';
import type { Expression, SharedArray } from '../../../ir/kernel/thread.js';
import type { Elements } from './elements.js';
import type { Emitter } from './emitter.js';
import type { Coordinates } from './positions.js';
import { shareRows } from './share-rows.js';
import { type PieceAxes, PiecePlaces } from './staging.js';
import { type FactorOperand, factorPiece, type FactorSource } from './subgroup-operands.js';

/** A tile of an operand in workgroup memory: rows of f16 numbers, two to a word. */
export interface FactorTile extends PieceAxes {
  readonly operand: FactorOperand;
  readonly array: string;
  readonly rows: number;
  /** Pieces of 16 bytes in a row. */
  readonly pieces: number;
}

export interface FactorStagesContext {
  readonly at: Coordinates;
  readonly elements: Elements;
  readonly emitter: Emitter;
  /** Of a workgroup. */
  readonly invocations: number;
  declareShared(array: SharedArray): void;
  /** The buffer is read 16 bytes at a time: as words, or as numbers in f32. */
  readVectors(buffer: string, scalar: 'u32' | 'f32'): void;
  /** All invocations arrive. */
  barrier(): void;
}

const wordsOfPiece = 4;
/** Words from one row to the next: 16 bytes more than a row has, so that rows that are read together lie in different banks. */
export function factorPitch(columns: number): number {
  return columns / 2 + wordsOfPiece;
}

/**
 * Chunks of operands in workgroup memory, of each one at a time. The next chunk is read while this one is multiplied, and stored when it has
 * been: what is on its way meanwhile is in registers.
 */
export class FactorStages {
  private readonly places: PiecePlaces;

  constructor(private readonly context: FactorStagesContext) {
    this.places = new PiecePlaces(context.at, context.emitter);
  }

  /** Walks a loop axis in chunks of its tile; `body` multiplies the chunk that begins at `start`. */
  overChunks(axis: string, tiles: readonly FactorTile[], body: (start: Expression) => void): void {
    const { at, emitter } = this.context;
    const { extent, tile: chunk } = at.axis(axis);
    for (const { array, rows, pieces } of tiles) {
      const length = rows * factorPitch(pieces * factorPiece);
      this.context.declareShared({ name: array, type: u32, length });
    }
    const read = (start: Expression): (() => void) => {
      const stores = tiles.map((tile) => this.read(tile, axis, start));
      return () => stores.forEach((store) => store());
    };
    read(integer(0))();
    emitter.loop(axis, integer(0), at.polynomial(extent, new Map()), chunk, (start) => {
      this.context.barrier();
      const store = read(emitter.hoist(axis, i32, add(start, integer(chunk))));
      body(start);
      this.context.barrier();
      store();
    });
  }

  /** Reads the invocation's pieces of a chunk; what comes back stores them, in the same scope. */
  private read(tile: FactorTile, chunkAxis: string, base: Expression): () => void {
    const { emitter, invocations } = this.context;
    const stores = shareRows(emitter, tile.rows, tile.pieces, invocations).map(({ row, part, inside }) => {
      const words = this.wordsOf(tile, row, part, chunkAxis, base);
      const start = emitter.hoist('s', i32, multiply(row, integer(factorPitch(tile.pieces * factorPiece))));
      const place = emitter.hoist('s', i32, add(start, multiply(part, integer(wordsOfPiece))));
      return (): void => {
        const values = words();
        emitter.when(inside, () => {
          values.forEach((value, at) => {
            const index = add(place, integer(at));
            emitter.push({ kind: 'store_shared', array: tile.array, index, value });
          });
        });
      };
    });
    return () => stores.forEach((store) => store());
  }

  /** The four words of a piece, made of what is read now. */
  private wordsOf(
    tile: FactorTile,
    row: Expression,
    piece: Expression,
    chunkAxis: string,
    base: Expression,
  ): () => readonly Expression[] {
    const { emitter, elements } = this.context;
    const { source, storage } = tile.operand;
    if (source.kind === 'decode') {
      // Past the end of the contracted axis other numbers are decoded: the left operand has zeros there.
      const position = this.places.clampAll(this.places.coordinatesOf(tile, row, piece, chunkAxis, base));
      const decode = elements.decodeEight(source, position, tile.alongAxis);
      return () => decode().flatMap((four) => packPairs(four, emitter));
    }
    const { from, valid } = this.places.read(source, tile, row, piece, chunkAxis, base);
    const scalar = storage === 'f32' ? 'f32' : 'u32';
    this.context.readVectors(source.buffer, scalar);
    const type = vectorOf(scalar, 4);
    const vectors = scalar === 'f32' ? 2 : 1;
    const loads = Array.from({ length: vectors }, (_, at) => {
      const place = emitter.hoist('q', i32, add(multiply(from, integer(vectors)), integer(at)));
      const index = emitter.hoist('q', i32, { kind: 'select', condition: valid, yes: place, no: integer(0) });
      return emitter.bind('w', type, { kind: 'load', buffer: source.buffer, index, type });
    });
    const condition: Expression = { kind: 'splat', lanes: 4, operand: valid };
    const no: Expression = { kind: 'constant', type, value: 0 };
    return () =>
      loads.flatMap((yes) =>
        toWords(storage, emitter.bind('w', type, { kind: 'select', condition, yes, no }), emitter),
      );
  }
}

/** What was read, as words of f16 pairs. */
function toWords(storage: FactorSource, read: Expression, emitter: Emitter): readonly Expression[] {
  if (storage === 'f32') return packPairs(read, emitter);
  if (storage === 'bf16') return roundWords(read, emitter);
  return [0, 1, 2, 3].map((lane): Expression => ({ kind: 'lane', operand: read, lane }));
}

/** Pairs of bf16 numbers in words as pairs of f16. */
function roundWords(words: Expression, emitter: Emitter): readonly Expression[] {
  const type = vectorOf('f32', 4);
  const splat = (value: number): Expression => ({ kind: 'splat', lanes: 4, operand: constant(value, u32) });
  const shifted: Expression = { kind: 'binary', operator: 'shift_left', left: words, right: splat(16) };
  const masked: Expression = { kind: 'binary', operator: 'and', left: words, right: splat(0xffff0000) };
  const [low, high] = [shifted, masked].map((operand) =>
    emitter.bind('v', type, { kind: 'bitcast', to: 'f32', operand }),
  ) as [Expression, Expression];
  return [0, 1, 2, 3].map((lane) => {
    const parts: Expression[] = [low, high].map((operand) => ({ kind: 'lane', operand, lane }));
    return emitter.bind('w', u32, { kind: 'pack', to: 'f16', operand: { kind: 'vector', parts } });
  });
}

/** Four numbers in f32 as two words of f16. */
export function packPairs(four: Expression, emitter: Emitter): readonly Expression[] {
  return [
    [0, 1],
    [2, 3],
  ].map((lanes) =>
    emitter.bind('w', u32, { kind: 'pack', to: 'f16', operand: { kind: 'shuffle', operand: four, lanes } }),
  );
}

import { add, binary, bool, both, i32, integer, lessThan, multiply } from '../../../ir/kernel/expressions.js';
import type { Expression, MatrixType, SharedArray } from '../../../ir/kernel/thread.js';
import type { Emitter } from './emitter.js';
import type { Elements } from './elements.js';
import type { TileLoad } from '../../../ir/kernel/tile.js';
import type { Staged } from './matrix-operands.js';
import type { Coordinates, Position } from './positions.js';

/**
 * A tile of an operand in workgroup memory: rows of 16-byte pieces, several tiles (stages) one after another. Pieces of
 * a row are exchanged by a pattern of the row's number, so that the eight rows of a fragment lie in different banks.
 */
export interface StagedTile {
  readonly source: Staged;
  /** What the numbers are. */
  readonly operands: MatrixType;
  readonly array: string;
  /** The axis along which rows follow each other and the one along which a row runs, with the tile's extents. */
  readonly rowAxis: string;
  readonly rows: number;
  readonly alongAxis: string;
  readonly pieces: number;
  /** Numbers in a piece. */
  readonly rowLength: number;
  /** In blocks of rows of 128 bytes, one block behind the other, as the unit reads them; otherwise rows are whole. */
  readonly inBlocks: boolean;
}

/** 16-byte pieces from one row to the next. */
function pitchOf({ pieces, inBlocks }: StagedTile): number {
  if (inBlocks) return blockPieces;
  return isPowerOfTwo(pieces) ? pieces : pieces | 1;
}

function isPowerOfTwo(value: number): boolean {
  return (value & (value - 1)) === 0;
}

/** Pieces of a row of 128 bytes. */
export const blockPieces = 8;

/** Elements from one block of rows to the next. */
export function blockLength({ rows }: StagedTile): number {
  return rows * blockPieces;
}

/** Elements of one stage, 16 bytes each. */
export function stageLength(tile: StagedTile): number {
  return tile.inBlocks ? blockLength(tile) * Math.ceil(tile.pieces / blockPieces) : tile.rows * pitchOf(tile);
}

export function declareArray(tile: StagedTile, stages: number): SharedArray {
  return { name: tile.array, type: { scalar: 'u32', lanes: 4 }, length: stages * stageLength(tile) };
}

/** Where pieces of a row lie in a stage, as far as the invocation decides it; constants are added by `placeAt`. */
export interface PiecePlace {
  readonly start: Expression;
  readonly piece: Expression;
}

/**
 * The place of a piece of a row. Power-of-two rows are permuted, others have an odd pitch: both avoid bank conflicts. With it
 * `placeAt` reaches rows further by multiples of 8, whose pattern is the same.
 */
export function findPlace(tile: StagedTile, row: Expression, piece: Expression, emitter: Emitter): PiecePlace {
  const start = emitter.hoist('row', i32, multiply(row, integer(pitchOf(tile))));
  const width = tile.inBlocks ? blockPieces : tile.pieces;
  if (!isPowerOfTwo(width) || width === 1) return { start, piece };
  // Eight rows of a fragment times 16 bytes are all 32 banks: rows that share them differ in these bits.
  const sharing = Math.max(1, 8 / width);
  const number = sharing === 1 ? row : binary('shift_right', row, integer(Math.log2(sharing)));
  const pattern = emitter.hoist('x', i32, binary('and', number, integer(Math.min(8, width) - 1)));
  return { start, piece: emitter.hoist('x', i32, binary('xor', piece, pattern)) };
}

/**
 * The element of a place, `rows` (a multiple of 8) and `pieces` further. The pieces have no bit in common with the place's own
 * piece, so that both are permuted apart: one instruction where a register would be held through the loop.
 */
export function placeAt(tile: StagedTile, place: PiecePlace, rows: number, pieces: number): Expression {
  const pitch = pitchOf(tile);
  const block = tile.inBlocks ? Math.floor(pieces / blockPieces) : 0;
  const within = pieces - block * blockPieces;
  const isPermuted = isPowerOfTwo(tile.inBlocks ? blockPieces : tile.pieces);
  const further =
    within === 0
      ? place.piece
      : isPermuted
        ? binary('xor', place.piece, integer(within))
        : add(place.piece, integer(within));
  return add(add(place.start, further), integer(rows * pitch + block * blockLength(tile)));
}

/**
 * Brings a chunk of an operand into a stage, all invocations together: copies it, zeros where the operand has none, or decodes it on the
 * way through registers.
 */
export class StageCopier {
  private readonly places: PiecePlaces;

  constructor(
    at: Coordinates,
    private readonly elements: Elements,
    private readonly emitter: Emitter,
    private readonly invocations: number,
  ) {
    this.places = new PiecePlaces(at, emitter);
  }

  /**
   * Reads what the invocation's pieces of a chunk of encoded rows are made of. What comes back decodes and stores them, and may be called
   * in the same scope later. Past the end of the contracted axis other numbers are decoded: the left operand has zeros there.
   */
  decode(tile: StagedTile, chunkAxis: string, base: Expression, stage: Expression): () => void {
    const { source, operands } = tile;
    if (source.kind !== 'decode' || operands === 'f8e4m3') throw new Error('internal: nothing to decode');
    const { emitter, elements, invocations } = this;
    const total = tile.rows * tile.pieces;
    const stores: (() => void)[] = [];
    for (let first = 0; first < total; first += invocations) {
      const number = emitter.hoist('piece', i32, add({ kind: 'builtin', name: 'local_index' }, integer(first)));
      const isWhole = first + invocations <= total;
      const inside = isWhole ? undefined : emitter.hoist('c', bool, binary('less', number, integer(total)));
      const { row, piece, place } = this.locate(tile, first, number);
      const position = this.places.clampAll(this.places.coordinatesOf(tile, row, piece, chunkAxis, base));
      const decode = elements.decodeEight(source, position, tile.alongAxis);
      stores.push(() => {
        const pairs = decode().flatMap((four) =>
          [[0, 1], [2, 3]].map((lanes): Expression => ({ kind: 'pack', to: operands, operand: { kind: 'shuffle', operand: four, lanes } })),
        ); // prettier-ignore
        const value = emitter.bind('d', { scalar: 'u32', lanes: 4 }, { kind: 'vector', parts: pairs });
        const index = emitter.hoist('s', i32, add(stage, place));
        emitter.when(inside, () => emitter.push({ kind: 'store_shared', array: tile.array, index, value }));
      });
    }
    return () => stores.forEach((store) => store());
  }

  /** `base`: where the chunk of `chunkAxis` begins. `stage`: the first element of the stage. */
  copy(tile: StagedTile, chunkAxis: string, base: Expression, stage: Expression): void {
    const { emitter, invocations } = this;
    const total = tile.rows * tile.pieces;
    const local: Expression = { kind: 'builtin', name: 'local_index' };
    for (let first = 0; first < total; first += invocations) {
      const number = emitter.hoist('piece', i32, add(local, integer(first)));
      const isWhole = first + invocations <= total;
      const inside = isWhole ? undefined : emitter.hoist('c', bool, binary('less', number, integer(total)));
      emitter.when(inside, () => {
        const { row, piece, place } = this.locate(tile, first, number);
        const index = emitter.hoist('s', i32, add(stage, place));
        this.copyPiece(tile, row, piece, chunkAxis, base, index);
      });
    }
  }

  /** Row, piece and place of the piece that the invocation copies in a round that starts at piece `first`. */
  private locate(
    tile: StagedTile,
    first: number,
    number: Expression,
  ): { readonly row: Expression; readonly piece: Expression; readonly place: Expression } {
    const { emitter, invocations } = this;
    const local: Expression = { kind: 'builtin', name: 'local_index' };
    const rowOf = (piece: Expression): Expression =>
      emitter.hoist('row', i32, binary('div', piece, integer(tile.pieces)));
    const pieceOf = (piece: Expression): Expression =>
      emitter.hoist('piece', i32, binary('mod', piece, integer(tile.pieces)));
    const rowsARound = invocations / tile.pieces;
    // Rounds of whole rows, eight at a time, differ by a constant.
    if (rowsARound % 8 === 0 && !(tile.inBlocks && tile.pieces > blockPieces)) {
      const piece = pieceOf(local);
      const further = (first / invocations) * rowsARound;
      const place = placeAt(tile, findPlace(tile, rowOf(local), piece, emitter), further, 0);
      return { row: add(rowOf(local), integer(further)), piece, place: emitter.hoist('p', i32, place) };
    }
    const [row, piece] = [rowOf(number), pieceOf(number)];
    return { row, piece, place: this.placeOf(tile, row, piece) };
  }

  private placeOf(tile: StagedTile, row: Expression, piece: Expression): Expression {
    const { emitter } = this;
    if (!tile.inBlocks || tile.pieces <= blockPieces) {
      return emitter.hoist('p', i32, placeAt(tile, findPlace(tile, row, piece, emitter), 0, 0));
    }
    const block = emitter.hoist('b', i32, binary('div', piece, integer(blockPieces)));
    const within = emitter.hoist('b', i32, binary('mod', piece, integer(blockPieces)));
    const start = emitter.hoist('b', i32, multiply(block, integer(blockLength(tile))));
    return emitter.hoist('p', i32, add(start, placeAt(tile, findPlace(tile, row, within, emitter), 0, 0)));
  }

  private copyPiece(
    tile: StagedTile,
    row: Expression,
    piece: Expression,
    chunkAxis: string,
    base: Expression,
    index: Expression,
  ): void {
    const { source } = tile;
    if (source.kind !== 'load') throw new Error('internal: encoded rows are not copied');
    const { from, valid } = this.places.read(source, tile, row, piece, chunkAxis, base);
    this.emitter.push({ kind: 'copy_async', array: tile.array, index, buffer: source.buffer, from, valid });
  }
}

/** What a piece of an operand's tile is of: rows along one axis, each along another. */
export interface PieceAxes {
  readonly rowAxis: string;
  readonly alongAxis: string;
  /** Numbers in a piece. */
  readonly rowLength: number;
}

/** Places of pieces in chunks of an axis. */
export class PiecePlaces {
  constructor(
    private readonly at: Coordinates,
    private readonly emitter: Emitter,
  ) {}

  /** On the axes of the rows and along them: the first coordinate of a piece, and how many it has of each. `base`: where the chunk begins. */
  coordinatesOf(
    { rowAxis, alongAxis, rowLength }: PieceAxes,
    row: Expression,
    piece: Expression,
    chunkAxis: string,
    base: Expression,
  ): readonly (readonly [axis: string, first: Expression, count: number])[] {
    const { at, emitter } = this;
    const baseOf = (axis: string): Expression => (axis === chunkAxis ? base : at.base(axis));
    const along = emitter.hoist('along', i32, multiply(piece, integer(rowLength)));
    return [
      [rowAxis, emitter.hoist(rowAxis, i32, add(baseOf(rowAxis), row)), 1],
      [alongAxis, emitter.hoist(alongAxis, i32, add(baseOf(alongAxis), along)), rowLength],
    ];
  }

  /** Of a load: the group of numbers that it reads for a piece, and whether the piece has numbers. */
  read(
    source: TileLoad,
    tile: PieceAxes,
    row: Expression,
    piece: Expression,
    chunkAxis: string,
    base: Expression,
  ): { readonly from: Expression; readonly valid: Expression } {
    const { at, emitter } = this;
    const coordinates = this.coordinatesOf(tile, row, piece, chunkAxis, base);
    const exact: Position = new Map(coordinates.map(([axis, coordinate]) => [axis, { coordinate }]));
    const clamped: Position = new Map(
      coordinates.map(([axis, coordinate, length]) => {
        if (!at.isRagged(axis)) return [axis, { coordinate }];
        return [axis, { coordinate: this.clamp(axis, coordinate, length) }];
      }),
    );
    const guards = at.conditions(source.conditions, clamped);
    // Past the end of the contracted axis zeros are added; other rows past an end are computed and not stored.
    const end = this.isBeforeEnd(chunkAxis, base, exact);
    const valid = guards === undefined ? end : emitter.hoist('c', bool, both(guards, end));
    const address = at.polynomial(source.index, clamped);
    const element = emitter.hoist('i', i32, add(address, { kind: 'parameter', name: `${source.buffer}_base` }));
    const from = emitter.hoist('q', i32, binary('shift_right', element, integer(Math.log2(tile.rowLength))));
    return { from, valid };
  }

  /** All coordinates of a piece inside of the extents. */
  clampAll(coordinates: readonly (readonly [axis: string, first: Expression, count: number])[]): Position {
    return new Map(
      coordinates.map(([axis, coordinate, length]) => [axis, { coordinate: this.clamp(axis, coordinate, length) }]),
    );
  }

  private clamp(axis: string, coordinate: Expression, length: number): Expression {
    const last = this.at.polynomial(this.at.axis(axis).extent.sub(length), new Map());
    return this.emitter.hoist(`${axis}_in`, i32, binary('min', coordinate, last));
  }

  /** Chunks are asked for ahead of their use, so the last ones asked for are past the end. */
  private isBeforeEnd(axis: string, base: Expression, exact: Position): Expression {
    const { at, emitter } = this;
    const first = at.isRagged(axis) ? (exact.get(axis)?.coordinate ?? base) : base;
    const extent = at.polynomial(at.axis(axis).extent, new Map());
    return emitter.hoist('c', bool, lessThan(first, extent));
  }
}

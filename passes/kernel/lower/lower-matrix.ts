import { add, builtin, i32, integer, multiply, register, vectorOf } from '../../../ir/kernel/expressions.js';
import type { Expression, SharedMatrix } from '../../../ir/kernel/thread.js';
import { productDepth } from '../../../ir/kernel/matrix-types.js';
import type { Schedule, TileKernel, TileStatement } from '../../../ir/kernel/tile.js';
import { flattenTileStatements } from '../../../ir/kernel/tile-walk.js';
import type { Elements } from './elements.js';
import { registerKey, type TileRegisters } from './tile-registers.js';
import type { Emitter } from './emitter.js';
import {
  asMatrixProduct,
  type Contract,
  findFresh,
  type Staged,
  type MatrixProduct,
  rowLengthOf,
} from './matrix-operands.js';
import type { Coordinates } from './positions.js';
import type { ChunkBody, OperandStages } from './operand-stages.js';
import { blockLength, findPlace, placeAt, type StagedTile } from './staging.js';

/** Depth of one product of fragments, in pieces of a row. */
const piecesOfDepth = 2;

export interface MatrixContext {
  readonly kernel: TileKernel;
  readonly schedule: Schedule;
  readonly at: Coordinates;
  readonly elements: Elements;
  readonly emitter: Emitter;
  readonly stages: OperandStages;
}

/**
 * Contractions as products of fragments (`mma`): operands go through workgroup memory in stages, copied ahead of their use
 * beside the computation; fragments are read from there, or packed from a tile's registers, whose spread is that of the
 * accumulators.
 */
export class MatrixLowering {
  /** Operands of the open chunk, with the first element of their stage. */
  private readonly staged = new Map<Staged, { readonly tile: StagedTile; readonly stage: Expression }>();
  /** Fragments of tiles that a loop leaves as they are, by tile, row and step. */
  private readonly packed = new Map<string, Expression>();
  /** Contractions that walk over chunks themselves. */
  private readonly walked = new Set<TileStatement>();
  /** Contractions whose accumulators were declared as 0 just before. */
  private readonly fresh: ReadonlySet<TileStatement>;
  private arrays = 0;

  constructor(private readonly context: MatrixContext) {
    this.fresh = findFresh(context.kernel.body);
  }

  /** A contraction over a loop axis, which is walked here, or over one that is open or held whole. */
  lowerContract(statement: Contract): void {
    const { at, kernel } = this.context;
    const product = asMatrixProduct(statement, kernel, at);
    if (product === undefined) throw new Error(`internal: the contraction of ${statement.name} multiplies no matrices`);
    const { over } = statement;
    if (at.axis(over).kind !== 'loop' || at.isOpen(over)) {
      this.multiply([[statement, product]], 0);
      return;
    }
    const loads = product.left.kind === 'memory' ? [product.left.load, product.right.source] : [product.right.source];
    // Only the unit itself reads its sums before the loop ends, so one product may be on its way behind the next.
    const inFlight = this.isShared ? 1 : 0;
    const tiles = this.plan([[statement, product]], loads);
    this.walked.add(statement);
    this.overChunks(over, tiles, inFlight, () => this.multiply([[statement, product]], inFlight));
  }

  private get isShared(): boolean {
    return this.context.schedule.matrix?.unit === 'wgmma';
  }

  /** Walks a loop axis whose body multiplies what lies along it; `apart` as `OperandStages.overChunks` has it. */
  lowerFor(axis: string, body: readonly TileStatement[], lowerBody: (isWhole: boolean) => void, apart = false): void {
    const { at, kernel } = this.context;
    const products = body.flatMap((statement): readonly (readonly [Contract, MatrixProduct])[] => {
      const product = statement.kind === 'contract' ? asMatrixProduct(statement, kernel, at) : undefined;
      return product === undefined ? [] : [[statement as Contract, product]];
    });
    const loads = products.flatMap(([, { left, right }]) =>
      left.kind === 'memory' ? [left.load, right.source] : [right.source],
    );
    this.packAhead(products, body);
    if (products.length < body.length || !this.isShared) {
      this.overChunks(axis, this.plan(products, loads), 0, lowerBody, apart);
      return;
    }
    // Nothing but products: they are on their way together, behind the next chunk's.
    this.overChunks(axis, this.plan(products, loads), 1, () => this.multiply(products, 1));
  }

  /** Packs what every chunk multiplies before the first: half the registers, and once. */
  private packAhead(products: readonly (readonly [Contract, MatrixProduct])[], body: readonly TileStatement[]): void {
    const { at } = this.context;
    const changed = new Set([...flattenTileStatements(body)].flatMap((one) => ('name' in one ? [one.name] : [])));
    for (const [{ over }, product] of products) {
      const { left, rows, operands } = product;
      if (left.kind !== 'tile' || changed.has(left.name)) continue;
      for (const row of range(at.spreadOf(rows).registers / 2)) {
        for (const step of range(at.axis(over).tile / productDepth(operands))) {
          const key = `${left.name} ${row} ${step}`;
          this.packed.set(key, this.leftFragment(product, row, step));
        }
      }
    }
  }

  private plan(
    products: readonly (readonly [Contract, MatrixProduct])[],
    loads: readonly Staged[],
  ): readonly StagedTile[] {
    const tiles: StagedTile[] = [];
    for (const [{ over }, { operands, left, right, rows, columns }] of products) {
      const rowLength = rowLengthOf(operands);
      const add = (source: Staged, rowAxis: string, alongAxis: string): void => {
        if (!loads.includes(source) || tiles.some((tile) => tile.source === source)) return;
        const [tall, wide] = [this.context.at.axis(rowAxis).tile, this.context.at.axis(alongAxis).tile];
        const array = `stage_${this.arrays++}`;
        const pieces = wide / rowLength;
        tiles.push({
          source,
          operands,
          array,
          rowAxis,
          rows: tall,
          alongAxis,
          pieces,
          rowLength,
          inBlocks: this.isShared,
        });
      };
      if (left.kind === 'memory') add(left.load, rows, over);
      if (right.byDepth) add(right.source, columns, over);
      else add(right.source, over, columns);
    }
    return tiles;
  }

  private overChunks(
    axis: string,
    tiles: readonly StagedTile[],
    inFlight: 0 | 1,
    body: (isWhole: boolean) => void,
    apart = false,
  ): void {
    const { at, stages } = this.context;
    const inChunk: ChunkBody = (start, stageOf, isWhole) => {
      for (const tile of tiles) this.staged.set(tile.source, { tile, stage: stageOf(tile) });
      at.setChunk(axis, start);
      body(isWhole);
      at.leaveChunk(axis);
      for (const { source } of tiles) this.staged.delete(source);
    };
    stages.overChunks(axis, tiles, inFlight, inChunk, apart);
  }

  /** Leaves at most `inFlight` groups of products on their way. */
  private multiply(products: readonly (readonly [Contract, MatrixProduct])[], inFlight: number): void {
    if (!this.isShared) {
      for (const [statement, product] of products) this.multiplyFragments(statement, product);
      return;
    }
    const { emitter } = this.context;
    // Packed before the unit starts: until it is done the registers stay as they are.
    const issues = products.map(([statement, product]) => this.prepareShared(statement, product));
    emitter.push({ kind: 'begin_products' });
    for (const issue of issues) issue();
    emitter.push({ kind: 'commit_products' });
    emitter.push({ kind: 'wait_products', pending: inFlight });
  }

  /** Operands from workgroup memory, for rows of four subgroups at a time; all columns of the tile in one instruction. */
  private prepareShared(statement: Contract, product: MatrixProduct): () => void {
    const { at, elements, emitter } = this.context;
    const { rows, columns, operands, left, right } = product;
    const tile = elements.tiles.get(statement.name) as TileRegisters;
    const wide = at.spreadOf(columns).registers;
    const accumulators = range(2 * wide).map((number) =>
      this.registerName(tile, rows, number % 2, columns, number >> 1),
    );
    const steps = range(at.axis(statement.over).tile / productDepth(operands));
    const fragments = left.kind === 'tile' ? steps.map((step) => this.leftFragment(product, 0, step)) : [];
    // In a walk over chunks the sums of one go on in the next.
    const isFresh = this.fresh.has(statement) && !this.walked.has(statement);
    return () => {
      for (const step of steps) {
        const a = fragments[step] ?? this.sharedLeft(product, step);
        const b = this.sharedMatrix(right.source, integer(0), step, right.byDepth);
        const fresh = isFresh && step === 0 && { fresh: true };
        emitter.push({ kind: 'multiply_shared', accumulators, operands, a, b, columns: 8 * wide, ...fresh });
      }
    };
  }

  /** The 64 rows of the left operand that this invocation's four subgroups multiply. */
  private sharedLeft({ left, rows }: MatrixProduct, step: number): SharedMatrix {
    if (left.kind !== 'memory') throw new Error('internal: a tile in registers lies in no workgroup memory');
    const first = this.hoist(multiply(this.quotient(this.context.at.group(rows), 4), integer(64)));
    return this.sharedMatrix(left.load, first, step, true);
  }

  /** From a row on, 16 places of the contracted axis from `step` on. */
  private sharedMatrix(load: Staged, row: Expression, step: number, byDepth: boolean): SharedMatrix {
    const { emitter } = this.context;
    const { tile, stage } = this.stagedOf(load);
    const piece = step * piecesOfDepth;
    const depth = piecesOfDepth * tile.rowLength;
    const within = byDepth ? Math.floor(piece / 8) * blockLength(tile) + (piece % 8) : step * depth * 8;
    const start = emitter.hoist('s', i32, add(stage, emitter.hoist('s', i32, multiply(row, integer(8)))));
    const index = emitter.hoist('s', i32, add(start, integer(within)));
    return { kind: 'shared_matrix', array: tile.array, index, byDepth, blockLength: blockLength(tile) };
  }

  private multiplyFragments(statement: Contract, product: MatrixProduct): void {
    const { at, elements, emitter } = this.context;
    const { rows, columns, operands } = product;
    const tile = elements.tiles.get(statement.name) as TileRegisters;
    const [tall, wide] = [at.spreadOf(rows).registers, at.spreadOf(columns).registers];
    const steps = at.axis(statement.over).tile / productDepth(operands);
    for (let step = 0; step < steps; step++) {
      const left = Array.from({ length: tall / 2 }, (_, row) => this.leftFragment(product, row, step));
      for (let pair = 0; pair < wide; pair += 2) {
        const right = this.rightFragments(product, pair, step);
        for (let column = pair; column < Math.min(wide, pair + 2); column++) {
          left.forEach((a, row) => {
            const accumulators = [2 * row, 2 * row + 1].map((at) => this.registerName(tile, rows, at, columns, column));
            const lanes = column === pair ? [0, 1] : [2, 3];
            const b: Expression = { kind: 'shuffle', operand: right, lanes };
            emitter.push({ kind: 'multiply_matrices', accumulators: accumulators as [string, string], operands, a, b });
          });
        }
      }
    }
  }

  /** 16 rows of the left operand from row 16·`row` of the subgroup's on, 16 columns from `step` on. */
  private leftFragment({ left, rows, operands }: MatrixProduct, row: number, step: number): Expression {
    const { elements, emitter } = this.context;
    if (left.kind === 'tile') {
      const known = this.packed.get(`${left.name} ${row} ${step}`);
      if (known !== undefined) return known;
      if (operands === 'f8e4m3') throw new Error('internal: numbers of 8 bits are not packed from registers');
      const tile = elements.tiles.get(left.name) as TileRegisters;
      const inner = tile.axes.at(-1) as string;
      // Rows l/4 and l/4 + 8 of eight columns, then of the next eight.
      const parts = [0, 1, 2, 3].map((part): Expression => {
        const name = this.registerName(tile, rows, 2 * row + (part & 1), inner, 2 * step + (part >> 1));
        return { kind: 'pack', to: operands, operand: register(name, vectorOf('f32', 2)) };
      });
      return emitter.bind('a', vectorOf('u32', 4), { kind: 'vector', parts });
    }
    const lane = builtin('subgroup_lane');
    // Lanes 0 to 15 name the rows of the first eight columns, lanes 16 to 31 of the next.
    const from = { row: this.rowOf(rows, this.modulo(lane, 16)), piece: this.quotient(lane, 16) };
    return this.loadMatrix(left.load, from, { rows: 16 * row, pieces: step * piecesOfDepth }, false);
  }

  /** Two fragments of the right operand side by side: 16 columns from 8·`column` of the subgroup's on. */
  private rightFragments({ operands, right, columns }: MatrixProduct, column: number, step: number): Expression {
    const lane = builtin('subgroup_lane');
    if (right.byDepth) {
      // Matrices: columns 0-7 with depth 0-7, with depth 8-15, then columns 8-15 likewise.
      const far = this.hoist(multiply(this.quotient(lane, 16), integer(8)));
      const row = this.rowOf(columns, this.hoist(add(far, this.modulo(lane, 8))));
      const from = { row, piece: this.modulo(this.quotient(lane, 8), 2) };
      return this.loadMatrix(right.source, from, { rows: 8 * column, pieces: step * piecesOfDepth }, false);
    }
    // Rows are depths: lanes 0 to 15 name 16 of them for columns 0-7, the others for columns 8-15.
    const own = this.rowOf(columns, this.hoist(multiply(this.quotient(lane, 16), integer(8))));
    const from = { row: this.modulo(lane, 16), piece: this.quotient(own, 8) };
    return this.loadMatrix(right.source, from, { rows: step * productDepth(operands), pieces: column }, true);
  }

  /** A coordinate of the workgroup's tile, from the first of the subgroup's part on. */
  private rowOf(axis: string, within: Expression): Expression {
    const { at } = this.context;
    const { registers, threads, vector } = at.spreadOf(axis);
    const part = multiply(at.group(axis), integer(registers * threads * vector));
    return this.hoist(add(this.hoist(part), within));
  }

  /** From the lane's row and piece on, rows and pieces further. */
  private loadMatrix(
    load: Staged,
    from: { readonly row: Expression; readonly piece: Expression },
    further: { readonly rows: number; readonly pieces: number },
    transposed: boolean,
  ): Expression {
    const { emitter } = this.context;
    const { tile, stage } = this.stagedOf(load);
    const { start, piece } = findPlace(tile, from.row, from.piece, emitter);
    const inStage = { start: emitter.hoist('s', i32, add(stage, start)), piece };
    const index = placeAt(tile, inStage, further.rows, further.pieces);
    return emitter.bind('f', vectorOf('u32', 4), { kind: 'load_matrix', array: tile.array, index, transposed });
  }

  private stagedOf(load: Staged): { readonly tile: StagedTile; readonly stage: Expression } {
    const staged = this.staged.get(load);
    if (staged === undefined) throw new Error(`internal: an operand is not in workgroup memory`);
    return staged;
  }

  private registerName(tile: TileRegisters, rows: string, row: number, columns: string, column: number): string {
    const position = new Map([
      [rows, { register: row, lane: 0 }],
      [columns, { register: column, lane: 0 }],
    ]);
    const found = tile.registers.get(registerKey(tile.axes, position));
    if (found?.kind !== 'register') throw new Error('internal: a tile register has no name');
    return found.name;
  }

  private quotient(value: Expression, by: number): Expression {
    if (value.kind === 'constant') return integer(Math.floor(value.value / by));
    return this.hoist({ kind: 'binary', operator: 'div', left: value, right: integer(by) });
  }

  private modulo(value: Expression, by: number): Expression {
    return this.hoist({ kind: 'binary', operator: 'mod', left: value, right: integer(by) });
  }

  private hoist(value: Expression): Expression {
    return this.context.emitter.hoist('l', i32, value);
  }
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, at) => at);
}

import { add, builtin, i32, integer, multiply, u32, vectorOf } from '../../../ir/kernel/expressions.js';
import type { Expression, SharedArray, SubgroupProduct } from '../../../ir/kernel/thread.js';
import type { Schedule, TileKernel, TileStatement } from '../../../ir/kernel/tile.js';
import { flattenTileStatements } from '../../../ir/kernel/tile-walk.js';
import type { Elements } from './elements.js';
import type { Emitter } from './emitter.js';
import { factorPitch, FactorStages, type FactorTile, packPairs } from './factor-stages.js';
import { type Contract, findFresh, type Staged } from './matrix-operands.js';
import type { Coordinates, Position } from './positions.js';
import { vectorPitch } from './share-rows.js';
import { asFactorProduct, type FactorOperand, factorPiece, type FactorProduct } from './subgroup-operands.js';
import type { TileLoops } from './tile-loops.js';
import { readRegister } from './tile-registers.js';

export interface SubgroupProductsContext {
  readonly kernel: TileKernel;
  readonly schedule: Schedule;
  readonly at: Coordinates;
  readonly elements: Elements;
  readonly emitter: Emitter;
  readonly loops: TileLoops;
  readonly invocations: number;
  declareShared(array: SharedArray): void;
  readVectors(buffer: string, scalar: 'u32' | 'f32'): void;
}

/** A factor in workgroup memory: where its rows begin, and words from one to the next. */
interface Placed {
  readonly array: string;
  readonly pitch: number;
}

interface Slab {
  readonly array: string;
  readonly columns: number;
  readonly pitch: number;
  readonly length: number;
}

/** Names of a subgroup's sums of a product, by rows and columns of matrices. */
type Sums = readonly (readonly string[])[];

interface Summed {
  readonly statement: Contract;
  readonly product: FactorProduct;
  readonly sums: Sums;
}

const vector = vectorOf('f32', 4);

/**
 * Contractions as products of matrices that lie in a subgroup's registers as only the driver knows. Operands go through workgroup memory; so
 * do the sums, a slab of rows at a time, to the registers of the accumulators' tile, which are spread as its epilogue likes. From there on all
 * is as in any other kernel.
 */
export class SubgroupProducts {
  private readonly stages: FactorStages;
  private readonly staged = new Map<Staged, Placed>();
  /** Tiles of registers in workgroup memory, by name. */
  private readonly packed = new Map<string, Placed>();
  /** Tiles that are packed before a loop that leaves them as they are. */
  private readonly still = new Set<string>();
  private readonly fresh: ReadonlySet<TileStatement>;
  private readonly product: SubgroupProduct;
  private arrays = 0;
  /** Where sums pass through: columns of a subgroup's part, vectors from one row to the next and of all rows. */
  private slab: Slab | undefined;
  /** Products whose sums are where a walk left them. */
  private walked: readonly Summed[] = [];
  /** Invocations may still be reading the slab. */
  private isSlabRead = false;

  constructor(private readonly context: SubgroupProductsContext) {
    const { kernel, schedule } = context;
    this.fresh = findFresh(kernel.body);
    if (schedule.matrix?.product === undefined) throw new Error('internal: a schedule without the size of a product');
    this.product = schedule.matrix.product;
    this.stages = new FactorStages({ ...context, barrier: () => this.barrier() });
  }

  /** A contraction over a loop axis, which is walked here, or over one that is open or held whole. */
  lowerContract(statement: Contract): void {
    const { at } = this.context;
    const product = this.productOf(statement);
    if (at.axis(statement.over).kind === 'loop' && !at.isOpen(statement.over)) {
      this.walk(statement.over, [[statement, product]]);
      return;
    }
    const sums = this.declareSums(product);
    this.multiply(statement, product, sums);
    sums.forEach((_, row) => this.deliverRow({ statement, product, sums }, row));
  }

  /** Walks a loop axis whose body multiplies what lies along it. */
  lowerFor(axis: string, body: readonly TileStatement[], lowerBody: (isWhole: boolean) => void): void {
    const { at } = this.context;
    const contracts = body.filter((statement) => statement.kind === 'contract');
    const products = contracts.map((statement) => [statement, this.productOf(statement)] as const);
    if (products.length === body.length && contracts.every(({ over }) => over === axis)) {
      this.walk(axis, products);
      return;
    }
    this.packAhead(products, body);
    this.stages.overChunks(axis, this.planTiles(products), (start) => {
      at.setChunk(axis, start);
      lowerBody(false);
      at.leaveChunk(axis);
    });
    this.staged.clear();
    if (this.walked.length > 0) throw new Error('internal: sums of a walk are in a loop that ends');
  }

  /** Products along one axis, whose sums go on from chunk to chunk. */
  private walk(axis: string, products: readonly (readonly [Contract, FactorProduct])[]): void {
    const { at } = this.context;
    const sums = products.map(([, product]) => this.declareSums(product));
    this.stages.overChunks(axis, this.planTiles(products), (start) => {
      at.setChunk(axis, start);
      products.forEach(([statement, product], place) => this.multiply(statement, product, sums[place] as Sums));
      at.leaveChunk(axis);
    });
    this.staged.clear();
    this.walked = products.map(([statement, product], place) => ({ statement, product, sums: sums[place] as Sums }));
  }

  /** What a walk has added up and left where it is: registers get it a row of matrices at a time (`deliverBand`). */
  get pending(): { readonly axis: string; readonly bands: number; readonly registers: number } | undefined {
    const [one] = this.walked;
    if (one === undefined) return undefined;
    const { rows } = one.product;
    return {
      axis: rows,
      bands: one.sums.length,
      registers: this.product.rows / this.context.at.spreadOf(rows).threads,
    };
  }

  /** Brings a row of matrices of sums into registers; `isLast`: there are no more. */
  deliverBand(band: number, isLast: boolean): void {
    for (const one of this.walked) this.deliverRow(one, band);
    if (isLast) this.walked = [];
  }

  private productOf(statement: Contract): FactorProduct {
    const { kernel, at } = this.context;
    const product = asFactorProduct(statement, kernel, at);
    if (product === undefined) throw new Error(`internal: the contraction of ${statement.name} multiplies no matrices`);
    return product;
  }

  private planTiles(products: readonly (readonly [Contract, FactorProduct])[]): readonly FactorTile[] {
    const { at } = this.context;
    const tiles: FactorTile[] = [];
    const plan = (operand: FactorOperand, rowAxis: string, alongAxis: string): void => {
      if (this.staged.has(operand.source)) return;
      const array = `stage_${this.arrays++}`;
      const [rows, columns] = [at.axis(rowAxis).tile, at.axis(alongAxis).tile];
      const pieces = columns / factorPiece;
      tiles.push({ operand, array, rowAxis, rows, alongAxis, pieces, rowLength: factorPiece });
      this.staged.set(operand.source, { array, pitch: factorPitch(columns) });
    };
    for (const [{ over }, { left, right, rows, columns }] of products) {
      if (left.kind === 'memory') plan(left.operand, rows, over);
      if (right.byDepth) plan(right.operand, columns, over);
      else plan(right.operand, over, columns);
    }
    return tiles;
  }

  /** Matrices of a subgroup's part of an axis. */
  private countOf(axis: string, size: number): number {
    const { registers, threads, vector: lanes } = this.context.at.spreadOf(axis);
    return (registers * threads * lanes) / size;
  }

  private declareSums({ rows, columns }: FactorProduct): Sums {
    const { emitter } = this.context;
    return range(this.countOf(rows, this.product.rows)).map((row) =>
      range(this.countOf(columns, this.product.columns)).map((column) => {
        const name = emitter.freshName(`sums_${row}_${column}`);
        emitter.push({ kind: 'declare_sums', name });
        return name;
      }),
    );
  }

  private multiply(statement: Contract, product: FactorProduct, sums: Sums): void {
    const { at, emitter } = this.context;
    const { rows, columns, left, right } = product;
    const a = left.kind === 'tile' ? this.pack(left.name) : this.placed(left.operand);
    const b = this.placed(right.operand);
    const [first, from] = [this.partOf(rows), this.partOf(columns)];
    const factor = (side: 'left' | 'right', { array, pitch }: Placed, start: Expression, byDepth: boolean): string => {
      const name = emitter.freshName(side);
      emitter.push({ kind: 'load_factor', name, side, array, index: this.hoist(start), pitch, byDepth });
      return name;
    };
    for (const step of range(at.axis(statement.over).tile / this.product.depth)) {
      const depth = step * this.product.depth;
      const lefts = sums.map((_, row) => {
        const place = multiply(this.hoist(add(first, integer(row * this.product.rows))), integer(a.pitch));
        return factor('left', a, add(this.hoist(place), integer(depth / 2)), true);
      });
      for (const column of range((sums[0] as readonly string[]).length)) {
        const outer = this.hoist(add(from, integer(column * this.product.columns)));
        const start = right.byDepth
          ? add(this.hoist(multiply(outer, integer(b.pitch))), integer(depth / 2))
          : add(this.hoist({ kind: 'binary', operator: 'shift_right', left: outer, right: integer(1) }), integer(depth * b.pitch)); // prettier-ignore
        const name = factor('right', b, start, right.byDepth);
        lefts.forEach((one, row) => {
          emitter.push({ kind: 'multiply_factors', sums: (sums[row] as readonly string[])[column] as string, left: one, right: name }); // prettier-ignore
        });
      }
    }
  }

  /** Where the subgroup's part of the workgroup's tile begins on an axis. */
  private partOf(axis: string): Expression {
    const { registers, threads, vector: lanes } = this.context.at.spreadOf(axis);
    return this.hoist(multiply(this.context.at.group(axis), integer(registers * threads * lanes)));
  }

  private placed({ source }: FactorOperand): Placed {
    const placed = this.staged.get(source);
    if (placed === undefined) throw new Error('internal: an operand is not in workgroup memory');
    return placed;
  }

  private packAhead(products: readonly (readonly [Contract, FactorProduct])[], body: readonly TileStatement[]): void {
    const changed = new Set([...flattenTileStatements(body)].flatMap((one) => ('name' in one ? [one.name] : [])));
    for (const [, { left }] of products) {
      if (left.kind !== 'tile' || changed.has(left.name)) continue;
      this.pack(left.name);
      this.still.add(left.name);
    }
  }

  /** Puts a tile of registers into workgroup memory as a left factor: rows along its last axis. */
  private pack(name: string): Placed {
    const { at, elements, emitter, loops } = this.context;
    const tile = loops.tile(name);
    const [rows, inner] = tile.axes.slice(-2) as [string, string];
    let placed = this.packed.get(name);
    if (placed !== undefined && this.still.has(name)) return placed;
    // Whoever still multiplies what was packed before.
    if (placed !== undefined) this.barrier();
    if (placed === undefined) {
      const pitch = factorPitch(at.axis(inner).tile);
      placed = { array: `packed_${this.arrays++}`, pitch };
      this.context.declareShared({ name: placed.array, type: u32, length: at.axis(rows).tile * pitch });
      this.packed.set(name, placed);
    }
    const { array, pitch } = placed;
    const own = add(this.partOf(rows), at.thread(rows));
    const start = add(multiply(this.hoist(own), integer(pitch)), multiply(at.thread(inner), integer(2)));
    for (const position of loops.registerPositions(tile.axes)) {
      const value = readRegister(name, elements.tiles.get(name) ?? tile, position, at, emitter);
      const further = this.registerAt(position, rows) * pitch + this.registerAt(position, inner) * 2;
      packPairs(value, emitter).forEach((word, place) => {
        const index = add(this.hoist(start), integer(further + place));
        emitter.push({ kind: 'store_shared', array, index, value: word });
      });
    }
    this.barrier();
    return placed;
  }

  /** Coordinates (of a row) or vectors (of columns) that a register lies behind the first of its invocation's. */
  private registerAt(position: Position, axis: string): number {
    return (position.get(axis)?.register ?? 0) * this.context.at.spreadOf(axis).threads;
  }

  /** Brings a row of matrices of sums into the registers of the accumulators' tile, as many columns at a time as a slab has. */
  private deliverRow({ statement, product: { rows, columns }, sums }: Summed, row: number): void {
    const { at, emitter, loops } = this.context;
    const tile = loops.tile(statement.name);
    const names = sums[row] as readonly string[];
    const { rows: height, columns: width } = this.product;
    const { array, columns: slab, pitch, length } = (this.slab ??= this.declareSlab());
    const start = this.hoist(multiply(builtin('subgroup_index'), integer(length)));
    const own = this.hoist(add(start, this.hoist(multiply(at.thread(rows), integer(pitch)))));
    const from = this.hoist(add(own, at.thread(columns)));
    for (const first of range((names.length * width) / slab).map((part) => (part * slab) / width)) {
      if (this.isSlabRead) this.barrier();
      for (const place of range(slab / width)) {
        const index = this.hoist(add(start, integer((place * width) / 4)));
        emitter.push({ kind: 'store_sums', sums: names[first + place] as string, array, index, pitch });
      }
      this.barrier();
      for (const position of loops.registerPositions(tile.axes)) {
        const down = this.registerAt(position, rows) - row * height;
        const across = this.registerAt(position, columns) - (first * width) / 4;
        if (down < 0 || down >= height || across < 0 || across >= slab / 4) continue;
        const index = add(from, integer(down * pitch + across));
        const sum = emitter.bind('sum', vector, { kind: 'load_shared', array, index, type: vector });
        const before: Expression = { kind: 'register', name: loops.nameOf(tile, position), type: vector };
        loops.assign(tile, position, this.fresh.has(statement) ? sum : add(before, sum));
      }
      this.isSlabRead = true;
    }
  }

  /** A subgroup's slab: rows of a matrix, so many columns and a vector more, so that rows lie in different banks. */
  private declareSlab(): Slab {
    const { schedule, invocations } = this.context;
    const { slab: columns = 0 } = schedule.matrix ?? {};
    const pitch = vectorPitch(columns);
    const length = this.product.rows * pitch;
    const array = `slab_${this.arrays++}`;
    const subgroups = invocations / (schedule.subgroupSize ?? invocations);
    this.context.declareShared({ name: array, type: vector, length: subgroups * length });
    return { array, columns, pitch, length };
  }

  private barrier(): void {
    this.context.emitter.push({ kind: 'barrier' });
    this.isSlabRead = false;
  }

  private hoist(value: Expression): Expression {
    return this.context.emitter.hoist('l', i32, value);
  }
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, at) => at);
}

import { bytesOfVector } from '../../../ir/kernel/bytes.js';
import { add, bool, i32, integer, lessThan, multiply, vectorOf } from '../../../ir/kernel/expressions.js';
import type { Expression, RegisterType } from '../../../ir/kernel/thread.js';
import { storageBytes } from '../../../ir/kernel/thread-interpret-memory.js';
import type { TileExpression, TileKernel, TileLoad, TileStatement } from '../../../ir/kernel/tile.js';
import { flattenTileStatements, walkTileExpressions } from '../../../ir/kernel/tile-walk.js';
import type { LaneContext } from './buffer-access.js';
import { wideFactor } from './elements.js';
import type { LoweringContext } from './lowering-context.js';
import { type Contract, findTileAxes } from './matrix-operands.js';
import type { Coordinates } from './positions.js';
import { readsVectors } from './reads-vectors.js';
import { shareRows, vectorPitch } from './share-rows.js';
import { PiecePlaces } from './staging.js';

export interface StagedFactorsContext extends LoweringContext {
  readonly kernel: TileKernel;
  /** Of a workgroup. */
  readonly invocations: number;
  /** Declares workgroup memory and gives its name, which begins with the hint. */
  declareShared(hint: string, type: RegisterType, length: number): string;
}

/** A chunk of one side of a product: vectors along the contracted axis, row after row. */
interface StagedSide {
  readonly factor: TileExpression;
  readonly array: string;
  readonly rowAxis: string;
  readonly isLeft: boolean;
}

/** A vector of a side's chunk that an invocation computes. */
interface StagedVector {
  readonly side: StagedSide;
  readonly row: Expression;
  /** Coordinates from the chunk's first on. */
  readonly along: Expression;
  /** Its place in workgroup memory. */
  readonly index: Expression;
  /** Whether the invocation has one in this round; always without it. */
  readonly inside: Expression | undefined;
}

/** What lies in workgroup memory: vectors of numbers along the contracted axis, or of words of bytes. */
interface StagedForm {
  readonly type: RegisterType;
  /** Coordinates of a vector. */
  readonly width: number;
}

const lanes = 4;
const numbers: StagedForm = { type: vectorOf('f32', lanes), width: lanes };
const bytes: StagedForm = { type: vectorOf('u32', lanes), width: bytesOfVector };

/**
 * Factors of products in workgroup memory, in f32 or as bytes: all invocations compute a chunk of them together, whatever is
 * to be computed, and multiply from there. The next chunk is read while this one is multiplied.
 */
export class StagedFactors {
  private readonly sides = new Map<TileExpression, StagedSide>();
  private readonly places: PiecePlaces;
  private form = numbers;

  constructor(private readonly context: StagedFactorsContext) {
    this.places = new PiecePlaces(context.at, context.emitter);
  }

  /** Walks the contracted axis; `step` multiplies a vector of it, of which a chunk has some. */
  overChunks(contracts: readonly Contract[], step: (register: number) => void): void {
    const { at, emitter } = this.context;
    const { over, inBytes } = contracts[0] as Contract;
    this.form = inBytes === true ? bytes : numbers;
    const { type } = this.form;
    const { extent, tile: chunk } = at.axis(over);
    const sides = contracts.flatMap((contract) => this.declare(contract, chunk));
    const all = sides.flatMap((side) => this.vectorsOf(side, chunk));
    const carried = all.map((one) =>
      emitter.declare('var', emitter.freshName('next'), type, this.compute(one, over, integer(0))),
    );
    emitter.loop(over, integer(0), at.polynomial(extent, new Map()), chunk, (start) => {
      emitter.push({ kind: 'barrier' });
      all.forEach((one, place) => this.store(one, carried[place] as Expression, over, start));
      emitter.push({ kind: 'barrier' });
      // On its way while this chunk is multiplied; stored when the next round begins.
      const next = emitter.hoist(over, i32, add(start, integer(chunk)));
      all.forEach((one, place) => {
        const { name } = carried[place] as Extract<Expression, { kind: 'register' }>;
        emitter.push({ kind: 'assign', name, value: this.compute(one, over, next) });
      });
      at.setChunk(over, start);
      for (let register = 0; register < at.spreadOf(over).registers; register++) step(register);
      at.leaveChunk(over);
    });
  }

  /** A factor's vector at a position of the accumulators and the contracted axis. */
  load(factor: TileExpression, { over }: Contract, { position }: LaneContext): Expression {
    const { at, emitter } = this.context;
    const side = this.sides.get(factor);
    if (side === undefined) throw new Error('internal: a factor is not in workgroup memory');
    const { threads, vector: width } = at.spreadOf(side.rowAxis);
    const { type } = this.form;
    const pitch = this.pitchOf(at.axis(over).tile);
    const { register = 0, lane = 0 } = position.get(side.rowAxis) ?? {};
    const own = emitter.hoist('s', i32, multiply(at.thread(side.rowAxis), integer(width * pitch)));
    const along = ((position.get(over)?.register ?? 0) * lanes) / this.form.width;
    const index = add(own, integer((register * threads * width + lane) * pitch + along));
    return emitter.bind('f', type, { kind: 'load_shared', array: side.array, index, type });
  }

  /** Vectors from one row of a chunk to the next. */
  private pitchOf(chunk: number): number {
    return vectorPitch((chunk / this.form.width) * lanes);
  }

  private declare({ name, a, b }: Contract, chunk: number): readonly StagedSide[] {
    const { at, kernel } = this.context;
    const [rows, columns] = findTileAxes(kernel, name).slice(-2) as [string, string];
    return [[a, rows, true] as const, [b, columns, false] as const].flatMap(([factor, rowAxis, isLeft]) => {
      // Products of one left operand share it.
      if (this.sides.has(factor)) return [];
      const array = this.context.declareShared('staged', this.form.type, at.axis(rowAxis).tile * this.pitchOf(chunk));
      const side: StagedSide = { factor, array, rowAxis, isLeft };
      this.sides.set(factor, side);
      return [side];
    });
  }

  /** The vectors of a chunk that are the invocation's. */
  private vectorsOf(side: StagedSide, chunk: number): readonly StagedVector[] {
    const { at, emitter, invocations } = this.context;
    const { width } = this.form;
    return shareRows(emitter, at.axis(side.rowAxis).tile, chunk / width, invocations).map(({ row, part, inside }) => {
      const start = emitter.hoist('s', i32, multiply(row, integer(this.pitchOf(chunk))));
      const along = emitter.hoist('t', i32, multiply(part, integer(width)));
      return { side, row, along, index: emitter.hoist('s', i32, add(start, part)), inside };
    });
  }

  /** Of the chunk that begins at `start`; of something else past the end. */
  private compute({ side, row, along }: StagedVector, over: string, start: Expression): Expression {
    const { at, elements, emitter } = this.context;
    const { factor, rowAxis } = side;
    const from = emitter.hoist(over, i32, add(start, along));
    const position = this.places.clampAll([
      [rowAxis, emitter.hoist(rowAxis, i32, add(at.base(rowAxis), row)), 1],
      [over, from, this.form.width],
    ]);
    if (this.form === bytes) return elements.access.loadWords(factor as TileLoad, over, position);
    return elements.computeFactor(factor, { position, axis: over, lanes });
  }

  private store({ side, along, index, inside }: StagedVector, read: Expression, over: string, start: Expression): void {
    const { at, emitter } = this.context;
    let value = read;
    // Zeros past the end of the contracted axis: one side of a product is enough. Chunks past it are never stored.
    if (side.isLeft && at.isRagged(over)) {
      const end = at.polynomial(at.axis(over).extent, new Map());
      const holds = emitter.hoist('c', bool, lessThan(emitter.hoist(over, i32, add(start, along)), end));
      const condition: Expression = { kind: 'splat', lanes, operand: holds };
      const { type } = this.form;
      value = emitter.bind('v', type, { kind: 'select', condition, yes: read, no: { kind: 'constant', type, value: 0 } }); // prettier-ignore
    }
    emitter.when(inside, () => emitter.push({ kind: 'store_shared', array: side.array, index, value }));
  }
}

/**
 * Whether a kernel's factors can be staged: all of them can be computed in vectors along a contracted axis of a known length and read nothing
 * else, and stores are of whole words, none of which neighbouring columns share.
 */
export function canStageFactors(kernel: TileKernel, at: Coordinates): boolean {
  return [...flattenTileStatements(kernel.body)].every((statement) => {
    if (statement.kind === 'store') return storesWords(statement, kernel, at);
    if (statement.kind !== 'contract') return true;
    const { extent, tile } = at.axis(statement.over);
    const { constant } = extent;
    if (statement.inBytes === true) return extent.isMultipleOf(tile) && tile % bytesOfVector === 0;
    if (constant === undefined || constant < lanes || constant % lanes !== 0) return false;
    return [statement.a, statement.b].every((factor) => {
      let isPlain = true;
      walkTileExpressions([factor], (part) => {
        if (part.kind === 'decode' || part.kind === 'tile' || part.kind === 'exchange') isPlain = false;
      });
      // A chunk's positions have coordinates only.
      return isPlain && readsVectors(wideFactor(factor), statement.over, lanes, at, new Map());
    });
  });
}

function storesWords(
  { buffer, axes }: Extract<TileStatement, { kind: 'store' }>,
  kernel: TileKernel,
  at: Coordinates,
): boolean {
  const storage = kernel.buffers.find(({ name }) => name === buffer)?.storage;
  const inner = axes.at(-1);
  const { vector: width } = inner === undefined ? { vector: 1 } : at.spreadOf(inner);
  return storage === undefined || width * storageBytes(storage) >= 4;
}

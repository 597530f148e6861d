import type { Target } from '../../backends/target.js';
import type { Dim } from '../../ir/dim.js';
import { opTable } from '../../ir/graph/ops/index.js';
import { equalShapes } from '../../ir/graph/types.js';
import type { Block, Operation, Value } from '../../ir/graph/graph.js';
import { waysToMeeting } from './meeting-pieces.js';
import type { Uses } from './uses.js';

/**
 * Whether heads and gated pairs of one product are one kernel: where it was measured to take no longer than two, on a
 * processor's loops and lanes of 8 (lavapipe). With lanes of 4 (SwiftShader) the embedded model's step takes 9 % longer, whose
 * heads of 48 leave gates a worse tile. On GPUs heads take other tiles than gates do (on an H200 120 to 134 TFLOP/s through
 * matrices of subgroups, gates 175), and one kernel would have those of heads.
 */
export function joinsGates({ stagingPays, matrix, loops, subgroups }: Target): boolean {
  if (stagingPays || matrix !== undefined) return false;
  return loops !== undefined || (subgroups !== undefined && subgroups.min >= 8);
}

/** What belongs to one kernel, in the block's order, and what it makes. */
export interface HeadsGroup {
  readonly operations: readonly Operation[];
  readonly results: readonly Value[];
}

/**
 * Finds products whose columns are heads that are normalised, and turned, one by one: queries and keys, with the values
 * beside them. One kernel does it all while a head's columns are in a workgroup's registers, where the product went through
 * memory twice and took a launch for each of queries and keys.
 *
 * The product may be scaled by elementwise operations before. Each piece of it (its split's results, or all of it) is read by
 * one reshape to heads, and that by rms_norm and rope or by anything, or has pairs of a gate and its partner
 * (interleave-gates.ts), which meet in one value. All results are made where the group's last operation stood, so nothing may
 * read one before. Where pairs of rope are half a head apart, the norm stays a kernel of rows.
 *
 * @param target which takes gated pairs with the heads or not (`joinsGates`)
 */
export function findHeads(block: Block, uses: Uses, target: Target): readonly HeadsGroup[] {
  const search = new HeadsSearch(block, uses, joinsGates(target));
  return block.operations.flatMap((operation) => search.groupOf(operation) ?? []);
}

interface PieceOfHeads {
  readonly operations: readonly Operation[];
  readonly result: Value;
  /** Columns of a head. */
  readonly size: Dim;
}

class HeadsSearch {
  private readonly positions: ReadonlyMap<Operation, number>;
  /** The first operation of the block that reads a value, or has one in its body that does. */
  private readonly firstReader = new Map<Value, Operation>();

  constructor(
    block: Block,
    private readonly uses: Uses,
    private readonly takesPairs: boolean,
  ) {
    this.positions = new Map(block.operations.map((operation, position) => [operation, position]));
    for (const operation of block.operations) this.visit(operation, operation);
  }

  groupOf(product: Operation): HeadsGroup | undefined {
    if (product.kind !== 'matmul' || product.operands[1]?.type.shape.length !== 2) return undefined;
    const scaling = this.scalingOf(product.results[0] as Value);
    const whole = (scaling.at(-1) ?? product).results[0] as Value;
    const split = this.onlyReader(whole);
    const isSplit = split?.kind === 'split' && split.attributes.axis === whole.type.shape.length - 1;
    const operations: Operation[] = [product, ...scaling, ...(isSplit ? [split] : [])];
    const results: Value[] = [];
    const sizes = new Set<number | undefined>();
    let normalises = false;
    for (const piece of isSplit ? split.results : [whole]) {
      const heads = this.headsOf(piece) ?? this.pairsOf(piece);
      if (heads === undefined) return undefined;
      operations.push(...heads.operations);
      results.push(heads.result);
      sizes.add(heads.size.constant);
      normalises ||= heads.operations.some(({ kind }) => kind === 'rms_norm');
    }
    const [size] = sizes;
    if (!normalises || sizes.size !== 1 || size === undefined || size % 16 !== 0 || size > 256) return undefined;
    const inOrder = operations.sort((a, b) => this.positionOf(a) - this.positionOf(b));
    const last = this.positionOf(inOrder.at(-1) as Operation);
    const isReady = results.every((result) => {
      const reader = this.firstReader.get(result);
      return reader === undefined || this.positionOf(reader) > last;
    });
    return isReady ? { operations: inOrder, results } : undefined;
  }

  /** The elementwise operations of the product's shape that it goes through. */
  private scalingOf(product: Value): readonly Operation[] {
    const found: Operation[] = [];
    for (let value = product; ;) {
      const reader = this.onlyReader(value);
      if (reader === undefined || opTable[reader.kind].category !== 'pointwise') return found;
      const [result] = reader.results as readonly [Value];
      if (!equalShapes(result.type.shape, product.type.shape)) return found;
      found.push(reader);
      value = result;
    }
  }

  /** From a piece of the columns through the two of a pair, which meet in elementwise operations. */
  private pairsOf(piece: Value): PieceOfHeads | undefined {
    const reshape = this.onlyReader(piece);
    if (!this.takesPairs || reshape?.kind !== 'reshape') return undefined;
    const inPairs = reshape.results[0] as Value;
    const [batch, tokens, heads, pairs, two] = inPairs.type.shape;
    if (batch === undefined || tokens === undefined || heads === undefined || pairs === undefined) return undefined;
    if (two?.constant !== 2 || !equalShapes([batch, tokens], piece.type.shape.slice(0, -1))) return undefined;
    const split = this.onlyReader(inPairs);
    if (split?.kind !== 'split' || split.attributes.axis !== 4) return undefined;
    const halves = split.results.map((value) => this.onlyReader(value));
    const columns = [batch, tokens, heads.mul(pairs)];
    const areColumns = halves.every(
      (one) => one?.kind === 'reshape' && equalShapes((one.results[0] as Value).type.shape, columns),
    );
    if (halves.length !== 2 || !areColumns) return undefined;
    const [gate, up] = halves.map((one) => one?.results[0]) as [Value, Value];
    const meeting = waysToMeeting([gate, up], this.uses);
    const result = meeting?.at(-1)?.results[0];
    if (meeting === undefined || result === undefined) return undefined;
    return { operations: [reshape, split, ...(halves as Operation[]), ...meeting], result, size: pairs.mul(2) };
  }

  /** From a piece of the columns through its heads, their norm and rope. */
  private headsOf(piece: Value): PieceOfHeads | undefined {
    const reshape = this.onlyReader(piece);
    if (reshape?.kind !== 'reshape') return undefined;
    const heads = reshape.results[0] as Value;
    const { shape } = heads.type;
    const leading = piece.type.shape.slice(0, -1);
    if (shape.length !== 4 || leading.length !== 2 || !leading.every((dim, axis) => shape[axis]?.equals(dim))) {
      return undefined;
    }
    const size = shape[3] as Dim;
    const norm = this.onlyReader(heads);
    if (norm?.kind !== 'rms_norm' || norm.operands[0] !== heads) return { operations: [reshape], result: heads, size };
    const normal = norm.results[0] as Value;
    const rope = this.onlyReader(normal);
    if (rope?.kind !== 'rope' || rope.operands[0] !== normal) {
      return { operations: [reshape, norm], result: normal, size };
    }
    if (rope.attributes.style !== 'interleaved') return undefined;
    return { operations: [reshape, norm, rope], result: rope.results[0] as Value, size };
  }

  private onlyReader(value: Value): Operation | undefined {
    const reader = this.firstReader.get(value);
    return this.uses.count(value) === 1 && reader?.operands.includes(value) === true ? reader : undefined;
  }

  private positionOf(operation: Operation): number {
    return this.positions.get(operation) ?? -1;
  }

  private visit(operation: Operation, inBlock: Operation): void {
    for (const operand of operation.operands) this.addReader(operand, inBlock);
    for (const inner of operation.body?.operations ?? []) this.visit(inner, inBlock);
    for (const result of operation.body?.results ?? []) this.addReader(result, inBlock);
  }

  private addReader(value: Value, reader: Operation): void {
    if (!this.firstReader.has(value)) this.firstReader.set(value, reader);
  }
}

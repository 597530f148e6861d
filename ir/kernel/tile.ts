import type { Dim } from '../dim.js';
import type {
  BinaryOperator,
  BufferParameter,
  ScalarType,
  StorageType,
  UnaryOperator,
  SubgroupProduct,
} from './thread.js';

/**
 * Kernel IR, phase `tile`: what a workgroup does, on tiles over named axes. A tile is a register block whose elements are
 * addressed by axis coordinates; how coordinates are spread over invocations, registers and vector lanes is the
 * schedule's business, not the program's. The same program with another schedule is the same function.
 *
 * ```
 * kernel @linear (x: f32, w: bf16, out: f32) params(tokens)
 *   axis m = grid y, extent tokens, tile 32
 *   axis n = grid x, extent 1024, tile 32
 *   axis k = loop, extent 256, tile 4
 * {
 *   tile acc[m, n] = 0
 *   contract acc over k: x[m*256+k] * w[n*256+k]
 *   store out[m*1024+n] = silu(acc)
 * }
 * ```
 */
export interface TileKernel {
  readonly phase: 'tile';
  readonly name: string;
  readonly buffers: readonly TileBuffer[];
  /** Dim symbols that arrive at launch (sizes, view offsets, strides), sorted. */
  readonly parameters: readonly string[];
  readonly axes: readonly Axis[];
  /** Non-polynomial index terms, in definition order; their names are symbols in index polynomials. */
  readonly terms: readonly IndexTerm[];
  readonly body: readonly TileStatement[];
}

export interface TileBuffer {
  readonly name: string;
  readonly storage: StorageType;
  readonly access: BufferParameter['access'];
  /** Every view offset bound to this buffer is a multiple of so many elements; vector access needs 4. */
  readonly alignment: number;
}

/**
 * - `grid`: workgroup (x|y|z) covers `tile` coordinates
 * - `loop`: walked in chunks of `tile` by `contract`, `reduce` or `for`
 * - `whole`: the tile holds all of it (`extent` is constant and equals `tile`)
 */
export interface Axis {
  readonly name: string;
  readonly kind: 'grid_x' | 'grid_y' | 'grid_z' | 'loop' | 'whole';
  readonly extent: Dim;
  readonly tile: number;
}

/** An index: a polynomial over axis names, parameters and terms, in elements. */
export type IndexPolynomial = Dim;

/**
 * `floor` and `modulo` of a non-negative polynomial by a positive one; `exclusive_or` with a constant; `loaded`: an integer
 * read from a buffer (gather), clamped to 0..limit-1.
 */
export type IndexTerm =
  | { readonly name: string; readonly kind: 'floor' | 'modulo'; readonly of: IndexPolynomial; readonly by: Dim }
  | { readonly name: string; readonly kind: 'exclusive_or'; readonly of: IndexPolynomial; readonly mask: number }
  | {
      readonly name: string;
      readonly kind: 'loaded';
      readonly buffer: string;
      readonly at: IndexPolynomial;
      readonly limit: Dim;
    };

/** left < right, or left >= right. */
export interface IndexCondition {
  readonly kind: 'less' | 'not_less';
  readonly left: IndexPolynomial;
  readonly right: IndexPolynomial;
}

/** What a tile computes elementwise: the thread operators and the activations that lower to several of them. */
export type TileUnaryOperator = UnaryOperator | 'sigmoid' | 'silu' | 'gelu' | 'erf';

/**
 * A type of register; `f16`, `bf16` and `f8e4m3` round to the nearest of theirs, ties to even, and so does `i8`, to an i32 from -127 to 127.
 */
export type TileConversion = ScalarType | 'bf16' | 'f8e4m3' | 'i8';

/** One element of a tile computation; free axes are those of the statement it stands in. */
export type TileExpression =
  | { readonly kind: 'number'; readonly value: number }
  /** Element of a tile at the current coordinates (a tile over fewer axes broadcasts). */
  | { readonly kind: 'tile'; readonly name: string }
  /** An index as a number. */
  | { readonly kind: 'index'; readonly index: IndexPolynomial }
  /** Zero where a condition does not hold; the address is then not read. Coordinates past an axis' extent are clamped. */
  | {
      readonly kind: 'load';
      readonly buffer: string;
      readonly index: IndexPolynomial;
      readonly conditions: readonly IndexCondition[];
    }
  | { readonly kind: 'unary'; readonly operator: TileUnaryOperator; readonly operand: TileExpression }
  | {
      readonly kind: 'binary';
      readonly operator: BinaryOperator;
      readonly left: TileExpression;
      readonly right: TileExpression;
    }
  | {
      readonly kind: 'select';
      readonly condition: TileExpression;
      readonly yes: TileExpression;
      readonly no: TileExpression;
    }
  /** All conditions hold. */
  | {
      readonly kind: 'when';
      readonly conditions: readonly IndexCondition[];
      readonly yes: TileExpression;
      readonly no: TileExpression;
    }
  | { readonly kind: 'convert'; readonly to: TileConversion; readonly operand: TileExpression }
  /** The operand where the axis' coordinate has the mask's bits turned over: neighbours of a pair see each other. */
  | { readonly kind: 'exchange'; readonly axis: string; readonly mask: number; readonly operand: TileExpression }
  /**
   * A number of an encoded row at a column (`decodeElement`). Fields are what that column has in the arrays, in the order of `encodedFields`:
   * the words that its bits lie in and the numbers of its group.
   */
  | {
      readonly kind: 'decode';
      readonly encoding: string;
      readonly column: IndexPolynomial;
      readonly fields: readonly TileExpression[];
    };

export type TileLoad = Extract<TileExpression, { kind: 'load' }>;
export type TileDecode = Extract<TileExpression, { kind: 'decode' }>;

export type TileStatement =
  /** Declares a tile over axes, innermost (vectorised) last; assignable. */
  | { readonly kind: 'tile'; readonly name: string; readonly axes: readonly string[]; readonly value: TileExpression }
  | { readonly kind: 'assign'; readonly name: string; readonly value: TileExpression }
  /**
   * tile += sum over all of the axis of a·b (f32 accumulation). `inBytes`: both are loads of i8 numbers, 16 neighbours along the axis from
   * multiples of 16 on, and their sum is an exact i32 that is converted.
   */
  | {
      readonly kind: 'contract';
      readonly name: string;
      readonly over: string;
      readonly inBytes?: boolean;
      readonly a: TileExpression;
      readonly b: TileExpression;
    }
  /** tile = tile ∘ reduction of value over all of the axis, the tile's axes being the other free axes of value. */
  | {
      readonly kind: 'reduce';
      readonly name: string;
      readonly over: string;
      readonly operator: 'add' | 'max';
      /** What the value is past the axis' extent changes no result; otherwise it is not looked at there. */
      readonly padded?: boolean;
      readonly value: TileExpression;
    }
  /**
   * Walks a loop axis in chunks; in the body the axis is a tile axis of its chunk, so contract and reduce over it see one chunk. It is not
   * walked where a condition, the same for a whole workgroup, does not hold.
   */
  | {
      readonly kind: 'for';
      readonly axis: string;
      readonly conditions?: readonly IndexCondition[];
      readonly body: readonly TileStatement[];
    }
  /** For every coordinate of `axes` inside the extents. Values are of what the buffer held before the statement. */
  | {
      readonly kind: 'store';
      readonly buffer: string;
      readonly axes: readonly string[];
      readonly index: IndexPolynomial;
      readonly conditions: readonly IndexCondition[];
      readonly value: TileExpression;
    };

/**
 * How an axis' tile is spread: coordinate = ((group * registers + register) * threads + thread) * vector + lane;
 * groups·registers·threads·vector = tile.
 */
export interface AxisSpread {
  readonly threads: number;
  readonly registers: number;
  readonly vector: 1 | 2 | 4;
  /** Parts of the tile that different subgroups hold; 1 when left out. */
  readonly groups?: number;
  /** The axis whose `threads` these are: no tile has both. */
  readonly threadsOf?: string;
  /**
   * The axis whose `threads`, a subgroup, share out this axis' registers among themselves where they compute factors that are the same
   * for all of them: lane l computes every register r with r mod threads = l, and the others take it from there. `threads` is 1.
   */
  readonly dealtTo?: string;
  /**
   * What is loaded into tiles or stored register by register along this axis is a loop, which picks registers by comparing: for
   * drivers that take long to compile a load or a store, and longer the more there are.
   */
  readonly rolled?: boolean;
  /**
   * Of a whole axis with one thread: tiles over it lie in memory of the invocation, which is alone in its workgroup, and its registers
   * are steps of a loop: a processor with few registers has no room for more.
   */
  readonly walked?: true;
  /**
   * Of a loop axis: it is walked in a loop over sections of so many coordinates, each in a loop of its own. Quotients by a multiple of it
   * stand still in a section, and so do conditions on them: a section in which they all hold does not look at them.
   */
  readonly section?: number;
}

/**
 * A schedule is data: it can be printed, overridden and tuned. It never changes what a kernel computes, except for the
 * order of sums.
 */
export interface Schedule {
  readonly spread: Readonly<Record<string, AxisSpread>>;
  /** From the fastest varying part of the local index to the slowest: the threads of `axis`, the groups of `axis.groups`. */
  readonly threadOrder: readonly string[];
  /** Chunks of the contracted axis unrolled in the loop body. */
  readonly unroll: number;
  /**
   * Products of a vector along the contracted axis are added up in every step, so that a sum is one number: right where a vector is as many
   * registers. Otherwise a sum is a vector until the end.
   */
  readonly dots?: boolean;
  /**
   * Bytes are widened to integers of 32 bits, a factor once for all its products: for drivers that make plain arithmetic of products of packed
   * bytes, and do so for each.
   */
  readonly widensBytes?: true;
  /** Sums of lanes are made for one register of a tile's last axis after the other: registers hold no more at once. */
  readonly columnsApart?: true;
  /**
   * Of a vector of sums of dot products, those of so many lanes are made together, in a walk over the contracted axis of their own: few sums
   * at a time, and what follows them is computed for whole vectors.
   */
  readonly lanesTogether?: 1 | 2;
  /** Invocations that exchange registers; set when the lowering may rely on it. */
  readonly subgroupSize?: number;
  /**
   * Threads are counted by the lanes of subgroups and the subgroups of a workgroup, not by invocations: for drivers that may number them as
   * they like.
   */
  readonly bySubgroups?: true;
  /**
   * Factors of products pass through workgroup memory, where all invocations put them together, vectors along the contracted axis: each is
   * loaded once for all rows and columns of a workgroup's tile.
   */
  readonly staged?: true;
  /** Products go through matrix fragments, their operands through workgroup memory. */
  readonly matrix?: MatrixSchedule;
}

export interface MatrixSchedule {
  /**
   * Fragments in registers of a subgroup (`mma`), operands in workgroup memory for four subgroups (`wgmma`), or matrices of a subgroup that
   * only the driver knows the layout of (`subgroup`).
   */
  readonly unit: 'mma' | 'wgmma' | 'subgroup';
  /** Chunks of the operands that are in workgroup memory at once, one of them in use: 2 or more; 1 with unit `subgroup`. */
  readonly stages: number;
  /** What a subgroup multiplies at once; unit `subgroup`. */
  readonly product?: SubgroupProduct;
  /** Columns of sums that a subgroup puts into workgroup memory at once, from where its invocations take them; unit `subgroup`. */
  readonly slab?: number;
  /** Set where 128 invocations more only copy operands, by tensor maps, and workgroups walk over the tiles; unit `wgmma`. */
  readonly walk?: TileWalk;
}

/** Workgroups that run together share what they read where their tiles lie in a block. */
export interface TileWalk {
  /** Tiles in x that a block of tiles has, all when left out; all its tiles in y come before the next block. */
  readonly block?: number;
}

/** Invocations of one part of the local index, by its name in the thread order. */
export function threadsOfPart(schedule: Schedule, part: string): number {
  const axis = part.endsWith('.groups') ? part.slice(0, -'.groups'.length) : part;
  const spread = schedule.spread[axis];
  return (axis === part ? spread?.threads : spread?.groups) ?? 1;
}

import type { Dim } from '../dim.js';

/**
 * Kernel IR, phase `thread`: what one invocation of a workgroup does. Imperative and small on purpose: a backend prints
 * it in a hundred lines, the interpreter runs it in lockstep, WebAssembly is made from the same nodes.
 *
 * - Integers are i32 (indices), numbers f32 (f16 only where a schedule asks for it); vectors have 2 or 4 lanes.
 * - There are no register arrays: schedules unroll, every register has a name.
 * - A subgroup of 32 multiplies matrices from fragments (`load_matrix`, `multiply_matrices`) and moves data beside its
 *   computation (`copy_async`) where the target can; lane maps and order are those of the PTX ISA's `ldmatrix`, `mma.sync.m16n8k16`,
 *   `m16n8k32` and `cp.async`. Where the target can, one role of a workgroup copies (`copy_tensor`) what others multiply (`multiply_shared`).
 * - Buffers are read and written `lanes` elements at a time, indexed in units of `lanes`; narrow floats widen on load
 *   and round to nearest even on store (f8e4m3 to ±448 at most), so values in the body are never bf16 or f8e4m3.
 * - Bytes are multiplied four to a word (`dot_bytes`): a buffer or array of words, whatever stored them.
 */
export type ScalarType = 'f32' | 'f16' | 'i32' | 'u32' | 'bool';

export interface RegisterType {
  readonly scalar: ScalarType;
  readonly lanes: 1 | 2 | 4;
}

/** Element type in memory. `f8e4m3`, `i8`, `u8` and `bool` are one byte, read four at a time through a u32 word. */
export type StorageType = 'f32' | 'f16' | 'bf16' | 'f8e4m3' | 'i8' | 'i32' | 'u32' | 'u8' | 'bool';

export interface BufferParameter {
  readonly name: string;
  readonly storage: StorageType;
  /** Elements of one load or store. Stores of 16 bits need 2 or 4, of 8 bits 4. */
  readonly lanes: 1 | 2 | 4;
  readonly access: 'read' | 'write' | 'read_write';
}

export interface SharedArray {
  readonly name: string;
  readonly type: RegisterType;
  /** Elements of `type`. */
  readonly length: number;
}

/**
 * A rectangle of a buffer that `copy_tensor` reads boxes of (CUDA Driver API, `cuTensorMapEncodeTiled`). Polynomials are
 * over the kernel's size parameters; a launch evaluates them with the buffer's binding and `BUFFER_base`.
 */
export interface TensorMap {
  readonly name: string;
  readonly buffer: string;
  /** Elements before the first of the rectangle, from `BUFFER_base` on; 16 bytes divide both. */
  readonly offset: Dim;
  /** 2 to 5, the innermost first: its stride is 1 and its box 128 bytes. 16 bytes divide the other strides. */
  readonly dimensions: readonly TensorDimension[];
}

export interface TensorDimension {
  /** Elements. What a box has past them is zero in workgroup memory. */
  readonly extent: Dim;
  /** Elements from one to the next. */
  readonly stride: Dim;
  /** Elements of a copy: 1 to 256. */
  readonly box: number;
}

/**
 * Counters in workgroup memory that invocations and copies arrive at and others wait for (PTX ISA, `mbarrier`). A phase ends, and the next
 * begins, when `arrivals` arrivals have come and all bytes that were expected in it are there. All begin in phase 0.
 */
export interface BarrierArray {
  readonly name: string;
  readonly length: number;
  readonly arrivals: number;
}

/** The product that a subgroup makes at once: rows × depth by depth × columns (WGSL, `subgroup_matrix_*`). */
export interface SubgroupProduct {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
}

/** Consecutive invocations of a workgroup that do one thing while others do another (warp specialisation). */
export interface Role {
  readonly name: string;
  /** A multiple of 128. */
  readonly invocations: number;
  /** That each of its invocations may have: a multiple of 8 from 24 to 256. */
  readonly registers: number;
  readonly body: readonly Statement[];
}

export interface ThreadKernel {
  readonly phase: 'thread';
  readonly name: string;
  /** In binding order. */
  readonly buffers: readonly BufferParameter[];
  /**
   * i32 launch parameters, in uniform-block order. By convention `origin_x|y|z` (first workgroup of a split launch, added by
   * the `workgroup_*` builtins of the body itself) and `BUFFER_base` (elements before the view in its binding,
   * a multiple of the buffer's lanes).
   */
  readonly parameters: readonly string[];
  /** In the order of the function's arguments. */
  readonly tensorMaps?: readonly TensorMap[];
  readonly barriers?: readonly BarrierArray[];
  /**
   * A persistent kernel: any number of workgroups walks over the tiles of the launch, in one dimension; as many as run at once is
   * best. Then `tiles_x|y|z` are parameters, the workgroups the launch would have otherwise, and the body uses `group_index` and
   * `group_count`, no `workgroup_x|y|z`.
   */
  readonly walksTiles?: boolean;
  /** Invocations of a workgroup, one-dimensional. */
  readonly workgroupSize: number;
  readonly shared: readonly SharedArray[];
  /** Set when the body uses subgroup operations and relies on this size. */
  readonly subgroupSize?: number;
  /** Of `multiply_factors`; set when the body has some. */
  readonly subgroupProduct?: SubgroupProduct;
  readonly body: readonly Statement[];
}

/**
 * `group_index` and `group_count`: this workgroup's number and the number of all, in a launch whose workgroups walk over tiles.
 * `subgroup_index`: the subgroup's number in the workgroup, whose `local_index` is `subgroup_index` · subgroup size + `subgroup_lane` in a
 * kernel that uses it.
 */
export type Builtin =
  | 'workgroup_x'
  | 'workgroup_y'
  | 'workgroup_z'
  | 'local_index'
  | 'subgroup_lane'
  | 'subgroup_index'
  | 'group_index'
  | 'group_count';

/** `exp2` and `reciprocal` are what hardware has: up to 2 ulp off (WGSL: 2.5), subnormal results may be 0. */
export type UnaryOperator =
  'neg' | 'not' | 'abs' | 'exp' | 'exp2' | 'log' | 'sqrt' | 'rsqrt' | 'reciprocal' | 'sin' | 'cos' | 'tanh' | 'floor';

/** `div` and `mod` of i32 truncate (operands are non-negative by construction); `fma` may or may not be fused. */
export type BinaryOperator =
  | 'add'
  | 'sub'
  | 'mul'
  | 'div'
  | 'mod'
  | 'min'
  | 'max'
  | 'pow'
  | 'xor'
  | 'and'
  | 'or'
  | 'shift_left'
  | 'shift_right'
  | 'equal'
  | 'less'
  | 'less_equal';

/** Operands have equal types (no implicit conversion); comparisons give bool with the operands' lanes. */
export type Expression =
  | { readonly kind: 'constant'; readonly type: RegisterType; readonly value: number }
  /** A `let`, `var` or loop variable. */
  | { readonly kind: 'register'; readonly name: string; readonly type: RegisterType }
  | { readonly kind: 'parameter'; readonly name: string }
  | { readonly kind: 'builtin'; readonly name: Builtin }
  | { readonly kind: 'unary'; readonly operator: UnaryOperator; readonly operand: Expression }
  | {
      readonly kind: 'binary';
      readonly operator: BinaryOperator;
      readonly left: Expression;
      readonly right: Expression;
    }
  | { readonly kind: 'fma'; readonly a: Expression; readonly b: Expression; readonly c: Expression }
  | { readonly kind: 'select'; readonly condition: Expression; readonly yes: Expression; readonly no: Expression }
  /** Value conversion between scalar types, lanes unchanged; float to int truncates. */
  | { readonly kind: 'convert'; readonly to: ScalarType; readonly operand: Expression }
  /** Bits unchanged: f32 <-> u32 <-> i32. */
  | { readonly kind: 'bitcast'; readonly to: ScalarType; readonly operand: Expression }
  /** `index` in units of the buffer's lanes. Type: f32 for float storage, i32/u32 for integers, i32 for i8 and u8, bool for bool. */
  | { readonly kind: 'load'; readonly buffer: string; readonly index: Expression; readonly type: RegisterType }
  | { readonly kind: 'load_shared'; readonly array: string; readonly index: Expression; readonly type: RegisterType }
  | { readonly kind: 'splat'; readonly lanes: 2 | 4; readonly operand: Expression }
  | { readonly kind: 'vector'; readonly parts: readonly Expression[] }
  | { readonly kind: 'lane'; readonly operand: Expression; readonly lane: number }
  | { readonly kind: 'shuffle'; readonly operand: Expression; readonly lanes: readonly number[] }
  /** One of 16 f32 numbers in each lane, by a u32 from 0 to 15. `subgroup_lookup` takes it from lanes of a subgroup of 8 or more. */
  | {
      readonly kind: 'lookup' | 'subgroup_lookup';
      readonly values: readonly number[];
      readonly operand: Expression;
    }
  /** a·b summed over the lanes, in f32. */
  | { readonly kind: 'dot'; readonly a: Expression; readonly b: Expression }
  /**
   * Products of signed bytes, four in each word, the first in the lowest bits, added up exactly. Of words (u32) all four, an i32 (WGSL,
   * `dot4I8Packed`). Of u32x4, 16 bytes, an i32x4: lane l adds up bytes 2l, 2l + 1, 2l + 8 and 2l + 9, as processors leave them that multiply
   * widened halves and add up pairs (WebAssembly, `i32x4.dot_i16x8_s`). Whoever wants all 16 adds up the lanes.
   */
  | { readonly kind: 'dot_bytes'; readonly a: Expression; readonly b: Expression }
  /** Lane `source` (constant) of the subgroup. */
  | { readonly kind: 'subgroup_broadcast'; readonly operand: Expression; readonly source: number }
  | { readonly kind: 'subgroup_reduce'; readonly operator: 'add' | 'max'; readonly operand: Expression }
  /** The operand of lane `own ^ mask` of the subgroup. */
  | { readonly kind: 'subgroup_exchange'; readonly operand: Expression; readonly mask: number }
  /** f32x2 rounded to nearest even, in one u32: lane 0 in the low half. */
  | { readonly kind: 'pack'; readonly to: HalfType; readonly operand: Expression }
  /**
   * Four 8×8 matrices of 16-bit numbers from a u32x4 array: element `index` of lane 8·i + r is row r of matrix i (16 bytes). Lane l
   * gets a u32 of each, with columns 2·(l mod 4) and the next of row l/4; `transposed`: rows and columns the other way around. Of
   * 8-bit numbers (not `transposed`), 16 to a row, the same u32 has columns 4·(l mod 4) and the next three.
   */
  | { readonly kind: 'load_matrix'; readonly array: string; readonly index: Expression; readonly transposed: boolean };

export type Statement =
  | { readonly kind: 'let'; readonly name: string; readonly type: RegisterType; readonly value: Expression }
  | { readonly kind: 'var'; readonly name: string; readonly type: RegisterType; readonly value: Expression }
  | { readonly kind: 'assign'; readonly name: string; readonly value: Expression }
  | { readonly kind: 'store'; readonly buffer: string; readonly index: Expression; readonly value: Expression }
  | { readonly kind: 'store_shared'; readonly array: string; readonly index: Expression; readonly value: Expression }
  /** for (i32 variable = start; variable < end; variable += step); `end` is evaluated once. */
  | {
      readonly kind: 'for';
      readonly variable: string;
      readonly start: Expression;
      readonly end: Expression;
      readonly step: number;
      readonly body: readonly Statement[];
    }
  | {
      readonly kind: 'if';
      readonly condition: Expression;
      readonly then: readonly Statement[];
      readonly otherwise?: readonly Statement[];
    }
  /** All invocations of the workgroup arrive, shared memory is visible; only in uniform control flow. */
  | { readonly kind: 'barrier' }
  /**
   * 16 bytes from `from` (in units of 16 bytes) of a buffer into element `index` of a u32x4 array, zeros where not `valid` (nothing
   * is read then). What was copied is there after the `wait_copies` of the invocation that copied, for others after a barrier.
   */
  | {
      readonly kind: 'copy_async';
      readonly array: string;
      readonly index: Expression;
      readonly buffer: string;
      readonly from: Expression;
      readonly valid: Expression;
    }
  /** Closes a group of the invocation's copies. */
  | { readonly kind: 'commit_copies' }
  /** Waits until at most `pending` of the invocation's groups are not done, oldest first. */
  | { readonly kind: 'wait_copies'; readonly pending: number }
  /**
   * accumulators += a · b, 16×16 by 16×8 (8-bit numbers: 16×32 by 32×8), by the whole subgroup. Lane l holds of the sum columns
   * 2·(l mod 4) and the next, row l/4 in the first `var` (f32x2), row l/4 + 8 in the second; `a` is u32x4, `b` u32x2, as `load_matrix`
   * gives them: word w of `a` has of row l/4 + 8·(w mod 2) what lies in piece w/2 of the 32 bytes, word w of `b` of column l/4.
   */
  | {
      readonly kind: 'multiply_matrices';
      readonly accumulators: readonly [string, string];
      readonly operands: MatrixType;
      readonly a: Expression;
      readonly b: Expression;
    }
  /**
   * accumulators += a · b, 64×16 by 16×columns (8-bit numbers: 64×32 by 32×columns), by four subgroups (PTX ISA, `wgmma.m64nNk16`,
   * `m64nNk32`), beside the computation: the sums are there after `wait_products`, and until then neither they nor the operands may be
   * touched. Subgroup s holds rows 16·s on; lane l of it, for each eight columns, a pair of `var` (f32x2) as in `multiply_matrices`.
   */
  | {
      readonly kind: 'multiply_shared';
      readonly accumulators: readonly string[];
      readonly operands: MatrixType;
      /** 64 rows in workgroup memory, or (16 bits) a u32x4 of 16 rows of each subgroup. */
      readonly a: SharedMatrix | Expression;
      readonly b: SharedMatrix;
      readonly columns: number;
      /** The sums begin with this product: the accumulators' numbers before it do not matter. */
      readonly fresh?: boolean;
    }
  /**
   * Sums of a subgroup: `subgroupProduct.rows` × `columns` in f32, all 0. Which invocation holds which is the target's business: they are
   * only added to and stored. Lives as a `var` does, in a name of its own kind.
   */
  | { readonly kind: 'declare_sums'; readonly name: string }
  /**
   * A factor of f16 numbers from a u32 array, two to a word, the first in the low half; `index` and `pitch` count words, and `index` is equal
   * for all of the subgroup. Number (r, k) of a left factor (rows × depth) is number k of row r, which begins at word index + r·pitch; number
   * (k, c) of a right one (depth × columns) is number k of row c where it lies `byDepth`, number c of row k otherwise. Left ones do.
   */
  | {
      readonly kind: 'load_factor';
      readonly name: string;
      readonly side: 'left' | 'right';
      readonly array: string;
      readonly index: Expression;
      readonly pitch: number;
      readonly byDepth: boolean;
    }
  /** sums += left · right, by the whole subgroup. */
  | { readonly kind: 'multiply_factors'; readonly sums: string; readonly left: string; readonly right: string }
  /** Row r of the sums into a f32x4 array from element index + r·pitch on; `index` is equal for all of the subgroup. */
  | {
      readonly kind: 'store_sums';
      readonly sums: string;
      readonly array: string;
      readonly index: Expression;
      readonly pitch: number;
    }
  /** What the invocation wrote to workgroup memory is seen by `multiply_shared` after the next barrier. */
  | { readonly kind: 'share_writes' }
  /** The invocation's registers are ready for the products that follow. */
  | { readonly kind: 'begin_products' }
  /** Closes a group of products. */
  | { readonly kind: 'commit_products' }
  /** Waits until at most `pending` groups of products are not done, oldest first. */
  | { readonly kind: 'wait_products'; readonly pending: number }
  /**
   * The workgroup parts: the first role's invocations come first in the local index, all together they are the workgroup. Only in
   * the kernel's own body, once; inside, `barrier` stands nowhere and what subgroups do together they do within the role.
   */
  | { readonly kind: 'roles'; readonly roles: readonly Role[] }
  /**
   * The box of a tensor map at coordinates `at` (elements, innermost first) into a u32x4 array from element `index` on, a multiple of
   * 64 (8 rows): rows of 128 bytes as in `SharedMatrix`, one box after another along the outer dimensions. Done by one
   * invocation; the bytes arrive at the barrier.
   */
  | {
      readonly kind: 'copy_tensor';
      readonly array: string;
      readonly index: Expression;
      readonly map: string;
      readonly at: readonly Expression[];
      readonly barrier: BarrierPlace;
    }
  /** One arrival, after which the phase also waits for so many bytes of copies. */
  | { readonly kind: 'expect_copies'; readonly barrier: BarrierPlace; readonly bytes: number }
  /** One arrival: what the invocation read and wrote before is done for those that wait for the phase. */
  | { readonly kind: 'arrive'; readonly barrier: BarrierPlace }
  /** Goes on once the phase of this parity (0 or 1) has ended: at once where the barrier is in a phase of the other parity. */
  | { readonly kind: 'wait_barrier'; readonly barrier: BarrierPlace; readonly parity: Expression };

/** One barrier of an array of them. */
export interface BarrierPlace {
  readonly array: string;
  readonly index: Expression;
}

/**
 * A matrix in a u32x4 array, from element `index` (16 bytes each) on: blocks of any number of rows, a row of a block 128 bytes (64
 * numbers of 16 bits, 128 of 8), its pieces of 16 bytes exchanged by the row's number: piece p of row r lies at 8·r + (p xor r mod 8).
 */
export interface SharedMatrix {
  readonly kind: 'shared_matrix';
  readonly array: string;
  readonly index: Expression;
  /** Rows are the output's rows or columns and run along the contracted axis; otherwise (16 bits only) the other way around. */
  readonly byDepth: boolean;
  /** Elements from one block to the next. */
  readonly blockLength: number;
}

/** 16-bit floats that matrices are multiplied in. */
export type HalfType = 'f16' | 'bf16';

/** Floats that matrices are multiplied in (`matrix-types.ts`). Of those of 8 bits four fill a word, and a product is twice as deep: 32. */
export type MatrixType = HalfType | 'f8e4m3';

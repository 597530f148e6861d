/**
 * Kernel IR, phase `thread`: what one invocation of a workgroup does. Imperative and small on purpose: a backend prints
 * it in a hundred lines, the interpreter runs it in lockstep, WebAssembly is made from the same nodes.
 *
 * - Integers are i32 (indices), numbers f32 (f16 only where a schedule asks for it); vectors have 2 or 4 lanes.
 * - There are no register arrays: schedules unroll, every register has a name.
 * - A subgroup of 32 multiplies matrices from fragments (`load_matrix`, `multiply_matrices`) and moves data beside its
 *   computation (`copy_async`) where the target can; lane maps and order are those of the PTX ISA's `ldmatrix`, `mma.sync.m16n8k16`
 *   and `cp.async`.
 * - Buffers are read and written `lanes` elements at a time, indexed in units of `lanes`; 16-bit floats widen on load
 *   and round to nearest even on store, so values in the body are never bf16.
 */
export type ScalarType = 'f32' | 'f16' | 'i32' | 'u32' | 'bool';

export interface RegisterType {
  readonly scalar: ScalarType;
  readonly lanes: 1 | 2 | 4;
}

/** Element type in memory. `u8` and `bool` are one byte, read four at a time through a u32 word. */
export type StorageType = 'f32' | 'f16' | 'bf16' | 'i32' | 'u32' | 'u8' | 'bool';

export interface BufferParameter {
  readonly name: string;
  readonly storage: StorageType;
  /** Elements of one load or store. 16-bit stores need 2 or 4. */
  readonly lanes: 1 | 2 | 4;
  readonly access: 'read' | 'write' | 'read_write';
}

export interface SharedArray {
  readonly name: string;
  readonly type: RegisterType;
  /** Elements of `type`. */
  readonly length: number;
}

export interface ThreadKernel {
  readonly phase: 'thread';
  readonly name: string;
  /** In binding order. */
  readonly buffers: readonly BufferParameter[];
  /**
   * i32 launch parameters, in uniform-block order. By convention `origin_x|y|z` (first workgroup of a split launch, added by
   * the `workgroup_*` builtins of the body itself) and `BUFFER_base` (elements before the view in its binding).
   */
  readonly parameters: readonly string[];
  /** Invocations of a workgroup, one-dimensional. */
  readonly workgroupSize: number;
  readonly shared: readonly SharedArray[];
  /** Set when the body uses subgroup operations and relies on this size. */
  readonly subgroupSize?: number;
  readonly body: readonly Statement[];
}

export type Builtin = 'workgroup_x' | 'workgroup_y' | 'workgroup_z' | 'local_index' | 'subgroup_lane';

export type UnaryOperator = 'neg' | 'not' | 'abs' | 'exp' | 'log' | 'sqrt' | 'rsqrt' | 'sin' | 'cos' | 'tanh' | 'floor';

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
  /** `index` in units of the buffer's lanes. Type: f32 for float storage, i32/u32 for integers, i32 for u8, bool for bool. */
  | { readonly kind: 'load'; readonly buffer: string; readonly index: Expression; readonly type: RegisterType }
  | { readonly kind: 'load_shared'; readonly array: string; readonly index: Expression; readonly type: RegisterType }
  | { readonly kind: 'splat'; readonly lanes: 2 | 4; readonly operand: Expression }
  | { readonly kind: 'vector'; readonly parts: readonly Expression[] }
  | { readonly kind: 'lane'; readonly operand: Expression; readonly lane: number }
  | { readonly kind: 'shuffle'; readonly operand: Expression; readonly lanes: readonly number[] }
  /** a·b summed over the lanes, in f32. */
  | { readonly kind: 'dot'; readonly a: Expression; readonly b: Expression }
  /** Lane `source` (constant) of the subgroup. */
  | { readonly kind: 'subgroup_broadcast'; readonly operand: Expression; readonly source: number }
  | { readonly kind: 'subgroup_reduce'; readonly operator: 'add' | 'max'; readonly operand: Expression }
  /** The operand of lane `own ^ mask` of the subgroup. */
  | { readonly kind: 'subgroup_exchange'; readonly operand: Expression; readonly mask: number }
  /** f32x2 rounded to nearest even, in one u32: lane 0 in the low half. */
  | { readonly kind: 'pack'; readonly to: HalfType; readonly operand: Expression }
  /**
   * Four 8×8 matrices of 16-bit numbers from a u32x4 array: element `index` of lane 8·i + r is row r of matrix i (16 bytes). Lane l
   * gets a u32 of each, with columns 2·(l mod 4) and the next of row l/4; `transposed`: rows and columns the other way around.
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
   * accumulators += a · b, 16×16 by 16×8, by the whole subgroup. Lane l holds of the sum columns 2·(l mod 4) and the next, row l/4 in
   * the first `var` (f32x2), row l/4 + 8 in the second; `a` is u32x4, `b` u32x2, as `load_matrix` gives them.
   */
  | {
      readonly kind: 'multiply_matrices';
      readonly accumulators: readonly [string, string];
      readonly operands: HalfType;
      readonly a: Expression;
      readonly b: Expression;
    }
  /**
   * accumulators += a · b, 64×16 by 16×columns, by four subgroups (PTX ISA, `wgmma.m64nNk16`), beside the computation: the sums are
   * there after `wait_products`, and until then neither they nor the operands may be touched. Subgroup s holds rows 16·s on; lane l
   * of it, for each eight columns, a pair of `var` (f32x2) as in `multiply_matrices`.
   */
  | {
      readonly kind: 'multiply_shared';
      readonly accumulators: readonly string[];
      readonly operands: HalfType;
      /** 64 rows in workgroup memory, or a u32x4 of 16 rows of each subgroup. */
      readonly a: SharedMatrix | Expression;
      readonly b: SharedMatrix;
      readonly columns: number;
    }
  /** What the invocation wrote to workgroup memory is seen by `multiply_shared` after the next barrier. */
  | { readonly kind: 'share_writes' }
  /** The invocation's registers are ready for the products that follow. */
  | { readonly kind: 'begin_products' }
  /** Closes a group of products. */
  | { readonly kind: 'commit_products' }
  /** Waits until at most `pending` groups of products are not done, oldest first. */
  | { readonly kind: 'wait_products'; readonly pending: number };

/**
 * A matrix in a u32x4 array, from element `index` (16 bytes each) on: blocks of 64 numbers by any number of rows, a row of a block
 * 128 bytes, its pieces of 16 bytes exchanged by the row's number: piece p of row r lies at 8·r + (p xor r mod 8).
 */
export interface SharedMatrix {
  readonly kind: 'shared_matrix';
  readonly array: string;
  readonly index: Expression;
  /** Rows are the output's rows or columns and run along the contracted axis; otherwise the other way around. */
  readonly byDepth: boolean;
  /** Elements from one block to the next. */
  readonly blockLength: number;
}

/** 16-bit floats that matrices are multiplied in. */
export type HalfType = 'f16' | 'bf16';

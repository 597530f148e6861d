import type { DType } from '../ir/dtype.js';

/** Element types that arithmetic with fractions makes sense in. */
export type FloatType = 'f64' | 'f32' | 'f16' | 'bf16' | 'f8e4m3';

/** What may stand beside `A` in an elementwise operation: any float beside a float, otherwise the same type. */
export type Beside<A extends DType> = A extends FloatType ? FloatType : A;

/** The element type of an operation on both: f64 > f32 > {f16, bf16} > f8e4m3; f16 with bf16 is f32. Other types must be equal. */
export type Wider<A extends DType, B extends DType> = A extends DType
  ? B extends DType
    ? WiderOfTwo<A, B>
    : never
  : never;

type WiderOfTwo<A extends DType, B extends DType> = A extends B
  ? A
  : A extends FloatType
    ? B extends FloatType
      ? 'f64' extends A | B
        ? 'f64'
        : 'f8e4m3' extends A | B
          ? Exclude<A | B, 'f8e4m3'>
          : 'f32'
      : never
    : never;

/** What factors of products may be. */
export type FactorType = FloatType | 'i8';

/** The element type of a sum of products of both: the wider one, f32 where both are f8e4m3 or both i8. */
export type Product<A extends DType, B extends DType> = Wider<A, B> extends 'f8e4m3' | 'i8' ? 'f32' : Wider<A, B>;

/** What may be multiplied with `A`: any float with a float, i8 with i8. */
export type FactorBeside<A extends FactorType> = A extends 'i8' ? 'i8' : FloatType;

type Tuple<N extends number, T extends readonly unknown[] = readonly []> = T['length'] extends N
  ? T
  : Tuple<N, readonly [...T, unknown]>;

/** Rank of a broadcast: the larger one. A rank that is only known as `number` makes the result `number`. */
export type MaxRank<A extends number, B extends number> = number extends A | B
  ? number
  : Tuple<A> extends readonly [...Tuple<B>, ...unknown[]]
    ? A
    : B;

export type AddRanks<A extends number, B extends number> = number extends A | B
  ? number
  : [...Tuple<A>, ...Tuple<B>]['length'] & number;

export type SubtractRanks<A extends number, B extends number> = number extends A | B
  ? number
  : Tuple<A> extends readonly [...Tuple<B>, ...infer Rest]
    ? Rest['length']
    : never;

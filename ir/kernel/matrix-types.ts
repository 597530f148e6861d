import type { HalfType, MatrixType } from './thread.js';

export const halfTypes: readonly HalfType[] = ['bf16', 'f16'];
export const matrixTypes: readonly MatrixType[] = [...halfTypes, 'f8e4m3'];

/** Numbers in a u32 of a matrix, the first in the low bits; a piece of 16 bytes has four times, a row of 128 bytes 32 times as many. */
export const numbersOfWord: Readonly<Record<MatrixType, 2 | 4>> = { bf16: 2, f16: 2, f8e4m3: 4 };

/** Numbers of the contracted axis that one product takes: 32 bytes, two pieces. */
export function productDepth(operands: MatrixType): 16 | 32 {
  return numbersOfWord[operands] === 4 ? 32 : 16;
}

/** Columns that products of matrices in workgroup memory are made of: what the CUDA prelude has functions for. */
export const sharedColumns: readonly number[] = [64, 128, 256];

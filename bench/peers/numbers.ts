/** The two kinds of numbers that a comparison can be about. */

/**
 * Of a comparison: what its weights and inputs are, exactly. Of a contestant: what it stores weights in and rounds the
 * factors of products to; one that computes in f32 may take part where the numbers are f16.
 */
export type Numbers = 'f32' | 'f16';

export const allNumbers: readonly Numbers[] = ['f32', 'f16'];

/** Results may be off by this (relative L2), by what the contestant computes in. */
export const tolerances: Readonly<Record<Numbers, number>> = { f32: 1e-4, f16: 1e-2 };

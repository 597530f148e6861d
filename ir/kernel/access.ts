import type { Axis, IndexCondition, IndexPolynomial, IndexTerm } from './tile.js';

/**
 * Where a kernel touches its buffers, as polynomials: from it follows which elements a part of the grid may reach, so that a
 * launch can be cut into pieces whose windows fit a binding. Symbols are the axes, the terms and the kernel's parameters.
 */
export interface AccessMap {
  readonly axes: readonly AccessAxis[];
  /** In definition order. */
  readonly terms: readonly IndexTerm[];
  /** For each of the kernel's buffers, in their order: every way it is read or written. */
  readonly buffers: readonly (readonly Access[])[];
}

export type AccessAxis = Pick<Axis, 'name' | 'kind' | 'extent'>;

export interface Access {
  /** In elements, from the start of the view that is bound. */
  readonly index: IndexPolynomial;
  /** Where one does not hold, nothing is touched. */
  readonly conditions: readonly IndexCondition[];
}

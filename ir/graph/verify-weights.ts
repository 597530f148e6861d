import type { WeightDeclaration, WeightPart } from './graph.js';
import { printShape, printType } from './types.js';

/** What is wrong with a declaration: symbolic dimensions, or a source whose parts do not make up the shape. */
export function findWeightProblem({ type, source }: WeightDeclaration): string | undefined {
  const shape = type.shape.map((dim) => dim.constant);
  if (!shape.every((size) => size !== undefined)) return `the dimensions of ${printType(type)} are not all constant`;
  return findPartProblem({ shape, source });
}

function findPartProblem({ shape, source }: WeightPart): string | undefined {
  switch (source.kind) {
    case 'tensor':
      return undefined;
    case 'concat_rows':
    case 'interleave_rows': {
      const { parts } = source;
      const rows = parts.reduce((sum, part) => sum + (part.shape[0] ?? 0), 0);
      const sameRows = parts.every((part) => part.shape.length > 0 && sameShape(part.shape.slice(1), shape.slice(1)));
      if (!sameRows || rows !== shape[0]) {
        return `${source.kind} of ${parts.map((part) => printShape(part.shape)).join(', ')} is not ${printShape(shape)}`;
      }
      if (source.kind === 'interleave_rows') {
        const first = parts[0]?.shape[0] ?? 0;
        const inGroups = Number.isSafeInteger(source.group) && source.group > 0 && first % source.group === 0;
        if (!inGroups || parts.some((part) => part.shape[0] !== first)) {
          return `parts of ${parts.map((part) => part.shape[0]).join(', ')} rows, to be taken in turn by ${source.group}`;
        }
      }
      return parts.map(findPartProblem).find((found) => found !== undefined);
    }
    case 'permute': {
      const { of, permutation } = source;
      const isPermutation = sameShape(
        [...permutation].sort((a, b) => a - b),
        [...of.shape.keys()],
      );
      const permuted = permutation.map((axis) => of.shape[axis] ?? 0);
      if (!isPermutation || !sameShape(permuted, shape)) {
        return `permute of ${printShape(of.shape)} by ${printShape(permutation)} is not ${printShape(shape)}`;
      }
      return findPartProblem(of);
    }
  }
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, axis) => size === b[axis]);
}

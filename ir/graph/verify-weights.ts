import type { DType } from '../dtype.js';
import { encodedFields, type EncodedField, findEncoding, fitsEncoding } from '../encoding.js';
import { upsampledShape } from '../upsampled-filters.js';
import type { WeightDeclaration, WeightPart, WeightSource } from './graph.js';
import { printShape, printType } from './types.js';

/** What is wrong with a declaration: symbolic dimensions, or a source whose parts do not make up the shape. */
export function findWeightProblem({ type, source }: WeightDeclaration): string | undefined {
  const shape = type.shape.map((dim) => dim.constant);
  if (!shape.every((size) => size !== undefined)) return `the dimensions of ${printType(type)} are not all constant`;
  const made = findMadeType(source);
  if (made !== undefined && type.dtype !== made) return `${source.kind} makes ${made}, not ${type.dtype}`;
  return findPartProblem({ shape, source });
}

/** The element type of what is computed from the rows' numbers; undefined for what only moves them, and for no array of an encoding. */
function findMadeType(source: WeightSource): DType | undefined {
  switch (source.kind) {
    case 'quantize_rows':
      return source.dtype;
    case 'row_scales':
      return 'f32';
    case 'encoded_rows':
      return findEncodedField(source)?.dtype;
    default:
      return undefined;
  }
}

function findEncodedField({
  of,
  encoding,
  field,
}: WeightSource & { readonly kind: 'encoded_rows' }): EncodedField | undefined {
  const form = findEncoding(encoding);
  const columns = of.shape[1] ?? 0;
  if (form === undefined || !fitsEncoding(form, columns)) return undefined;
  return encodedFields(form, columns).find(({ name }) => name === field);
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
      return parts.map(findIngredientProblem).find((found) => found !== undefined);
    }
    case 'slice_rows': {
      const { of, start } = source;
      const rows = shape[0] ?? 0;
      const isInside = Number.isSafeInteger(start) && start >= 0 && start + rows <= (of.shape[0] ?? 0);
      if (shape.length === 0 || !isInside || !sameShape(of.shape.slice(1), shape.slice(1))) {
        return `rows of ${printShape(of.shape)} from ${start} are not ${printShape(shape)}`;
      }
      return findIngredientProblem(of);
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
      return findIngredientProblem(of);
    }
    case 'upsampled_filters': {
      const made = upsampledShape(source.of.shape);
      if (made === undefined || !sameShape(made, shape))
        return `upsampled_filters of ${printShape(source.of.shape)} is not ${printShape(shape)}`;
      return findIngredientProblem(source.of);
    }
    case 'quantize_rows':
    case 'row_scales': {
      const { kind, of } = source;
      const made = kind === 'row_scales' ? of.shape.slice(0, 1) : of.shape;
      if (of.shape.length === 0 || !sameShape(made, shape))
        return `${kind} of ${printShape(of.shape)} is not ${printShape(shape)}`;
      return findIngredientProblem(of);
    }
    case 'encoded_rows': {
      const { of, encoding, field } = source;
      const array = of.shape.length === 2 ? findEncodedField(source) : undefined;
      if (array === undefined) return `there is no array '${field}' of ${printShape(of.shape)} as ${encoding}`;
      const made = [of.shape[0] ?? 0, array.columns];
      if (!sameShape(made, shape))
        return `${field} of ${printShape(of.shape)} as ${encoding} is not ${printShape(shape)}`;
      return findIngredientProblem(of);
    }
  }
}

/** Packing moves numbers of one type: what is computed comes last. */
function findIngredientProblem(part: WeightPart): string | undefined {
  const { kind } = part.source;
  const isMade =
    kind === 'quantize_rows' || kind === 'row_scales' || kind === 'encoded_rows' || kind === 'upsampled_filters';
  return isMade ? `${kind} cannot be a part of another weight` : findPartProblem(part);
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, axis) => size === b[axis]);
}

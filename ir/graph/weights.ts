import { Flux2cError, unreachable } from '../diagnostics.js';
import type { QuantizedDType } from '../dtype.js';
import { encodeRows } from '../encode-rows.js';
import { encodedFields, parseEncoding } from '../encoding.js';
import { countElements, hostTensorFromBytes, isSameButForOnes } from '../host-tensor.js';
import type { HostTensor } from '../host-tensor.js';
import { quantizeRow } from '../quantize.js';
import type { WeightDeclaration, WeightPart, WeightSource } from './graph.js';
import { sumTaps, upsampledPhases, upsampledShape } from '../upsampled-filters.js';
import { roundToDType } from './ops/rounding.js';
import { permuteAxes } from './ops/strided-copy.js';

type EncodedSource = Extract<WeightSource, { kind: 'encoded_rows' }>;

/**
 * The numbers of a declared weight: reads the tensors its source names and packs them as the source says, rounded to
 * the declared element type. `read` throws when the file has no such tensor. A stored tensor may have further axes of
 * size 1 (a 1×1 convolution as a matrix).
 *
 * @throws F2C165 when a tensor's shape is not the one the source expects, or the parts do not make up the whole
 */
export function materializeWeight(declaration: WeightDeclaration, read: (tensor: string) => HostTensor): HostTensor {
  const { dtype, shape } = declaration.type;
  const sizes = shape.map((dim) => dim.evaluate({}));
  const packed = packPart({ shape: sizes, source: declaration.source }, read, [`@${declaration.name}`]);
  const data = packed.dtype === dtype ? packed.data : packed.data.map((value) => roundToDType(dtype, value));
  return { dtype, shape: sizes, data };
}

/** One level of a source. The numbers come in the parts' own element types, which are the same for all parts as a rule. */
function packPart(part: WeightPart, read: (tensor: string) => HostTensor, where: readonly string[]): HostTensor {
  const { source } = part;
  switch (source.kind) {
    case 'tensor': {
      const tensor = read(source.tensor);
      if (!isSameButForOnes(tensor.shape, part.shape)) {
        rejectShape([...where, source.tensor], part.shape, tensor.shape, 'the stored tensor');
      }
      return { ...tensor, shape: part.shape };
    }
    case 'concat_rows':
      return takeRows(part, packParts(source.parts, read, where), undefined, where);
    case 'interleave_rows':
      return takeRows(part, packParts(source.parts, read, where), source.group, where);
    case 'slice_rows':
      return sliceRows(part, packPart(source.of, read, where), source.start, where);
    case 'permute': {
      const result = permuteAxes(packPart(source.of, read, where), source.permutation);
      if (result.shape.join() !== part.shape.join())
        rejectShape(where, part.shape, result.shape, 'the permuted tensor');
      return result;
    }
    case 'quantize_rows':
    case 'row_scales': {
      const { values, scales } = quantize(packPart(source.of, read, where), source.dtype);
      const result = source.kind === 'quantize_rows' ? values : scales;
      if (result.shape.join() !== part.shape.join())
        rejectShape(where, part.shape, result.shape, 'what the rows are quantised to');
      return result;
    }
    case 'upsampled_filters':
      return sumFilters(part, packPart(source.of, read, where), where);
    case 'encoded_rows':
      return encodeField(source, packPart(source.of, read, where));
    default:
      return unreachable(source, 'weight source');
  }
}

/** Rows and their scales, as `quantize_rows` of the op table makes them of f32 numbers. */
function quantize(
  { shape, data }: HostTensor,
  dtype: QuantizedDType,
): { readonly values: HostTensor; readonly scales: HostTensor } {
  const [rows, size] = [shape[0] ?? 1, countElements(shape.slice(1))];
  const values = new Float64Array(data.length);
  const scales = Float64Array.from({ length: rows }, (_, row) => {
    const [start, end] = [row * size, (row + 1) * size];
    return quantizeRow(data.subarray(start, end).map(Math.fround), values.subarray(start, end), dtype, 'f32');
  });
  return { values: { dtype, shape, data: values }, scales: { dtype: 'f32', shape: [rows], data: scales } };
}

/** One array of the encoded rows of a matrix. */
function encodeField({ encoding: text, field }: EncodedSource, { shape, data }: HostTensor): HostTensor {
  const encoding = parseEncoding(text);
  const [rows = 1, columns = 1] = shape;
  const found = encodedFields(encoding, columns).find(({ name }) => name === field);
  const bytes = encodeRows(encoding, rows, columns, Float32Array.from(data)).get(field);
  if (found === undefined || bytes === undefined) throw new Error(`internal: ${text} has no ${field}`);
  return hostTensorFromBytes(found.dtype, [rows, found.columns], bytes);
}

function packParts(
  parts: readonly WeightPart[],
  read: (tensor: string) => HostTensor,
  where: readonly string[],
): readonly HostTensor[] {
  return parts.map((part, index) => packPart(part, read, [...where, `part ${index}`]));
}

/** Rows of the parts in turn, `group` of each; all rows of a part at once when there is no group. */
function takeRows(
  whole: WeightPart,
  parts: readonly HostTensor[],
  group: number | undefined,
  where: readonly string[],
): HostTensor {
  const rowShape = whole.shape.slice(1);
  const rowSize = countElements(rowShape);
  const [first] = parts;
  const rows = parts.reduce((sum, part) => sum + (part.shape[0] ?? 0), 0);
  parts.forEach((part, index) => {
    const count = part.shape[0] ?? 0;
    const fits = group === undefined || (count === first?.shape[0] && count % group === 0);
    if (!fits || part.shape.length === 0 || part.shape.slice(1).join() !== rowShape.join()) {
      const expected = [group === undefined ? count : `${first?.shape[0]} in groups of ${group}`, ...rowShape];
      rejectShape([...where, `part ${index}`], expected, part.shape, 'a part');
    }
  });
  if (first === undefined || rows !== whole.shape[0]) {
    rejectShape(where, whole.shape, [rows, ...rowShape], 'all rows together');
  }
  const data = new Float64Array(rows * rowSize);
  const run = group ?? rows;
  let at = 0;
  for (let start = 0; at < data.length; start += run) {
    for (const part of parts) {
      const piece = part.data.subarray(start * rowSize, (start + run) * rowSize);
      data.set(piece, at);
      at += piece.length;
    }
  }
  return { dtype: first.dtype, shape: whole.shape, data };
}

function sliceRows(part: WeightPart, whole: HostTensor, start: number, where: readonly string[]): HostTensor {
  const [rows = 0, ...rowShape] = part.shape;
  const rowSize = countElements(rowShape);
  const fits = start + rows <= (whole.shape[0] ?? 0) && whole.shape.slice(1).join() === rowShape.join();
  if (!fits) rejectShape(where, [start + rows, ...rowShape], whole.shape, 'what rows are taken of');
  const data = whole.data.slice(start * rowSize, (start + rows) * rowSize);
  return { dtype: whole.dtype, shape: part.shape, data };
}

function sumFilters(part: WeightPart, { shape, data }: HostTensor, where: readonly string[]): HostTensor {
  const made = upsampledShape(shape);
  if (made?.join() !== part.shape.join()) rejectShape(where, part.shape, shape, 'filters');
  const [outputs, channels] = [shape[0] as number, shape[3] as number];
  const sums = new Float64Array(countElements(part.shape));
  for (let phase = 0; phase < upsampledPhases; phase++) {
    sumTaps(data, outputs, channels, phase, sums.subarray((phase * sums.length) / upsampledPhases));
  }
  return { dtype: 'f32', shape: part.shape, data: sums.map(Math.fround) };
}

function rejectShape(
  where: readonly string[],
  expected: readonly (number | string)[],
  found: readonly number[],
  what: string,
): never {
  throw new Flux2cError('F2C165', `${what} of the weight has the wrong shape`, {
    where,
    expected: `[${expected.join(', ')}]`,
    found: `[${found.join(', ')}]`,
  });
}

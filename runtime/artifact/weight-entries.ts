/** The weights in `manifest.json`: where tensors lie, and that what is said of them goes together. */
import { dtypeOfFile } from '../../frontend/checkpoint/file-dtype.js';
import { byteSize } from '../../ir/dtype.js';
import { encodedFields, encodingForms, findEncoding, fitsEncoding } from '../../ir/encoding.js';
import {
  count,
  type Decoder,
  dictionary,
  digest,
  expectObject,
  list,
  malformed,
  object,
  string,
  tuple,
} from './decode.js';
import type { ArtifactWeights, EncodedEntry, FileRange, NumbersEntry, WeightEntry, WeightFile } from './manifest.js';

const range = tuple(count, count, count);

const numbers: Decoder<NumbersEntry> = object({ dtype: string, shape: list(count), parts: list(range) });

const encodedShape: Decoder<EncodedEntry> = object({
  encoding: string,
  dtype: string,
  shape: list(count),
  arrays: dictionary(range),
});

/** An encoded matrix whose arrays are those of its encoding, as long as its rows and columns make them. */
const encoded: Decoder<EncodedEntry> = (value, at) => {
  const entry = encodedShape(value, at);
  const encoding = findEncoding(entry.encoding);
  if (encoding === undefined) throw malformed([...at, 'encoding'], encodingForms.join(', '), entry.encoding);
  if (dtypeOfFile(entry.dtype) === undefined) throw malformed([...at, 'dtype'], 'a type of weights', entry.dtype);
  const [rows = 0, columns = 0] = entry.shape;
  if (entry.shape.length !== 2 || rows === 0 || !fitsEncoding(encoding, columns)) {
    throw malformed([...at, 'shape'], `rows and columns that fit ${encoding.text}`, entry.shape.join(', '));
  }
  const fields = encodedFields(encoding, columns);
  const names = fields.map(({ name }) => name).join(', ');
  const found = [...entry.arrays.keys()];
  const unknown = found.find((name) => !fields.some((field) => field.name === name));
  if (unknown !== undefined) throw malformed([...at, 'arrays'], `only ${names}`, unknown);
  for (const { name, dtype, columns: width } of fields) {
    const array = entry.arrays.get(name);
    if (array === undefined) throw malformed([...at, 'arrays'], names, found.join(', '));
    const bytes = rows * width * byteSize(dtype);
    if (array[2] !== bytes) throw malformed([...at, 'arrays', name], `${bytes} bytes`, `${array[2]} bytes`);
  }
  return entry;
};

const entry: Decoder<WeightEntry> = (value, at) =>
  (expectObject(value, at).has('encoding') ? encoded : numbers)(value, at);

const files: Decoder<readonly WeightFile[]> = list(
  object({ path: string, byteLength: count, modified: count, headerSha256: digest }),
);

/** Every range is inside of its file. */
function weightsOf(entryOf: Decoder<WeightEntry>): Decoder<ArtifactWeights> {
  const decode = object({ files, components: dictionary(dictionary(entryOf)) });
  return (value, at) => {
    const weights = decode(value, at);
    for (const [component, tensors] of weights.components) {
      for (const [tensor, found] of tensors) {
        checkRanges(rangesOf(found), weights.files, [...at, 'components', component, tensor]);
      }
    }
    return weights;
  };
}

export const decodeWeights = weightsOf(entry);

/** Up to version 4. */
export const decodeNumbers = weightsOf(numbers);

/** All ranges of files that a tensor is in. */
export function rangesOf(found: WeightEntry): readonly FileRange[] {
  return 'encoding' in found ? [...found.arrays.values()] : found.parts;
}

function checkRanges(ranges: readonly FileRange[], known: readonly WeightFile[], at: readonly string[]): void {
  for (const [index, offset, byteLength] of ranges) {
    const file = known[index];
    if (file === undefined) throw malformed(at, `a file below ${known.length}`, index);
    if (byteLength > file.byteLength || offset > file.byteLength - byteLength) {
      throw malformed(at, `ranges of the ${file.byteLength} bytes of ${file.path}`, `${byteLength} from ${offset}`);
    }
  }
}

/**
 * Weights in 8 bits with scales beside them: `X.weight` in F8_E4M3 or F8_E5M2 with `X.scale_weight` or `X.weight_scale`, one for the tensor
 * or one a row; `X.weight` in I8 with bitsandbytes' `SCB`, the largest magnitudes of rows, or scales as above.
 */
import { Flux2cError } from '../../ir/diagnostics.js';
import type { EncodedRows } from '../../ir/encoded-rows.js';
import { parseEncoding } from '../../ir/encoding.js';
import type { Checkpoint, CheckpointTensor } from './checkpoint.js';
import { encodedTensor } from './packed-tensor.js';
import { quoteName, quoteShape } from './quote.js';

/** What files call the element type, and how we do. */
const encodings: ReadonlyMap<string, string> = new Map([
  ['F8_E4M3', 'f8e4m3'],
  ['F8_E5M2', 'f8e5m2'],
  ['I8', 'int8'],
]);

/** The tensor of no use that says that a file has scales. */
const MARKER = /(?:^|\.)scaled_fp8$/;

interface ScaledWeight {
  readonly tensor: CheckpointTensor;
  readonly scale: string | undefined;
}

/**
 * Puts one packed tensor in the place of each weight in 8 bits and its scales. Scales of activations are left out: nothing quantises
 * those with numbers from a file.
 *
 * @param tensors of the checkpoint, changed
 * @throws Flux2cError F2C416 for weights in 8-bit floats without a scale in a file that has such, for scales that are not one or one a
 *   row, and for two scales of one weight
 */
export function recognizeEightBits(checkpoint: Checkpoint, tensors: Map<string, CheckpointTensor>): void {
  const weights = [...checkpoint.tensors.values()]
    .filter(({ name, fileDType }) => encodings.has(fileDType) && !MARKER.test(name))
    .map((tensor): ScaledWeight => ({ tensor, scale: findScale(checkpoint, tensor) }));
  const markers = [...checkpoint.tensors.keys()].filter((name) => MARKER.test(name));
  const floats = weights.filter(({ tensor }) => tensor.fileDType !== 'I8');
  const scaled = floats.find(({ scale }) => scale !== undefined);
  if (markers.length > 0 || scaled !== undefined) {
    const bare = floats.find(({ scale }) => scale === undefined);
    if (bare !== undefined) throw missingScale(bare.tensor, markers[0] ?? scaled!.scale!);
  }
  for (const { tensor, scale } of weights) {
    // Integers without a scale may be anything, and nothing is not packed.
    if ((scale === undefined && tensor.fileDType === 'I8') || tensor.byteLength === 0) continue;
    tensors.set(tensor.name, packTensor(checkpoint, tensor, scale));
    const module = tensor.name.replace(/\.weight$/, '');
    const beside = ['scale_input', 'input_scale', 'weight_format', 'comfy_quant'].map((name) => `${module}.${name}`);
    for (const name of [scale, ...beside]) if (name !== undefined) tensors.delete(name);
  }
  for (const name of markers) tensors.delete(name);
}

function findScale({ tensors }: Checkpoint, { name, file, fileDType }: CheckpointTensor): string | undefined {
  const module = name.replace(/\.weight$/, '');
  const spellings = [`${module}.scale_weight`, `${name}_scale`, `${name}.scale`];
  if (fileDType === 'I8') spellings.push(`${module}.SCB`, `${name}.SCB`, `${module}.scale`);
  const found = [...new Set(spellings)].filter((spelling) => tensors.has(spelling));
  if (found.length < 2) return found[0];
  throw new Flux2cError('F2C416', 'a weight has two scales', {
    where: [file, quoteName(name)],
    expected: 'one of them',
    found: found.map(quoteName).join(' and '),
  });
}

function packTensor(checkpoint: Checkpoint, tensor: CheckpointTensor, scale: string | undefined): CheckpointTensor {
  const { name, shape, fileDType } = tensor;
  const encoding = parseEncoding(encodings.get(fileDType)!);
  const rowBytes = shape.slice(1).reduce((product, size) => product * size, 1);
  let scales: Promise<Float32Array> | undefined;
  const readScales = scale === undefined ? undefined : openScales(checkpoint, tensor, scale);
  const readEncodedRows = async (first: number, count: number): Promise<EncodedRows> => {
    const codes = await checkpoint.readRange(name, first * rowBytes, count * rowBytes);
    // Two's complement with the sign bit turned is the number and 128.
    if (fileDType === 'I8') for (let at = 0; at < codes.length; at++) codes[at]! ^= 0x80;
    scales ??= readScales?.() ?? Promise.resolve(Float32Array.of(1));
    const all = await scales;
    const own = all.length === 1 ? new Float32Array(count).fill(all[0]!) : all.slice(first, first + count);
    return new Map([['codes', codes] as const, ['scales', new Uint8Array(own.buffer)] as const]); // prettier-ignore
  };
  return { ...tensor, dtype: 'bf16', packed: encodedTensor(encoding, shape, readEncodedRows) };
}

/** One scale, or one a row, in f32. */
function openScales(checkpoint: Checkpoint, tensor: CheckpointTensor, scale: string): () => Promise<Float32Array> {
  const { shape, fileDType } = checkpoint.tensors.get(scale)!;
  const count = shape.reduce((product, size) => product * size, 1);
  if ((count !== 1 && count !== (tensor.shape[0] ?? 1)) || !/^(F32|F16|BF16)$/.test(fileDType)) {
    throw new Flux2cError('F2C416', 'the scales of a weight do not fit it', {
      where: [tensor.file, quoteName(scale)],
      expected: `floats: one, or ${tensor.shape[0] ?? 1}, one a row of ${quoteShape(tensor.shape)}`,
      found: `${fileDType} ${quoteShape(shape)}`,
    });
  }
  const isMagnitude = scale.endsWith('SCB');
  return async () => {
    const values = await checkpoint.readF32(scale);
    return isMagnitude ? values.map((value) => value / 127) : values;
  };
}

function missingScale(tensor: CheckpointTensor, because: string): Flux2cError {
  const module = tensor.name.replace(/\.weight$/, '');
  return new Flux2cError('F2C416', 'a weight in 8 bits has no scale', {
    where: [tensor.file, quoteName(tensor.name)],
    expected: `a tensor ${quoteName(`${module}.scale_weight`)} or ${quoteName(`${module}.weight_scale`)}, as the file has ${quoteName(because)}`,
    found: 'none',
    hint: 'Pictures would be white or noise. Take the file from where it was made, or the checkpoint of full precision.',
  });
}

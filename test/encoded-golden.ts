/** Golden matrices in fewer bits (test/golden/README.md), decoded by kernels: bit for bit what their makers' own code gave. */
import { readFileSync } from 'node:fs';
import { it } from 'vitest';
import { memorySource } from '../frontend/checkpoint/byte-source.js';
import { readCheckpoint } from '../frontend/checkpoint/read-checkpoint.js';
import type { EncodedRows } from '../ir/encoded-rows.js';
import { type Encoding, parseEncoding } from '../ir/encoding.js';
import { parseModule } from '../ir/graph/parse.js';
import type { Device } from '../runtime/device.js';
import { encodedTensors, encodedText, expectSameNumbers, runOnDevice } from './encoded-products.js';
import { compilingTimeoutMs } from './golden-on-device.js';
import { readRawSafetensors, writeGguf } from './raw-files.js';
import { readSafetensors } from './read-safetensors.js';

interface GoldenMatrix {
  readonly encoding: Encoding;
  readonly columns: number;
  readonly fields: EncodedRows;
  readonly expected: Float64Array;
}

const elements = 24 * 128;
const bytesOf = (file: string): Buffer => readFileSync(`test/golden/quant/${file}.safetensors`);
const expectedOf = (file: string, name: string): Float64Array =>
  readSafetensors(`test/golden/quant/${file}.safetensors`).tensor(name).values;

async function readPacked(bytes: Uint8Array, name: string, expected: Float64Array): Promise<GoldenMatrix> {
  const { packed, shape } = (await readCheckpoint(memorySource('golden', bytes))).tensors.get(name)!;
  const [rows, columns] = shape as readonly [number, number];
  return { encoding: packed!.encoding!, columns, fields: await packed!.readEncodedRows(0, rows), expected };
}

/** Codes of 8 bits as they are stored, `moved` by so much; a scale for each row. */
function byRows(
  text: string,
  stored: Uint8Array,
  scales: Float32Array,
  expected: Float64Array,
  moved = 0,
): GoldenMatrix {
  const fields = new Map([
    ['codes', stored.map((code) => code + moved)],
    ['scales', new Uint8Array(scales.slice().buffer)],
  ] as const);
  return { encoding: parseEncoding(text), columns: 128, fields, expected };
}

const matrices: Readonly<Record<string, () => Promise<GoldenMatrix>>> = {
  nf4: () => readPacked(bytesOf('nf4_block64'), 'weight', expectedOf('nf4_block64', 'expected')),
  'nf4, scales in 8 bits': () =>
    readPacked(bytesOf('nf4_block64_double_quant'), 'weight', expectedOf('nf4_block64_double_quant', 'expected')),
  fp4: () => readPacked(bytesOf('fp4_block64'), 'weight', expectedOf('fp4_block64', 'expected')),
  int8: async () => {
    const scales = Float32Array.from(expectedOf('int8_rowwise', 'weight.scale'));
    const codes = readRawSafetensors(bytesOf('int8_rowwise')).get('weight.int8')!.bytes;
    return byRows('int8', codes, scales, expectedOf('int8_rowwise', 'expected.scale'), 128);
  },
  ...Object.fromEntries(
    ['e4m3fn', 'e5m2'].map((kind) => [
      kind,
      async () => {
        const scales = new Float32Array(24).fill(expectedOf('fp8', `weight.${kind}.scale`)[0]!);
        const codes = readRawSafetensors(bytesOf('fp8')).get(`weight.${kind}`)!.bytes;
        return byRows(`f8${kind.replace('fn', '')}`, codes, scales, expectedOf('fp8', `weight.${kind}.expected`));
      },
    ]),
  ),
  ...Object.fromEntries(
    ['Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q8_0', 'Q4_K', 'Q6_K'].map((type) => [
      type,
      async () => {
        const { bytes } = readRawSafetensors(bytesOf('ggml_blocks')).get(`${type}.bytes`)!;
        // Super-blocks need rows of 256.
        const columns = type.endsWith('K') ? 256 : 128;
        const file = writeGguf(new Map([['a', { type, shape: [elements / columns, columns], bytes }]]));
        return readPacked(file, 'a', expectedOf('ggml_blocks', `${type}.expected`));
      },
    ]),
  ),
};

export function describeGoldenMatrices(device: () => Device): void {
  it.each(Object.entries(matrices))('golden %s', { timeout: compilingTimeoutMs }, async (_, read) => {
    const { encoding, columns, fields, expected } = await read();
    const rows = elements / columns;
    const { weights, operands } = encodedText('w', encoding, rows, columns);
    const module = parseModule(`${weights}
func @f() -> (d: %d) {
  %d = dequantize(${operands}) {encoding = "${encoding.text}"}
}`);
    const results = await runOnDevice(
      device(),
      { module, tensors: encodedTensors('w', encoding, rows, columns, fields) },
      {},
    );
    expectSameNumbers(results.get('d')!.data, expected);
  });
}

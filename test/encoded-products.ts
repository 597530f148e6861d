/** Products with encoded weights, and the numbers of those alone, on any device: against `decodeRows`, bit for bit. */
import { expect, it } from 'vitest';
import { kernelPrinter } from '../backends/print-kernel.js';
import { Dim } from '../ir/dim.js';
import { byteSize } from '../ir/dtype.js';
import { decodeRows, type EncodedRows } from '../ir/encoded-rows.js';
import { encodedFields, type Encoding, type FieldName, parseEncoding } from '../ir/encoding.js';
import { parseModule } from '../ir/graph/parse.js';
import type { Module } from '../ir/graph/graph.js';
import { compareTensors, type HostTensor, hostTensorFromBytes } from '../ir/host-tensor.js';
import { compileModule, type CompileOptions } from '../passes/compile.js';
import type { Device } from '../runtime/device.js';
import { toHostTensor } from '../runtime/host-array.js';
import { Session } from '../runtime/session.js';
import { memoryWeights } from '../runtime/weight-provider.js';
import { WeightStore } from '../runtime/weight-store.js';
import { compilingTimeoutMs } from './golden-on-device.js';
import { Random } from './random.js';

/** One of every form. */
export const everyEncoding: readonly string[] = [
  'int8', 'f8e4m3', 'f8e5m2', 'q4_0', 'q4_1', 'q5_0', 'q5_1', 'q8_0', 'q4_k', 'q6_k',
  'int4:16', 'int4:128', 'int4z:32', 'nf4:64', 'fp4:64',
]; // prettier-ignore

/** Any bits for codes, bytes and zeros; factors about 1, of either sign, some subnormal as f16. Without NaN where `finite`. */
export function randomEncodedRows(
  encoding: Encoding,
  rows: number,
  columns: number,
  seed: number,
  finite = false,
): EncodedRows {
  const random = new Random(seed);
  return new Map(
    encodedFields(encoding, columns).map(({ name, dtype, columns: width }): [FieldName, Uint8Array] => {
      const bytes = new Uint8Array(rows * width * byteSize(dtype)).map(() => random.integer(0, 255));
      if (dtype === 'u8' || (dtype === 'u32' && !(finite && encoding.code.kind === 'float'))) return [name, bytes];
      if (dtype === 'u32') return [name, bytes.map((byte) => byte & 0xbb)];
      const view = new DataView(bytes.buffer);
      for (let at = 0; at < rows * width; at++) {
        const value = (random.chance(0.5) ? 1 : -1) * random.between(0.01, 1);
        if (dtype === 'f32') view.setFloat32(4 * at, value, true);
        else if (dtype === 'bf16') view.setUint16(2 * at, (view.getUint16(2 * at, true) & 0x80ff) | 0x3f00, true);
        else view.setUint16(2 * at, view.getUint16(2 * at, true) & (random.chance(0.1) ? 0x83ff : 0xbfff), true);
      }
      return [name, bytes];
    }),
  );
}

export interface EncodedProduct {
  readonly module: Module;
  /** Of every encoded weight, its arrays. */
  readonly tensors: ReadonlyMap<string, HostTensor>;
}

/** The fields of a weight under names of their own, and the decoded numbers under `name`. */
export function encodedTensors(
  name: string,
  encoding: Encoding,
  rows: number,
  columns: number,
  fields: EncodedRows,
): ReadonlyMap<string, HostTensor> {
  const arrays = encodedFields(encoding, columns).map(
    ({ name: field, dtype, columns: width }): [string, HostTensor] => [
      `${name}.${field}`,
      hostTensorFromBytes(dtype, [rows, width], fields.get(field) as Uint8Array),
    ],
  );
  return new Map(arrays);
}

/** Declarations of the arrays, and an operation that makes the numbers of the weight, from the row `first` on, of `some` rows. */
export function encodedText(
  name: string,
  encoding: Encoding,
  rows: number,
  columns: number,
): { weights: string; operands: string } {
  const fields = encodedFields(encoding, columns);
  return {
    weights: fields
      .map(
        ({ name: field, dtype, columns: width }) =>
          `weight @${name}.${field} : ${dtype}[${rows}, ${width}] = tensor "${name}.${field}"`,
      )
      .join('\n'),
    operands: fields.map(({ name: field }) => `@${name}.${field}`).join(', '),
  };
}

/** x[m, K] -> the numbers d[N, K], the product y[m, N], and z[m, `some`] of some rows with work behind it. */
export function encodedProduct(text: string, rows: number, columns: number, seed: number): EncodedProduct {
  const encoding = parseEncoding(text);
  const fields = randomEncodedRows(encoding, rows, columns, seed, true);
  const { weights, operands } = encodedText('w', encoding, rows, columns);
  const some = Math.ceil(rows / 2);
  const first = rows - some;
  const slices = encodedFields(encoding, columns).map(
    ({ name }) => `%${name} = slice(@w.${name}) {axis = 0, start = ${first}, size = ${some}}`,
  );
  const module = parseModule(`${weights}
func @f(%x: f32[m, ${columns}]) -> (d: %d, y: %y, z: %z) {
  %d = dequantize(${operands}) {encoding = "${text}"}
  %y = matmul(%x, %d) {transposeB = true}
  ${slices.join('\n  ')}
  %part = dequantize(${encodedFields(encoding, columns)
    .map(({ name }) => `%${name}`)
    .join(', ')}) {encoding = "${text}"}
  %p = matmul(%x, %part) {transposeB = true}
  %s = silu(%p)
  %z = add(%s, %p)
}`);
  return { module, tensors: encodedTensors('w', encoding, rows, columns, fields) };
}

/** Runs a function of a module on a device. */
export async function runOnDevice(
  device: Device,
  { module, tensors }: EncodedProduct,
  inputs: Readonly<Record<string, HostTensor>>,
  options: Partial<CompileOptions> = {},
): Promise<ReadonlyMap<string, HostTensor>> {
  const { plans, kernels } = compileModule(module, device.target, { print: kernelPrinter(device.target), ...options });
  const weights = memoryWeights(tensors);
  const store = new WeightStore(device);
  const session = await Session.create({ plan: plans.get('f')!, kernels, device, weights, store });
  const results = await session.run(new Map(Object.entries(inputs)));
  await session.destroy();
  return new Map([...results].map(([name, array]) => [name, toHostTensor(array)]));
}

/** x · wᵀ in f64. */
export function productOf(x: HostTensor, w: Float32Array, rows: number): HostTensor {
  const [m, columns] = x.shape as readonly [number, number];
  const data = new Float64Array(m * rows);
  for (let row = 0; row < m; row++) {
    for (let column = 0; column < rows; column++) {
      let sum = 0;
      for (let k = 0; k < columns; k++) sum += x.data[row * columns + k]! * w[column * columns + k]!;
      data[row * rows + column] = sum;
    }
  }
  return { dtype: 'f32', shape: [m, rows], data };
}

export function randomTensor(shape: readonly number[], seed: number): HostTensor {
  const random = new Random(seed);
  const length = shape.reduce((product, size) => product * size, 1);
  return { dtype: 'f32', shape, data: Float64Array.from({ length }, () => Math.fround(random.between(-1, 1))) };
}

/** Numbers bit for bit, of which NaN are alike. */
export function expectSameNumbers(got: ArrayLike<number>, want: ArrayLike<number>): void {
  const differing = Array.from({ length: want.length }, (_, at) => at).filter((at) => !Object.is(got[at], want[at]));
  expect(differing.slice(0, 5).map((at) => `[${at}] ${got[at]} for ${want[at]}`)).toEqual([]);
}

/** Sums come in another order. */
const relativeTolerance = 2e-6;

export function describeEncodedProducts(
  device: () => Device,
  sizes: readonly (readonly [m: number, rows: number])[],
): void {
  it.each(everyEncoding)('%s', { timeout: compilingTimeoutMs }, async (text) => {
    const encoding = parseEncoding(text);
    const columns = Dim.of(encoding.scale.kind === 'scaled' ? 512 : (encoding.group ?? 36) * 4).constant as number;
    for (const [m, rows] of sizes) {
      const product = encodedProduct(text, rows, columns, m);
      const x = randomTensor([m, columns], rows);
      const results = await runOnDevice(device(), product, { x });
      const fields = randomEncodedRows(encoding, rows, columns, m, true);
      const numbers = decodeRows(encoding, rows, columns, fields);
      expectSameNumbers(results.get('d')!.data, numbers);
      const y = productOf(x, numbers, rows);
      expect(compareTensors(results.get('y')!, y).relativeL2, `${m} × ${rows}`).toBeLessThan(relativeTolerance);
      const some = Math.ceil(rows / 2);
      const z = productOf(x, numbers.subarray((rows - some) * columns), some);
      for (let at = 0; at < z.data.length; at++) z.data[at]! += z.data[at]! / (1 + Math.exp(-z.data[at]!));
      expect(compareTensors(results.get('z')!, z).relativeL2, `${m} × ${some}`).toBeLessThan(relativeTolerance);
    }
  });

  it.each(['f8e4m3', 'f8e5m2'])('all codes of %s', { timeout: compilingTimeoutMs }, async (text) => {
    const encoding = parseEncoding(text);
    const fields = new Map<FieldName, Uint8Array>([
      ['codes', Uint8Array.from({ length: 256 }, (_, code) => code)],
      ['scales', new Uint8Array(Float32Array.of(1, 3).buffer)],
    ]);
    const { weights, operands } = encodedText('w', encoding, 2, 128);
    const module = parseModule(`${weights}
func @f() -> (d: %d) {
  %d = dequantize(${operands}) {encoding = "${text}"}
}`);
    const results = await runOnDevice(device(), { module, tensors: encodedTensors('w', encoding, 2, 128, fields) }, {});
    expectSameNumbers(results.get('d')!.data, decodeRows(encoding, 2, 128, fields));
  });
}

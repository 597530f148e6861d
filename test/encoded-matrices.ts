/** Products of matrix fragments whose right operand is decoded while it is staged. */
import { expect, it } from 'vitest';
import { kernelPrinter } from '../backends/print-kernel.js';
import type { Target } from '../backends/target.js';
import { decodeRows } from '../ir/encoded-rows.js';
import { encodedFields, parseEncoding } from '../ir/encoding.js';
import { parseModule } from '../ir/graph/parse.js';
import { roundToDType } from '../ir/graph/ops/rounding.js';
import { compareTensors, type HostTensor } from '../ir/host-tensor.js';
import { verifyThreadKernel } from '../ir/kernel/thread-verify.js';
import { verifyTileKernel } from '../ir/kernel/tile-verify.js';
import { compileModule } from '../passes/compile.js';
import type { Device } from '../runtime/device.js';
import {
  encodedTensors,
  encodedText,
  productOf,
  randomEncodedRows,
  randomTensor,
  runOnDevice,
} from './encoded-products.js';

/** Rows of a gate, then as many of what it is multiplied with. */
interface GatedProduct {
  readonly encoding: string;
  readonly rows: number;
  readonly columns: number;
  readonly tokens: number;
}

type FactorType = 'bf16' | 'f16';

/** Rows, columns and depth of no whole tiles; groups of every size; a depth that ends within a chunk. */
export const gatedProducts: readonly GatedProduct[] = [
  { encoding: 'q4_0', rows: 200, columns: 96, tokens: 77 },
  { encoding: 'nf4:64', rows: 264, columns: 192, tokens: 130 },
  { encoding: 'int8', rows: 72, columns: 328, tokens: 19 },
  { encoding: 'f8e4m3', rows: 136, columns: 72, tokens: 70 },
  { encoding: 'q4_k', rows: 264, columns: 256, tokens: 66 },
  { encoding: 'q5_1', rows: 72, columns: 160, tokens: 70 },
  { encoding: 'q6_k', rows: 272, columns: 512, tokens: 65 },
  { encoding: 'int4z:16', rows: 144, columns: 112, tokens: 129 },
];

/** The other forms, for devices that have no products of their own for each. */
export const otherGatedProducts: readonly GatedProduct[] = [
  { encoding: 'f8e5m2', rows: 72, columns: 104, tokens: 33 },
  { encoding: 'q4_1', rows: 136, columns: 96, tokens: 70 },
  { encoding: 'q5_0', rows: 72, columns: 160, tokens: 19 },
  { encoding: 'q8_0', rows: 200, columns: 96, tokens: 77 },
  { encoding: 'int4:64', rows: 264, columns: 192, tokens: 130 },
  { encoding: 'fp4:64', rows: 72, columns: 320, tokens: 66 },
];

/** p = silu(x) · wᵀ, and y = silu(gate) · up of the two halves of w's rows. */
function textOf({ encoding: text, rows, columns }: GatedProduct): string {
  const encoding = parseEncoding(text);
  const { weights, operands } = encodedText('w', encoding, rows, columns);
  const half = (name: string, start: number): string => {
    const fields = encodedFields(encoding, columns).map((field) => field.name);
    const slices = fields.map(
      (field) => `%${name}.${field} = slice(@w.${field}) {axis = 0, start = ${start}, size = ${rows / 2}}`,
    );
    return `${slices.join('\n  ')}
  %${name}.decoded = dequantize(${fields.map((field) => `%${name}.${field}`).join(', ')}) {encoding = "${text}"}
  %${name} = matmul(%s, %${name}.decoded) {transposeB = true}`;
  };
  return `${weights}
func @f(%x: f32[m, ${columns}]) -> (p: %p, y: %y) {
  %s = silu(%x)
  %d = dequantize(${operands}) {encoding = "${text}"}
  %p = matmul(%s, %d) {transposeB = true}
  ${half('gate', 0)}
  ${half('up', rows / 2)}
  %a = silu(%gate)
  %y = mul(%a, %up)
}`;
}

const silu = (value: number): number => value / (1 + Math.exp(-value));

/** `types` are those that factors can have, the first one that of all products. */
export function describeEncodedMatrices(
  target: Target,
  open: (target: Target) => Device,
  types: readonly FactorType[] = ['bf16', 'f16'],
  products: readonly GatedProduct[] = gatedProducts,
): void {
  it.each(types)('have factors in %s', async (operands) => {
    const product: GatedProduct = { encoding: 'q4_0', rows: 40, columns: 64, tokens: 33 };
    await check(product, operands, target, open);
  });

  it.each(products)('$encoding', async (product) => check(product, types[0]!, target, open));
}

async function check(
  product: GatedProduct,
  operands: FactorType,
  target: Target,
  open: (target: Target) => Device,
): Promise<void> {
  const { encoding: text, rows, columns, tokens } = product;
  const module = parseModule(textOf(product));
  const compiled = compileModule(module, target, { print: kernelPrinter(target), operands });
  const multiplying = [...compiled.kernels.values()].filter(({ tile, thread }) => {
    verifyTileKernel(tile);
    verifyThreadKernel(thread, target);
    const products = target.matrix === 'subgroup' ? /"multiply_factors"/ : /"multiply_(matrices|shared)"/;
    return products.test(JSON.stringify(thread.body));
  });
  expect(multiplying).toHaveLength(2);
  const encoding = parseEncoding(text);
  const fields = randomEncodedRows(encoding, rows, columns, tokens, true);
  const x = randomTensor([tokens, columns], rows);
  const device = open(target);
  const results = await runOnDevice(
    device,
    { module, tensors: encodedTensors('w', encoding, rows, columns, fields) },
    { x },
    { operands },
  );
  device.destroy();
  const round = (value: number): number => roundToDType(operands, Math.fround(value));
  const left: HostTensor = { ...x, data: x.data.map((value) => round(silu(value))) };
  const right = decodeRows(encoding, rows, columns, fields).map(round);
  const p = productOf(left, right, rows);
  // Left factors that lie between two numbers may be rounded either way.
  expect(compareTensors(results.get('p')!, p).relativeL2).toBeLessThan(2e-4);
  const half = rows / 2;
  const y = Float64Array.from({ length: tokens * half }, (_, at) => {
    const [row, column] = [Math.floor(at / half), at % half];
    return silu(p.data[row * rows + column]!) * p.data[row * rows + half + column]!;
  });
  expect(compareTensors(results.get('y')!, { dtype: 'f32', shape: [tokens, half], data: y }).relativeL2).toBeLessThan(
    5e-4,
  );
}

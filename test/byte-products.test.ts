/** Operands in int8: products of bytes on the processor, and interpreted for WebGPU's kinds of adapters. */
import { afterAll, describe, expect, it } from 'vitest';
import { cpuTarget, portableWebgpu, type Target } from '../backends/target.js';
import { printWgsl } from '../backends/webgpu/wgsl.js';
import { interpretFunction } from '../ir/graph/interpret.js';
import { parseModule } from '../ir/graph/parse.js';
import { compileModule } from '../passes/compile.js';
import { createCpuDevice } from '../runtime/cpu/node/cpu-device.js';
import { InterpreterDevice } from '../runtime/interpreter-device.js';
import { byteGraphs, describeByteProducts, wholeRows } from './byte-products.js';
import { expectSameNumbers, runOnDevice } from './encoded-products.js';
import { hopperWebgpu } from './webgpu-targets.js';

const roomy: Target = { ...portableWebgpu, workgroupMemory: 49152 };
const lanes: Target = {
  ...portableWebgpu,
  stagingPays: false,
  subgroups: { min: 8, max: 8 },
  maxStorageBuffers: 16,
};

describe('products of bytes on the processor', () => {
  const device = createCpuDevice();
  afterAll(() => device.destroy());
  describeByteProducts(() => device);
});

describe('operands in int8', () => {
  const launches = (text: string, operands: 'f32' | 'int8'): readonly string[] => {
    const { plans } = compileModule(parseModule(text), cpuTarget, { print: () => '', operands });
    return plans
      .get('f')!
      .steps.flatMap((step) => (step.kind === 'launch' ? [step.kernel.replace(/_[0-9a-f]{8}$/, '')] : []));
  };

  it.each([
    ['a gate and a residual', ['quantize_rows', 'matmul_mul_mul_2more']],
    [
      'SwiGLU behind a norm',
      ['layer_norm_mul_quantize_rows', 'matmul_mul_mul_5more', 'quantize_rows', 'matmul_mul_mul'],
    ],
    ['norms and rotations of heads', ['quantize_rows', 'matmul_mul_mul_5more']],
  ])('take a launch more for what no norm makes: %s', (what, names) => {
    const [, text] = byteGraphs.find(([name]) => name.startsWith(what))!;
    const quantised = launches(text, 'int8');
    expect(quantised).toEqual(names);
    const own = quantised.filter((name) => name === 'quantize_rows').length;
    expect(quantised).toHaveLength(launches(text, 'f32').length + own);
  });

  it('keep what they quantise in bytes, and everything else wide', () => {
    const [, text] = byteGraphs[1]!;
    const { plans } = compileModule(parseModule(text), cpuTarget, { print: () => '', operands: 'int8' });
    const { storages, weights } = plans.get('f')!;
    const kept = storages.filter(({ kind }) => kind === 'temporary').map(({ storage }) => storage);
    expect(kept.sort()).toEqual(['f32', 'f32', 'f32', 'i8', 'i8']);
    expect(weights.map(({ name, type }) => `${name} ${type.dtype}`).sort()).toEqual([
      'd.i8 i8',
      'd.scales f32',
      'w.i8 i8',
      'w.scales f32',
    ]);
  });

  it('leave products alone whose rows are no whole vectors of bytes', () => {
    const text = byteGraphs[0]![1].replaceAll('48', '24');
    expect(launches(text, 'int8')).toEqual(launches(text, 'f32'));
  });

  it('are multiplied as the target does', () => {
    const text = byteGraphs[0]![1];
    const source = (target: Target): string => {
      const { kernels } = compileModule(parseModule(text), target, { print: printWgsl, operands: 'int8' });
      return [...kernels.values()].map((kernel) => kernel.source).join('\n');
    };
    expect(source(portableWebgpu)).toContain('dot4I8Packed(');
    expect(source(lanes)).not.toContain('dot4I8Packed(');
    const rows = `weight @w : bf16[1024, 64] = tensor "w"
      func @f(%x: f32[n, 64]) -> (y: %y) {
        %y = matmul(%x, @w) {transposeB = true}
      }`;
    const { kernels } = compileModule(parseModule(rows), roomy, { print: printWgsl, operands: 'int8' });
    const product = [...kernels.values()].find(({ schedule }) => schedule.staged === true)!;
    expect(product.source).toMatch(/var<workgroup> staged_\d+: array<vec4<u32>/);
  });
});

describe.each([
  ['the processor', createCpuDevice],
  ['any WebGPU adapter, interpreted', () => new InterpreterDevice(portableWebgpu)],
] as const)('rows with a number that is none, on %s', (_, open) => {
  it.each([Number.NaN, Infinity, -Infinity])('%d makes all products with the row NaN, and no others', async (odd) => {
    const device = open();
    const module = parseModule(`weight @w : f32[5, 32] = tensor "w"
      func @f(%x: f32[n, 32]) -> (y: %y) {
        %y = matmul(%x, @w) {transposeB = true}
      }`);
    const [x, w] = [wholeRows(3, 32, 1), wholeRows(5, 32, 2)];
    x.data[32 + 7] = odd;
    const got = await runOnDevice(device, { module, tensors: new Map([['w', w]]) }, { x }, { operands: 'int8' });
    const isNone = [...got.get('y')!.data].map(Number.isNaN);
    expect(isNone).toEqual(Array.from({ length: 15 }, (_, at) => Math.floor(at / 5) === 1));
    await device.destroy();
  });
});

it('products of integers that lie in words are added up as numbers', async () => {
  const { packedDots: _, ...without } = portableWebgpu;
  const module = parseModule(`weight @w : i8[5, 20] = tensor "w"
    func @f(%x: f32[n, 20]) -> (y: %y) {
      %q, %s = quantize_rows(%x) {dtype = i8}
      %y = matmul(%q, @w) {transposeB = true}
    }`);
  const [x, w] = [wholeRows(7, 20, 1), wholeRows(5, 20, 2)];
  for (const target of [portableWebgpu, without]) {
    const got = await runOnDevice(new InterpreterDevice(target), { module, tensors: new Map([['w', w]]) }, { x });
    const want = interpretFunction(module, 'f', new Map([['x', x]]), () => ({ ...w, dtype: 'i8' }), {
      precision: 'f64',
    });
    expectSameNumbers(got.get('y')!.data, want.get('y')!.data);
  }
});

describe.each([
  ['any WebGPU adapter', portableWebgpu],
  ['a GPU through WebGPU', hopperWebgpu],
  ['a GPU with room for staged factors', roomy],
  ['a driver in software', lanes],
] as const)('products of bytes, interpreted for %s', (_, target) => {
  const device = new InterpreterDevice(target);
  describeByteProducts(() => device);
});

describe('products of bytes whose launches are cut, interpreted', () => {
  // Rows of both factors and of the product are more than a binding holds.
  const device = new InterpreterDevice({ ...portableWebgpu, maxBindingBytes: 24576 });
  describeByteProducts(() => device, [[160, 170, 160]]);
});

/** f16 where a norm bounds the factors, through the thread interpreter: WebGPU with f16, and with matrices of subgroups. */
import { describe, expect, it } from 'vitest';
import { portableWebgpu } from '../backends/target.js';
import { parseModule } from '../ir/graph/parse.js';
import { compileModule } from '../passes/compile.js';
import { InterpreterDevice } from '../runtime/interpreter-device.js';
import { expectOneInHalves, measureBlock } from './bounded-factors.js';
import { hopperWebgpu } from './webgpu-targets.js';

describe.each([
  ['WebGPU with f16', { ...portableWebgpu, f16: true }],
  ['a GPU with matrices of subgroups', hopperWebgpu],
])('f16 where a norm bounds the factors, on %s', (_, target) => {
  it('multiplies what is normalised in f16 and a stream that f16 does not hold in f32', async () => {
    const device = new InterpreterDevice(target);
    expectOneInHalves(await measureBlock(device, 'f16_where_bounded'));
    const inF32 = await measureBlock(device, 'f32');
    expect(inF32.normalised).toBeLessThan(1e-6);
    expect((await measureBlock(device, 'f16')).raw).toBeNaN();
  });
});

describe('values between kernels', () => {
  /** What a GPU with matrices keeps values in, by the end of their names. */
  const storagesOf = (lines: string): ReadonlyMap<string, string> => {
    const module = parseModule(`weight @w : f32[64, 64] = tensor "w"
    weight @v : f32[64, 64] = tensor "v"
    func @f(%x: f32[n, 64]) -> (y: %y) {
      ${lines}
      %y = matmul(%p, @v) {transposeB = true}
    }`);
    const { plans } = compileModule(module, hopperWebgpu, { print: () => '', operands: 'f16_where_bounded' });
    const { storages } = plans.get('f')!;
    return new Map(storages.flatMap(({ kind, label, storage }) => (kind === 'result' ? [] : [[label, storage]])));
  };

  it('are halves where products of f16 factors alone read them', () => {
    const storages = storagesOf('%l = layer_norm(%x) {eps = 1e-6}\n%p = matmul(%l, @w) {transposeB = true}');
    // What the first product makes is bounded by nothing.
    expect(Object.fromEntries(storages)).toEqual({ x: 'f32', l: 'f16', p: 'f32', 'w.f16': 'f16', v: 'f32' });
  });

  it('stay wide where a product of f32 factors reads them too, or a storage has others', () => {
    const both = storagesOf(`%l = layer_norm(%x) {eps = 1e-6}
      %a = matmul(%l, @w) {transposeB = true}
      %scores = matmul(%l, %x) {transposeB = true}
      %p0 = matmul(%scores, %x) {transposeB = false}
      %p = add(%a, %p0)`);
    expect(both.get('l')).toBe('f32');
    const joined = storagesOf(`%l = layer_norm(%x) {eps = 1e-6}
      %s = add(%x, 1)
      %all = concat(%l, %s) {axis = 0}
      %a = matmul(%l, @w) {transposeB = true}
      %b = matmul(%all, @w) {transposeB = true}
      %bl, %br = split(%b) {axis = 0, sizes = [n, n]}
      %c = add(%bl, %br)
      %p = add(%a, %c)`);
    expect([...joined.values()].filter((storage) => storage === 'f16')).toEqual(['f16']);
    expect(joined.get('w.f16')).toBe('f16');
  });
});

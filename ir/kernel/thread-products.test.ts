/** Products of 8-bit floats: text, verification and interpretation. */
import { describe, expect, it } from 'vitest';
import { cudaTarget } from '../../backends/cuda/cuda-target.js';
import { compileWasm } from '../../backends/cpu/wasm.js';
import { printWgsl } from '../../backends/webgpu/wgsl.js';
import { f8Product, fragmentKernel, fragmentProduct, sharedKernel, sharedProduct } from '../../test/f8e4m3-products.js';
import { pipelinedProduct } from '../../test/pipelined-product.js';
import { codeOf } from '../../test/code-of.js';
import { runThreadKernel } from './thread-interpret.js';
import { parseThreadKernel } from './thread-parse.js';
import { printThreadKernel } from './thread-print.js';
import { verifyThreadKernel } from './thread-verify.js';

const ada = cudaTarget(['sm_89']);
const hopper = cudaTarget(['sm_90a']);

function verified(text: string, target = hopper): string {
  return codeOf(() => verifyThreadKernel(parseThreadKernel(text), target), 'accepted');
}

describe('products of 8-bit floats', () => {
  it.each([fragmentProduct, sharedProduct])('print what was parsed', (text) => {
    expect(printThreadKernel(parseThreadKernel(text))).toBe(text);
  });

  it('are accepted for a target that has them', () => {
    expect(verified(fragmentProduct, ada)).toBe('accepted');
    expect(verified(fragmentProduct)).toBe('accepted');
    expect(verified(sharedProduct)).toBe('accepted');
    expect(verified(sharedProduct, ada)).toBe('F2C231');
    const { fp8, ...without } = hopper;
    expect(fp8).toBe(true);
    for (const text of [fragmentProduct, sharedProduct]) {
      expect(verified(text, without)).toBe('F2C231');
      expect(verified(text.replaceAll('_f8e4m3', '_bf16'), without)).toBe('accepted');
    }
    expect(verified(fragmentProduct, cudaTarget(['sm_80', 'sm_90a']))).toBe('F2C231');
    for (const kernel of [fragmentKernel, sharedKernel]) {
      expect(codeOf(() => printWgsl(kernel))).toBe('F2C231');
      expect(codeOf(() => compileWasm(kernel))).toBe('F2C215');
    }
  });

  it.each([
    ['F2C231', 'matrix(stage_x, 2, rows', 'matrix(stage_x, 2, columns'],
    ['F2C231', 'matrix(stage_w, 2, rows', 'matrix(stage_w, 2, columns'],
    ['F2C231', 'matrix(stage_x, 2, rows, 512)', 'vector(1:u32, 2:u32, 3:u32, 4:u32)'],
    ['F2C226', 'matrix(stage_x, 2', 'matrix(stage_y, 2'],
    ['F2C222', 'matrix(stage_x, 2,', 'matrix(stage_x, 2.0,'],
  ])('are refused, %s, with %s as %s', (code, text, broken) => {
    expect(sharedProduct).toContain(text);
    expect(verified(sharedProduct.replace(text, broken))).toBe(code);
  });

  it.each(['multiply_f8e4m3', 'multiply_shared_f8e4m3'])('give no name to a buffer: %s', (name) => {
    const kernel = { ...sharedKernel, buffers: [...sharedKernel.buffers, { ...sharedKernel.buffers[0]!, name }] };
    expect(codeOf(() => verifyThreadKernel(kernel, hopper))).toBe('F2C228');
  });

  it('pack no 8-bit floats', () => {
    const packed = fragmentProduct.replace('let place', 'let word: u32 = pack_f8e4m3(sum_0)\n  let place');
    expect(codeOf(() => parseThreadKernel(packed))).toBe('F2C210');
  });

  it('come to a plain sum', () => {
    const [fragments, shared] = [f8Product(16, 16, 32 * 5), f8Product(64, 64, 256)];
    const codes = Array.from({ length: 256 }, (_, code) => code).filter((code) => (code & 0x7f) !== 0x7f);
    for (const operand of [fragments.x, fragments.w, shared.x, shared.w]) {
      expect([...new Set(operand)].sort((a, b) => a - b)).toEqual(codes);
    }
    const y = new Float32Array(16 * 16);
    runThreadKernel(fragmentKernel, { x: fragments.x, w: fragments.w, y }, { chunks: 5 }, [1, 1, 1]);
    expect(y).toEqual(fragments.y);
    const z = new Float32Array(64 * 64);
    runThreadKernel(sharedKernel, { x: shared.x, w: shared.w, y: z }, {}, [1, 1, 1]);
    expect(z).toEqual(shared.y);
  });

  it('come to a plain sum of what copies of boxes bring', () => {
    const { rows, columns, depth, x, w, y: expected } = f8Product(150, 66, 272);
    const kernel = pipelinedProduct({ name: 'pipelined', tileColumns: 64, stages: 2, operands: 'f8e4m3' });
    verifyThreadKernel(kernel, hopper);
    const y = new Float32Array(rows * columns);
    const parameters = { rows, columns, depth, tiles_x: 2, tiles_y: 2, tiles_z: 1 };
    runThreadKernel(kernel, { x, w, y }, parameters, [3, 1, 1]);
    expect(y).toEqual(expected);
  });
});

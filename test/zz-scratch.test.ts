import { it } from 'vitest';
import { cpuTarget, portableWebgpu } from '../backends/target.js';
import { parseModule } from '../ir/graph/parse.js';
import { compileModule } from '../passes/compile.js';
import { printThreadKernel } from '../ir/kernel/thread-print.js';
import { printTileKernel } from '../ir/kernel/tile-print.js';
const textOf = ({ depth, size, heads, keyHeads }: any): string => {
  const widths = [heads, keyHeads, keyHeads].map((count) => count * size);
  const rows = widths.reduce((sum, width) => sum + width);
  return `weight @a : bf16[${depth}, 8] = tensor "a"
  weight @w : bf16[${rows}, ${depth}] = tensor "w"
  weight @qn : bf16[${size}] = tensor "qn"
  weight @kn : f32[${size}] = tensor "kn"
  func @f(%x: f32[b, t, 8], %c: f32[t, ${size / 2}], %s: f32[t, ${size / 2}]) -> (q: %qt, k: %kt, v: %vt, y: %y) {
    %h = matmul(%x, @a) {transposeB = true}
    %p = matmul(%h, @w) {transposeB = true}
    %q, %k, %v = split(%p) {axis = 2, sizes = [${widths.join(', ')}]}
    %qh = reshape(%q) {shape = [b, t, ${heads}, ${size}]}
    %qr = rms_norm(%qh, @qn) {eps = 0.000001}
    %qe = rope(%qr, %c, %s) {style = interleaved}
    %kh = reshape(%k) {shape = [b, t, ${keyHeads}, ${size}]}
    %kr = rms_norm(%kh, @kn) {eps = 0.01}
    %ke = rope(%kr, %c, %s) {style = interleaved}
    %vh = reshape(%v) {shape = [b, t, ${keyHeads}, ${size}]}
    %qt = transpose(%qe) {permutation = [0, 2, 1, 3]}
    %kt = transpose(%ke) {permutation = [0, 2, 1, 3]}
    %vt = transpose(%vh) {permutation = [0, 2, 1, 3]}
    %y = attention(%qt, %kt, %vt) {scale = 0.25, causal = false}
  }`;
};
it('x', () => {
  for (const target of [cpuTarget, {...portableWebgpu, maxStorageBuffers: 16}]) {
  const { kernels } = compileModule(parseModule(textOf({depth: 32, size: 64, heads: 2, keyHeads: 2})), target, { print: () => '' });
  for (const k of kernels.values()) if (k.name.includes('rms_norm')) console.log(printTileKernel(k.tile), printThreadKernel(k.thread));
  }
});

/**
 * What nvcc makes of products by four warps: between the fence and the end of their group no other instruction may touch their
 * registers (PTX ISA, `wgmma.fence`), and a compiler knows that only from what the text says.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { printCuda } from '../backends/cuda/cuda.js';
import { cudaPrelude, cudaPreludeName } from '../backends/cuda/prelude/prelude.js';
import { hasProgram } from './cuda-tools.js';
import { matrixCases, matrixTargets, prepareMatrixCase } from './matrix-cases.js';

const folder = mkdtempSync(join(tmpdir(), 'flux2c-wgmma-'));
afterAll(() => rmSync(folder, { recursive: true }));

const whats = [
  'a gated pair of products in one',
  'attention with heads of 128',
  'causal attention with a mask and heads of 128',
];
const cases = matrixTargets
  .filter(([, { matrix }]) => matrix === 'wgmma')
  .flatMap(([how, target]) => whats.map((what) => [`${what} ${how}`, what, target] as const));

/** Instructions that stand in a group of products and name one of its registers, though they are none of the products. */
function intruders(ptx: string): readonly string[] {
  const found: string[] = [];
  for (const [, group = ''] of ptx.matchAll(/wgmma\.fence\.sync\.aligned;([^]*?)wgmma\.commit_group/g)) {
    const lines = group.split('\n').filter((line) => /^\s*[a-z@{]/.test(line) && !line.trim().startsWith('//'));
    const isProduct = (line: string): boolean => line.includes('wgmma.mma_async');
    const registers = new Set(lines.filter(isProduct).flatMap((line) => line.match(/%[fr]\d+/g) ?? []));
    const others = lines.filter((line) => !isProduct(line));
    found.push(...others.filter((line) => (line.match(/%[fr]\d+/g) ?? []).some((name) => registers.has(name))));
  }
  return found;
}

if (await hasProgram('nvcc', 'registers of products in PTX')) {
  describe('groups of products in PTX', () => {
    it.each(cases)('hold their registers alone: %s', { timeout: 120_000 }, async (_, what, target) => {
      writeFileSync(join(folder, cudaPreludeName), cudaPrelude);
      const { compiled } = prepareMatrixCase(
        matrixCases.find((one) => one.what === what)!,
        target,
        printCuda,
      );
      const kernels = [...compiled.kernels.values()].filter(({ schedule }) => schedule.matrix?.unit === 'wgmma');
      expect(kernels.length).toBeGreaterThan(0);
      for (const { name, source } of kernels) {
        const [text, ptx] = [join(folder, `${name}.cu`), join(folder, `${name}.ptx`)];
        writeFileSync(text, source);
        const options = ['-ptx', '-gencode', 'arch=compute_90a,code=compute_90a', '-std=c++17', text, '-o', ptx];
        await promisify(execFile)('nvcc', options);
        const written = readFileSync(ptx, 'utf8');
        expect(written).toMatch(/wgmma\.mma_async/);
        expect(intruders(written), name).toEqual([]);
      }
    });

    it('would show what is moved into them', () => {
      const product =
        'wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f1, %f2, %f3, %f4}, %rd1, %rd2, add, 1, 1, 0, 0;';
      const group = [
        'wgmma.fence.sync.aligned;',
        '\tmov.f32 %f1, 0f00000000;',
        `\t{ ${product} }`,
        'wgmma.commit_group.sync.aligned;',
      ];
      expect(intruders(group.join('\n'))).toEqual(['\tmov.f32 %f1, 0f00000000;']);
    });
  });
}

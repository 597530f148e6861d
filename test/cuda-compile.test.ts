/** nvcc compiles the kernels of the released models. FLUX2C_ALL_KERNELS=1 takes all instead of one of each kind and model. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CudaArchitecture, cudaTarget } from '../backends/cuda/cuda-target.js';
import { cudaPrelude, cudaPreludeName } from '../backends/cuda/prelude/prelude.js';
import { printCuda } from '../backends/cuda/cuda.js';
import { builtin, vectorOf } from '../ir/kernel/expressions.js';
import type { StorageType, ThreadKernel } from '../ir/kernel/thread.js';
import type { Target } from '../backends/target.js';
import { kernelPrinter } from '../backends/print-kernel.js';
import { buildFunction } from '../models/flux2/component-functions.js';
import type { NetworkName } from '../models/flux2/networks.js';
import { type VariantName, variants } from '../models/flux2/variants.js';
import { mayQuantize } from '../models/flux2/quantized-tensors.js';
import { compileModule, type Operands } from '../passes/compile.js';
import type { CompiledKernel } from '../passes/compiled.js';
import { hasProgram } from './cuda-tools.js';

const execute = promisify(execFile);

/** A file of 16 kernels compiles in 5 s, each alone in 1. */
const kernelsAFile = 16;

const functions: readonly (readonly [VariantName, readonly NetworkName[]])[] = [
  ['dev', ['denoise', 'text_encoder', 'vae_encoder', 'vae_decoder']],
  ['klein-4b', ['denoise', 'denoise_cfg', 'denoise_cached', 'text_encoder']],
];

/** Distinct kernels, or the first of a model's with each name, not counting its hash. */
function kernelsOf(target: Target, operands: Operands): readonly CompiledKernel[] {
  const all = process.env['FLUX2C_ALL_KERNELS'] === '1';
  const chosen = new Map<string, CompiledKernel>();
  for (const [variant, names] of functions) {
    const { transformer, autoencoder, textEncoder, textEncoderOutLayers } = variants[variant];
    const description = { name: variant, pipeline: undefined, transformer, autoencoder, textEncoder };
    for (const name of names) {
      const module = buildFunction(description, name, () => 'bf16', textEncoderOutLayers);
      const options = { print: kernelPrinter(target), operands, mayQuantize };
      for (const kernel of compileModule(module, target, options).kernels.values()) {
        const key = all ? kernel.name : `${variant} ${kernel.name.replace(/_[0-9a-f]{8}$/, '')}`;
        if (!chosen.has(key)) chosen.set(key, kernel);
      }
    }
  }
  return [...chosen.values()];
}

const isEightBit = ({ thread }: CompiledKernel): boolean => thread.buffers.some(({ storage }) => storage === 'f8e4m3');

/** y[i] = x[i] between storage types. */
function copyKernel(from: StorageType, to: StorageType, lanes: 1 | 2 | 4): { name: string; source: string } {
  const name = `copy_${from}_${to}_${lanes}`;
  const index = builtin('local_index');
  const kernel: ThreadKernel = {
    phase: 'thread',
    name,
    buffers: [
      { name: 'x', storage: from, lanes, access: 'read' },
      { name: 'y', storage: to, lanes, access: 'write' },
    ],
    parameters: [],
    workgroupSize: 32,
    shared: [],
    body: [
      { kind: 'store', buffer: 'y', index, value: { kind: 'load', buffer: 'x', index, type: vectorOf('f32', lanes) } },
    ],
  };
  return { name, source: printCuda(kernel) };
}

if (await hasProgram('nvcc', 'CUDA kernels of the released models')) {
  describe('CUDA kernels of the released models', { timeout: 1_800_000 }, () => {
    let folder = '';
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'flux2c-nvcc-'));
      await writeFile(join(folder, cudaPreludeName), cudaPrelude);
    });
    afterAll(() => rm(folder, { recursive: true }));

    const compile = async (
      file: string,
      some: readonly Pick<CompiledKernel, 'name' | 'source'>[],
      architecture: CudaArchitecture,
    ) => {
      const source = join(folder, `${file}.cu`);
      await writeFile(source, some.map((kernel) => kernel.source).join('\n'));
      // Addresses bind names that no statement reads where a tile has one element.
      const options = [`-arch=${architecture}`, '-cubin', '-diag-suppress', '177', '-Werror', 'all-warnings'];
      const { stderr } = await execute('nvcc', [...options, source, '-o', join(folder, `${file}.cubin`)]);
      expect(stderr).toBe('');
      const cubin = await readFile(join(folder, `${file}.cubin`), 'latin1');
      for (const { name } of some) expect(cubin).toContain(`.text.${name}`);
    };

    it.each([
      ['f32', 'sm_80'],
      ['bf16', 'sm_80'],
      ['bf16', 'sm_90a'],
      ['fp8', 'sm_89'],
      ['fp8', 'sm_90a'],
    ] as const)('compile with operands in %s for %s', async (operands, architecture) => {
      const all = kernelsOf(cudaTarget([architecture]), operands);
      // The others are as with operands in bf16.
      const kernels = operands === 'fp8' ? all.filter(isEightBit) : all;
      expect(kernels.length).toBeGreaterThan(operands === 'fp8' ? 10 : 40);
      if (operands === 'fp8') expect(kernels.some(({ source }) => /mma_\w+_f8e4m3\(/.test(source))).toBe(true);
      const files = Array.from({ length: Math.ceil(kernels.length / kernelsAFile) }, (_, at) =>
        kernels.slice(at * kernelsAFile, (at + 1) * kernelsAFile),
      );
      let next = 0;
      const work = async (): Promise<void> => {
        for (let at = next++; at < files.length; at = next++) await compile(`unit${at}`, files[at]!, architecture);
      };
      await Promise.all(Array.from({ length: Math.min(availableParallelism(), files.length) }, work));
    });

    it.each(['sm_80', 'sm_89', 'sm_90a', 'sm_120'] as const)('widen and round f8e4m3 on %s', async (architecture) => {
      const kernels = ([1, 2, 4] as const).flatMap((lanes) => [
        copyKernel('f8e4m3', 'f32', lanes),
        copyKernel('f32', 'f8e4m3', lanes),
      ]);
      await compile(`f8e4m3_${architecture}`, kernels, architecture);
    });

    it('compile for sm_120', async () => {
      await compile('sm_120', kernelsOf(cudaTarget(['sm_120']), 'bf16').slice(0, 8), 'sm_120');
    });
  });
}

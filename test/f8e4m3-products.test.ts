/** Products of 8-bit floats as CUDA C++: on the emulator the numbers of the interpreter, less what Hopper cuts off, and nvcc compiles them. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { printCuda } from '../backends/cuda/cuda.js';
import { cudaTarget } from '../backends/cuda/cuda-target.js';
import { cudaPrelude, cudaPreludeName } from '../backends/cuda/prelude/prelude.js';
import { compareTensors } from '../ir/host-tensor.js';
import type { ThreadKernel } from '../ir/kernel/thread.js';
import { runThreadKernel } from '../ir/kernel/thread-interpret.js';
import { CudaEmulatorDevice } from '../runtime/cuda/node/emulator-device.js';
import { emulate, hasProgram } from './cuda-tools.js';
import { asF32 } from './device-cases.js';
import { f8Product, fragmentKernel, normalF8Product, sharedKernel } from './f8e4m3-products.js';
import { pipelinedProduct } from './pipelined-product.js';

const pipelined = (tileColumns: number): ThreadKernel =>
  pipelinedProduct({ name: `pipelined_${tileColumns}`, tileColumns, stages: 3, operands: 'f8e4m3' });

if (await hasProgram('g++', 'products of 8-bit floats on the CUDA emulator')) {
  describe('products of 8-bit floats on the CUDA emulator', () => {
    const device = new CudaEmulatorDevice({ target: cudaTarget(['sm_90a']) });
    afterAll(() => device.destroy());

    it.each([
      ['fragments', fragmentKernel, f8Product(16, 16, 96), { chunks: 3 }, [1, 1, 1], 'all bits'],
      ['workgroup memory', sharedKernel, f8Product(64, 64, 256), {}, [1, 1, 1], 'some bits'],
      ['what copies of boxes bring', pipelined(128), f8Product(200, 150, 528), {}, [2, 2, 1], 'some bits'],
    ] as const)('are those of the interpreter from %s', async (_, kernel, product, given, workgroups, kept) => {
      const { rows, columns, depth, x, w, y: plain, truncated, bounds } = product;
      const [tiles_x, tiles_y, tiles_z] = workgroups;
      const parameters = { rows, columns, depth, tiles_x, tiles_y, tiles_z, ...given };
      const y = new Float32Array(rows * columns);
      runThreadKernel(kernel, { x, w, y }, parameters, workgroups);
      const buffers = [x, w, new Uint8Array(y.byteLength)];
      const [, , found] = await emulate(device, { kernel, buffers, parameters, workgroups });
      expect(y).toEqual(plain);
      if (kept === 'all bits') {
        expect(asF32(found!)).toEqual(y);
        return;
      }
      // What four subgroups multiply from workgroup memory is added as on Hopper.
      expect(asF32(found!)).toEqual(truncated);
      const excess = truncated.map((value, at) => Math.abs(value - y[at]!) - bounds[at]!);
      expect(Math.max(...excess)).toBeLessThanOrEqual(0);
      expect(truncated).not.toEqual(y);
    });

    it.each([
      ['around 0', 0, 6144, 1.6e-3],
      ['around 0', 0, 24576, 4.2e-3],
      ['around 1, whose sums have one sign', 1, 24576, 0.21],
    ] as const)('lose bits of long sums on Hopper: of numbers %s (mean %d), depth %d', async (_, mean, depth, loss) => {
      const [rows, columns] = [16, 16];
      const { x, w, y, truncated } = normalF8Product(rows, columns, depth, mean);
      const parameters = { rows, columns, depth, tiles_x: 1, tiles_y: 1, tiles_z: 1 };
      const buffers = [x, w, new Uint8Array(y.byteLength)];
      const [, , found] = await emulate(device, { kernel: pipelined(64), buffers, parameters });
      expect(asF32(found!)).toEqual(truncated);
      const tensor = (data: Float32Array) => ({ dtype: 'f32', shape: [rows, columns], data: Float64Array.from(data) }) as const; // prettier-ignore
      const { relativeL2 } = compareTensors(tensor(asF32(found!)), tensor(y));
      expect(relativeL2).toBeGreaterThan(0.8 * loss);
      expect(relativeL2).toBeLessThan(1.2 * loss);
    });

    it.each([
      ['that nothing has shared with the matrix units', 'f2c::fence_proxy_async();', 'F2C238'],
      ['that nobody waits for', 'f2c::copy_async_wait<0>();', 'F2C249'],
      ['that others may not have written', '__syncthreads();', 'F2C244'],
    ] as const)('report operands %s', async (_, omitted, code) => {
      const { x, w } = f8Product(64, 64, 256);
      const text = printCuda(sharedKernel);
      expect(text).toContain(omitted);
      const launch = {
        kernel: sharedKernel,
        source: text.replace(omitted, ''),
        buffers: [x, w, new Uint8Array(16384)],
      };
      await expect(emulate(device, launch)).rejects.toMatchObject({ code });
    });
  });
}

if (await hasProgram('nvcc', 'products of 8-bit floats compiled by nvcc')) {
  it.each([
    ['sm_89', [fragmentKernel]],
    ['sm_90a', [fragmentKernel, sharedKernel, ...[64, 128, 256].map(pipelined)]],
    ['sm_120', [fragmentKernel]],
  ] as const)('products of 8-bit floats compile for %s', { timeout: 120_000 }, async (architecture, kernels) => {
    const folder = await mkdtemp(join(tmpdir(), 'flux2c-nvcc-'));
    await writeFile(join(folder, cudaPreludeName), cudaPrelude);
    await writeFile(join(folder, 'products.cu'), kernels.map((kernel) => printCuda(kernel)).join('\n'));
    // Maps stand for buffers, which their kernels do not read otherwise.
    const options = [`-arch=${architecture}`, '-cubin', '-diag-suppress', '177', '-Werror', 'all-warnings'];
    const place = [join(folder, 'products.cu'), '-o', join(folder, 'products.cubin')];
    const { stderr } = await promisify(execFile)('nvcc', [...options, '-Xptxas', '-v', ...place]);
    await rm(folder, { recursive: true });
    expect(stderr).not.toMatch(/warning|setmaxnreg|serialized/);
    expect(stderr.match(/\d+ bytes spill stores/g)).toEqual(kernels.map(() => '0 bytes spill stores'));
  });
}

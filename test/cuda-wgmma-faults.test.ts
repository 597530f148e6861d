/** What a product by four warps needs beside its operands, left out of the text: each omission must show on the emulator. */
import { afterAll, describe, expect, it } from 'vitest';
import { printCuda } from '../backends/cuda/cuda.js';
import { cudaTarget } from '../backends/cuda/cuda-target.js';
import { CudaEmulatorDevice } from '../runtime/cuda/node/emulator-device.js';
import { hasProgram } from './cuda-tools.js';
import { expectSameNumbers, matrixCases, prepareMatrixCase, withoutTensorCopies } from './matrix-cases.js';

const target = withoutTensorCopies(cudaTarget(['sm_90a']));
const product = matrixCases[0]!;

if (await hasProgram('g++', 'bugs planted in products by four warps')) {
  describe('products by four warps on the CUDA emulator', () => {
    const device = new CudaEmulatorDevice({ target });
    afterAll(() => device.destroy());

    it.each([
      ['without the fence between copies and products', /^ *f2c::fence_proxy_async\(\);\n/m, '', 'F2C238', /copy_async_16/],
      ['without the fence of the registers', /^ *f2c::wgmma_fence\(.*\n/m, '', 'F2C237', /invocation/],
      ['where copies are not waited for', 'f2c::copy_async_wait<1>', 'f2c::copy_async_wait<2>', 'F2C249', /copy_async_16/],
      ['without the barrier behind the wait', /^ *__syncthreads\(\);\n/m, '', 'F2C244', /after invocation/],
      ['that are left running while their stage is filled again', 'f2c::wgmma_wait<1>', 'f2c::wgmma_wait<4>', 'F2C249', /copy_async_16/],
    ] as const)('are reported %s', async (_, from, to, code, found) => {
      const run = prepareMatrixCase(product, target, (kernel) => printCuda(kernel).replace(from, to));
      const plain = prepareMatrixCase(product, target, printCuda);
      const sources = ({ compiled }: typeof run): string => [...compiled.kernels.values()].map((one) => one.source).join(); // prettier-ignore
      expect(sources(run)).not.toBe(sources(plain));
      await expect(expectSameNumbers(run, device)).rejects.toMatchObject({
        code,
        detail: { found: expect.stringMatching(found) as unknown },
      });
    }); // prettier-ignore

    it('give other numbers where the sums are not waited for', async () => {
      const run = prepareMatrixCase(product, target, (kernel) =>
        printCuda(kernel).replace(/f2c::wgmma_wait<0>\(.*\);/, ''),
      );
      await expect(expectSameNumbers(run, device)).rejects.toThrowError(/y: expected/);
    });
  });
}

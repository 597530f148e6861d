/** The same products as CUDA C++ on the emulator: lanes of a warp in lockstep, real barriers, poisoned memory. */
import { afterAll, describe, it } from 'vitest';
import { printCuda } from '../backends/cuda/cuda.js';
import { hasProgram } from './cuda-tools.js';
import { CudaEmulatorDevice } from '../runtime/cuda/node/emulator-device.js';
import { expectSameNumbers, matrixCases, matrixTargets, prepareMatrixCase } from './matrix-cases.js';

if (await hasProgram('g++', 'matrix products on the CUDA emulator')) {
  describe.each(matrixTargets)('matrix products %s, on the CUDA emulator', (_, target) => {
    const device = new CudaEmulatorDevice({ target });
    afterAll(() => device.destroy());

    it.each(matrixCases)('$what', async (test) => {
      await expectSameNumbers(prepareMatrixCase(test, target, printCuda), device);
    });
  });
}

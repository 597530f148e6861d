/** Products of 16-bit operands by matrix fragments, on the thread interpreter, for both families of GPUs. */
import { describe, expect, it } from 'vitest';
import { cudaTarget } from '../backends/cuda/cuda-target.js';
import { parseThreadKernel } from '../ir/kernel/thread-parse.js';
import { printThreadKernel } from '../ir/kernel/thread-print.js';
import { verifyThreadKernel } from '../ir/kernel/thread-verify.js';
import { InterpreterDevice } from '../runtime/interpreter-device.js';
import { expectSameNumbers, matrixCases, prepareMatrixCase } from './matrix-cases.js';

describe.each(['sm_80', 'sm_90a'] as const)('matrix products for %s', (architecture) => {
  const target = cudaTarget([architecture]);

  it.each(matrixCases)('$what', async (test) => {
    const run = prepareMatrixCase(test, target, () => '');
    const kernels = [...run.compiled.kernels.values()];
    const units = kernels.map(({ schedule }) => schedule.matrix?.unit);
    expect(units.filter((unit) => unit !== undefined)).toHaveLength(test.fragments);
    expect(units.filter((unit) => unit === 'wgmma')).toHaveLength(architecture === 'sm_90a' ? test.shared : 0);
    for (const { thread } of kernels) {
      verifyThreadKernel(thread, target);
      expect(parseThreadKernel(printThreadKernel(thread))).toEqual(thread);
    }
    await expectSameNumbers(run, new InterpreterDevice(target));
  });
});

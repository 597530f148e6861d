/** Products of 16-bit operands by matrix fragments, on the thread interpreter, in every way that a family of GPUs has. */
import { describe, expect, it } from 'vitest';
import { parseThreadKernel } from '../ir/kernel/thread-parse.js';
import { printThreadKernel } from '../ir/kernel/thread-print.js';
import { verifyThreadKernel } from '../ir/kernel/thread-verify.js';
import { InterpreterDevice } from '../runtime/interpreter-device.js';
import { expectSameNumbers, matrixCases, matrixTargets, prepareMatrixCase } from './matrix-cases.js';

describe.each(matrixTargets)('matrix products %s', (_, target) => {
  it.each(matrixCases)('$what', async (test) => {
    const run = prepareMatrixCase(test, target, () => '');
    const kernels = [...run.compiled.kernels.values()];
    const products = kernels.flatMap(({ schedule }) => schedule.matrix ?? []);
    expect(products).toHaveLength(test.fragments);
    expect(products.filter(({ unit }) => unit === 'wgmma')).toHaveLength(target.matrix === 'wgmma' ? test.shared : 0);
    expect(products.filter(({ walk }) => walk !== undefined)).toHaveLength(
      target.tensorCopies === true ? test.walking : 0,
    );
    for (const { thread } of kernels) {
      verifyThreadKernel(thread, target);
      expect(parseThreadKernel(printThreadKernel(thread))).toEqual(thread);
    }
    await expectSameNumbers(run, new InterpreterDevice(target));
  });
});

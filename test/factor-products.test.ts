/** Products of f16 factors by matrices of subgroups, on the thread interpreter, for the sizes that drivers have. */
import { describe, expect, it } from 'vitest';
import { portableWebgpu, type Target } from '../backends/target.js';
import { parseThreadKernel } from '../ir/kernel/thread-parse.js';
import { printThreadKernel } from '../ir/kernel/thread-print.js';
import { verifyThreadKernel } from '../ir/kernel/thread-verify.js';
import { InterpreterDevice } from '../runtime/interpreter-device.js';
import { expectSameNumbers, matrixCases, prepareMatrixCase } from './matrix-cases.js';

const targetOf = (size: number, lanes: number): Target => ({
  ...portableWebgpu,
  f16: true,
  matrix: 'subgroup',
  subgroupProduct: { rows: size, columns: size, depth: size },
  subgroups: { min: lanes, max: lanes },
  workgroupMemory: 49152,
  maxStorageBuffers: 16,
});

/** Heads that are no whole slabs of columns, or too wide for a subgroup's registers, are multiplied otherwise. */
const without: Readonly<Record<string, number>> = {
  'causal attention with a mask and heads of 48': 1,
};

describe.each([
  ['16 by 16 by 16, subgroups of 32', targetOf(16, 32)],
  ['8 by 8 by 8, subgroups of 8', targetOf(8, 8)],
])('products of matrices of %s', (_, target) => {
  it.each(matrixCases)('$what', async (test) => {
    const run = prepareMatrixCase(test, target, () => '', 'f16');
    const kernels = [...run.compiled.kernels.values()];
    const products = kernels.flatMap(({ schedule }) => schedule.matrix ?? []);

    for (const { thread } of kernels) {
      verifyThreadKernel(thread, target);
      expect(parseThreadKernel(printThreadKernel(thread))).toEqual(thread);
    }
    await expectSameNumbers(run, new InterpreterDevice(target));
    expect(products).toHaveLength(test.fragments - (without[test.what] ?? 0));
  });
});

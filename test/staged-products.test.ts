/** Products in f32 whose factors pass through workgroup memory, as GPUs without matrices multiply, on the thread interpreter. */
import { describe, expect, it } from 'vitest';
import { portableWebgpu } from '../backends/target.js';
import { verifyThreadKernel } from '../ir/kernel/thread-verify.js';
import { InterpreterDevice } from '../runtime/interpreter-device.js';
import { expectSameNumbers, matrixCases, prepareMatrixCase } from './matrix-cases.js';
import { hopperWebgpu } from './webgpu-targets.js';

/** Cases whose products are of few columns, of no vectors or of an unknown depth. */
const without = new Set([
  'a product over nothing',
  'few columns',
  'three columns, of which no pairs can be made',
  'attention that sees nothing',
  'a batch of products of two computed matrices',
]);

describe.each([
  ['any adapter', portableWebgpu],
  ['an adapter with more workgroup memory', hopperWebgpu],
])('products of %s', (_, target) => {
  it.each(matrixCases)('$what', async (test) => {
    const run = prepareMatrixCase(test, target, () => '', 'f32');
    const kernels = [...run.compiled.kernels.values()];
    const staged = kernels.filter(({ schedule }) => schedule.staged === true);
    for (const { thread } of kernels) verifyThreadKernel(thread, target);
    await expectSameNumbers(run, new InterpreterDevice(target));
    expect(staged.length > 0).toBe(!without.has(test.what));
  });
});

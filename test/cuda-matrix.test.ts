/** Products of 16-bit operands by matrix fragments, on the thread interpreter, in every way that a family of GPUs has. */
import { describe, expect, it } from 'vitest';
import { forEachStatement } from '../ir/kernel/statements.js';
import type { Statement, ThreadKernel } from '../ir/kernel/thread.js';
import { parseThreadKernel } from '../ir/kernel/thread-parse.js';
import { printThreadKernel } from '../ir/kernel/thread-print.js';
import { verifyThreadKernel } from '../ir/kernel/thread-verify.js';
import { InterpreterDevice } from '../runtime/interpreter-device.js';
import { expectSameNumbers, matrixCases, matrixTargets, prepareMatrixCase } from './matrix-cases.js';

/** ptxas loses operands that a loop's products have in registers where a branch is between them (docs/performance.md). */
function branchesBetweenProducts({ body }: ThreadKernel): readonly Statement[] {
  const found: Statement[] = [];
  const multiplies = ({ kind }: Statement): boolean => kind === 'multiply_shared';
  forEachStatement(body, (loop) => {
    if (loop.kind !== 'for') return;
    const within = loop.body.slice(
      Math.max(0, loop.body.findIndex(multiplies)),
      loop.body.findLastIndex(multiplies) + 1,
    );
    found.push(...within.filter(({ kind }) => kind === 'if'));
  });
  return found;
}

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
      expect(branchesBetweenProducts(thread)).toEqual([]);
      expect(parseThreadKernel(printThreadKernel(thread))).toEqual(thread);
    }
    await expectSameNumbers(run, new InterpreterDevice(target));
  });
});

/** Products in f32 whose factors pass through workgroup memory, on the thread interpreter, in every such way that fits. */
import { describe, expect, it } from 'vitest';
import { portableWebgpu } from '../backends/target.js';
import { Flux2cError } from '../ir/diagnostics.js';
import type { Schedule } from '../ir/kernel/tile.js';
import { verifyThreadKernel } from '../ir/kernel/thread-verify.js';
import { listStaged } from '../passes/kernel/schedule-staged.js';
import { InterpreterDevice } from '../runtime/interpreter-device.js';
import { expectSameNumbers, type MatrixRun, matrixCases, prepareMatrixCase } from './matrix-cases.js';
import { hopperWebgpu } from './webgpu-targets.js';

/** Cases whose factors are no vectors or of an unknown depth, and fewer columns than any tile has. */
const without = new Set([
  'a product over nothing',
  'three columns, of which no pairs can be made',
  'attention that sees nothing',
  'a batch of products of two computed matrices',
]);

/** With one kernel under another schedule; undefined where it does not fit. */
function prepareUnder(test: (typeof matrixCases)[number], key: string, schedule: Schedule): MatrixRun | undefined {
  try {
    return prepareMatrixCase(test, hopperWebgpu, () => '', 'f32', new Map([[key, schedule]]));
  } catch (error) {
    if (error instanceof Flux2cError && error.code === 'F2C304') return undefined;
    throw error;
  }
}

describe('products through workgroup memory', () => {
  it.each(matrixCases)('$what', async (test) => {
    const chosen = prepareMatrixCase(test, hopperWebgpu, () => '', 'f32');
    let tried = 0;
    for (const { key, facts } of chosen.compiled.kernels.values()) {
      for (const schedule of listStaged(facts, hopperWebgpu)) {
        const run = prepareUnder(test, key(), schedule);
        if (run === undefined) continue;
        tried++;
        for (const { thread } of run.compiled.kernels.values()) verifyThreadKernel(thread, hopperWebgpu);
        await expectSameNumbers(run, new InterpreterDevice(hopperWebgpu));
      }
    }
    expect(tried > 0).toBe(!without.has(test.what));
  });

  it('are chosen for GPUs that have room for two workgroups, not for adapters that nobody knows', () => {
    const convolution = matrixCases.find(({ what }) => what === 'a padded convolution')!;
    const stagedFor = (target: typeof hopperWebgpu): boolean =>
      [...prepareMatrixCase(convolution, target, () => '', 'f32').compiled.kernels.values()].some(
        ({ schedule }) => schedule.staged === true,
      );
    expect(stagedFor(hopperWebgpu)).toBe(true);
    expect(stagedFor(portableWebgpu)).toBe(false);
  });
});

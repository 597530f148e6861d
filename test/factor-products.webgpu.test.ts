/** Products of f16 factors by matrices of subgroups, as WGSL, on the first adapter that has them. */
import { afterAll, describe, expect, it } from 'vitest';
import { kernelPrinter } from '../backends/print-kernel.js';
import { openDawn } from '../runtime/webgpu/node/dawn.js';
import { createWebgpuDevice } from '../runtime/webgpu/webgpu-device.js';
import { compilingTimeoutMs } from './golden-on-device.js';
import { expectSameNumbers, matrixCases, prepareMatrixCase } from './matrix-cases.js';

const { adapter } = await openDawn();
const device =
  adapter === undefined
    ? undefined
    : await createWebgpuDevice(adapter, { limits: { subgroupMatrices: true, workgroupMemory: 12288 } });
const reason =
  device === undefined ? 'there is no adapter' : `${device.description} multiplies no matrices of subgroups`;

if (device?.target.matrix !== 'subgroup') {
  it.skip(`products of matrices of subgroups: ${reason}`, () => undefined);
} else {
  describe(`products of matrices of subgroups on ${device.description}`, () => {
    afterAll(() => device.destroy());
    it.each(matrixCases)(
      '$what',
      async (test) => {
        const run = prepareMatrixCase(test, device.target, kernelPrinter(device.target), 'f16');
        const products = [...run.compiled.kernels.values()].flatMap(({ schedule }) => schedule.matrix ?? []);
        expect(products.length).toBeGreaterThan(test.fragments - 2);
        await expectSameNumbers(run, device);
      },
      compilingTimeoutMs,
    );
  });
}

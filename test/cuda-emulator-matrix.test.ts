/** Products of 16-bit operands by matrix fragments and asynchronous copies, on the CUDA emulator. */
import { afterAll, describe, it } from 'vitest';
import { kernelPrinter } from '../backends/print-kernel.js';
import { openEmulator } from './cuda-tools.js';
import { goldenNetworks } from './golden-cases.js';
import { describeGoldenCases } from './golden-on-device.js';
import { expectSameNumbers, matrixCases, prepareMatrixCase } from './matrix-cases.js';

/** bf16 has 8 bits: the whole networks stay within 0.03 and 0.0091. */
const tolerance = { maxAbs: 0.1, relativeL2: 2e-2 };

/** The first case of each kind of network: the policy is the same in all. */
const networks = ['transformer-tiny', 'vae-tiny', 'text-encoder-tiny'].flatMap((folder) =>
  goldenNetworks
    .filter(({ name }) => name.startsWith(folder))
    .slice(0, 1)
    .map((network) => ({ ...network, cases: network.cases.slice(0, 1) })),
);

const device = await openEmulator('matrix products on the CUDA emulator');
if (device !== undefined) {
  describe('matrix products on the CUDA emulator', () => {
    afterAll(() => device.destroy());

    it.each(matrixCases)('$what', async (test) => {
      await expectSameNumbers(prepareMatrixCase(test, device.target, kernelPrinter(device.target)), device);
    });

    describeGoldenCases(() => device, networks, tolerance, { operands: 'bf16' });
  });
}

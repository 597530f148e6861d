import { afterAll, describe } from 'vitest';
import { openEmulator } from './cuda-tools.js';
import { goldenNetworks } from './golden-cases.js';
import { describeGoldenCases } from './golden-on-device.js';

const device = await openEmulator('golden cases on the CUDA emulator');
if (device !== undefined) {
  describe('golden cases on the CUDA emulator', () => {
    afterAll(() => device.destroy());
    describeGoldenCases(() => device, goldenNetworks);
  });
}

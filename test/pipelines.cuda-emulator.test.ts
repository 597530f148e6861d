import { afterAll, describe } from 'vitest';
import { openEmulator } from './cuda-tools.js';
import { describePipelines } from './pipelines-on-device.js';

const device = await openEmulator('pipelines on the CUDA emulator');
if (device !== undefined) {
  describe('pipelines on the CUDA emulator', () => {
    afterAll(() => device.destroy());
    describePipelines(() => device, ['case_1']);
  });
}

import { afterAll, describe } from 'vitest';
import { openEmulator } from '../cuda-tools.js';
import { describeStreamedCases } from './streamed-cases.js';

const device = await openEmulator('streamed weights on the CUDA emulator');
if (device !== undefined) {
  describe('streamed weights on the CUDA emulator', () => {
    afterAll(() => device.destroy());
    describeStreamedCases(() => device, { graphs: 3, transformer: [0, 4, 0] });
  });
}

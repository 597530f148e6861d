import { afterAll, describe } from 'vitest';
import { goldenNetworks } from './golden-cases.js';
import { describeGoldenCases, openTestDevice } from './golden-on-device.js';
import { describePipelines } from './pipelines-on-device.js';

const device = await openTestDevice('lavapipe', 'golden cases');
if (device !== undefined) {
  describe('golden cases on lavapipe', () => {
    afterAll(() => device.destroy());
    describeGoldenCases(() => device, goldenNetworks);
    describePipelines(() => device);
  });
}

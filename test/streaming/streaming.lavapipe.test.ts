import { afterAll, describe } from 'vitest';
import { openTestDevice } from '../golden-on-device.js';
import { describeStreamedCases } from './streamed-cases.js';

const device = await openTestDevice('lavapipe', 'streamed weights');
if (device !== undefined) {
  describe('streamed weights on lavapipe', () => {
    afterAll(() => device.destroy());
    describeStreamedCases(() => device, { graphs: 8 });
  });
}

import { afterAll, describe } from 'vitest';
import { describeGoldenInt8 } from './golden-int8.js';
import { openTestDevice } from './golden-on-device.js';

const device = await openTestDevice('lavapipe', 'golden cases with operands in int8');
if (device !== undefined) {
  describe('golden cases with operands in int8 on lavapipe', () => {
    afterAll(() => device.destroy());
    describeGoldenInt8(() => device);
  });
}

import { afterAll, describe } from 'vitest';
import { describeByteProducts } from './byte-products.js';
import { openTestDevice } from './golden-on-device.js';

const device = await openTestDevice('lavapipe', 'products of bytes');
if (device !== undefined) {
  describe('products of bytes on lavapipe', () => {
    afterAll(() => device.destroy());
    describeByteProducts(() => device);
  });
}

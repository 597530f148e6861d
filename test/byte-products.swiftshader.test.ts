import { afterAll, describe } from 'vitest';
import { describeByteProducts } from './byte-products.js';
import { openTestDevice } from './golden-on-device.js';

const device = await openTestDevice('swiftshader', 'products of bytes');
if (device !== undefined) {
  describe('products of bytes on swiftshader', () => {
    afterAll(() => device.destroy());
    describeByteProducts(() => device);
  });
}

import { afterAll, describe } from 'vitest';
import { describeGoldenMatrices } from './encoded-golden.js';
import { describeEncodedProducts } from './encoded-products.js';
import { openTestDevice } from './golden-on-device.js';

const device = await openTestDevice('swiftshader', 'encoded weights');
if (device !== undefined) {
  describe('encoded weights on swiftshader', () => {
    afterAll(() => device.destroy());
    describeGoldenMatrices(() => device);
    describeEncodedProducts(
      () => device,
      [
        [5, 33],
        [19, 40],
      ],
    );
  });
}

/** f16 where a norm bounds the factors, on a driver with shader-f16. */
import { afterAll, describe, it } from 'vitest';
import { expectOneInHalves, measureBlock } from './bounded-factors.js';
import { openTestDevice } from './golden-on-device.js';

const device = await openTestDevice('lavapipe', 'f16 where a norm bounds the factors');
if (device !== undefined) {
  describe('f16 where a norm bounds the factors, on lavapipe', () => {
    afterAll(() => device.destroy());
    it('multiplies what is normalised in f16 and a stream that f16 does not hold in f32', async () => {
      expectOneInHalves(await measureBlock(device, 'f16_where_bounded'));
    });
  });
}

import { describe } from 'vitest';
import { describeBudgetedPictures } from './budgeted-pictures.js';
import { openTestDevice } from './golden-on-device.js';

const found = await openTestDevice('lavapipe', 'pictures within a budget');
await found?.destroy();
if (found !== undefined) {
  describe('pictures within a budget on lavapipe', () => {
    describeBudgetedPictures(async (memoryBudgetBytes) => {
      const options = memoryBudgetBytes === undefined ? {} : { memoryBudgetBytes };
      return (await openTestDevice('lavapipe', 'pictures within a budget', options))!;
    }, false);
  });
}

import { describe } from 'vitest';
import { describeBudgetedPictures } from './budgeted-pictures.js';
import { openEmulator } from './cuda-tools.js';

const found = await openEmulator('pictures within a budget on the CUDA emulator');
await found?.destroy();
if (found !== undefined) {
  describe('pictures within a budget on the CUDA emulator', () => {
    describeBudgetedPictures(async (memoryBudgetBytes) => {
      const options = memoryBudgetBytes === undefined ? {} : { memoryBudgetBytes };
      return (await openEmulator('pictures within a budget', options))!;
    }, false);
  });
}

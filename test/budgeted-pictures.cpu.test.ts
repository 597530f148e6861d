import { describe } from 'vitest';
import { createCpuDevice } from '../runtime/cpu/node/cpu-device.js';
import { describeBudgetedPictures } from './budgeted-pictures.js';

describe('pictures within a budget on the processor', () => {
  describeBudgetedPictures(
    async (memoryBudgetBytes) => createCpuDevice(memoryBudgetBytes === undefined ? {} : { memoryBudgetBytes }),
    true,
  );
});

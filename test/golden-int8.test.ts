import { afterAll, describe } from 'vitest';
import { createCpuDevice } from '../runtime/cpu/node/cpu-device.js';
import { describeGoldenInt8 } from './golden-int8.js';

describe('golden cases with operands in int8 on the processor', () => {
  const device = createCpuDevice();
  afterAll(() => device.destroy());
  describeGoldenInt8(() => device);
});

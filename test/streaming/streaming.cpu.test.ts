import { afterAll, describe } from 'vitest';
import { createCpuDevice } from '../../runtime/cpu/node/cpu-device.js';
import { describeStreamedCases } from './streamed-cases.js';

describe('streamed weights on the processor', () => {
  const device = createCpuDevice({ threads: 2 });
  afterAll(() => device.destroy());
  describeStreamedCases(() => device);
});

import { afterAll, describe } from 'vitest';
import { createCpuDevice } from '../runtime/cpu/node/cpu-device.js';
import { goldenNetworks } from './golden-cases.js';
import { describeGoldenCases } from './golden-on-device.js';
import { describePipelines } from './pipelines-on-device.js';

describe('golden cases on the processor', () => {
  const device = createCpuDevice();
  afterAll(() => device.destroy());
  describeGoldenCases(() => device, goldenNetworks);
  describePipelines(() => device);
});

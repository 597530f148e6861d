/** Uploads beside launches, on the driver that checks every call. */
import { afterAll, describe, expect } from 'vitest';
import { openMockDevice } from '../cuda/mock-device.js';
import { describeStreamedCases } from './streamed-cases.js';

describe('streamed weights on the mock driver', () => {
  const { device, driver } = openMockDevice();
  afterAll(async () => {
    expect(driver.pinnedBytes).toBeGreaterThan(0);
    await device.destroy();
    expect(driver.leaks).toEqual([]);
  });
  describeStreamedCases(() => device, { graphs: 6, transformer: [0, 4, 0], print: ({ name }) => `text of ${name}` });
});

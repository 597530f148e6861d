import { afterAll, describe } from 'vitest';
import { portableWebgpu } from '../backends/target.js';
import { createCpuDevice } from '../runtime/cpu/node/cpu-device.js';
import { InterpreterDevice } from '../runtime/interpreter-device.js';
import { openEmulator } from './cuda-tools.js';
import { describeGoldenMatrices } from './encoded-golden.js';
import { describeEncodedProducts } from './encoded-products.js';
import { hopperWebgpu } from './webgpu-targets.js';

const sizes = [
  [1, 7],
  [5, 33],
  [19, 12],
] as const;

describe('encoded weights on the processor', () => {
  const device = createCpuDevice();
  afterAll(() => device.destroy());
  describeGoldenMatrices(() => device);
  describeEncodedProducts(() => device, sizes);
});

describe.each([
  ['any WebGPU adapter', portableWebgpu],
  ['a GPU through WebGPU', hopperWebgpu],
  [
    'a driver in software',
    { ...portableWebgpu, stagingPays: false, subgroups: { min: 8, max: 8 }, maxStorageBuffers: 16 },
  ],
] as const)('encoded weights, interpreted for %s', (_, target) => {
  const device = new InterpreterDevice(target);
  describeGoldenMatrices(() => device);
  describeEncodedProducts(() => device, sizes);
});

const emulator = await openEmulator('encoded weights on the CUDA emulator');
if (emulator !== undefined) {
  describe('encoded weights on the CUDA emulator', () => {
    afterAll(() => emulator.destroy());
    describeGoldenMatrices(() => emulator);
    describeEncodedProducts(() => emulator, sizes);
  });
}

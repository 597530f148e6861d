/** Operands in int8: products of bytes on the processor, and interpreted for WebGPU's kinds of adapters. */
import { afterAll, describe } from 'vitest';
import { portableWebgpu } from '../backends/target.js';
import { createCpuDevice } from '../runtime/cpu/node/cpu-device.js';
import { InterpreterDevice } from '../runtime/interpreter-device.js';
import { describeByteProducts } from './byte-products.js';
import { hopperWebgpu } from './webgpu-targets.js';

describe('products of bytes on the processor', () => {
  const device = createCpuDevice();
  afterAll(() => device.destroy());
  describeByteProducts(() => device);
});

describe.each([
  ['any WebGPU adapter', portableWebgpu],
  ['a GPU through WebGPU', { ...hopperWebgpu, packedDots: true }],
  ['a GPU with room for staged factors', { ...portableWebgpu, workgroupMemory: 49152 }],
  [
    'a driver in software',
    { ...portableWebgpu, stagingPays: false, subgroups: { min: 8, max: 8 }, maxStorageBuffers: 16 },
  ],
] as const)('products of bytes, interpreted for %s', (_, target) => {
  const device = new InterpreterDevice(target);
  describeByteProducts(() => device);
});

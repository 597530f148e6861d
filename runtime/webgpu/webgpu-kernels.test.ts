import { describe, expect, it } from 'vitest';
import { smallKernels } from '../../test/small-kernels.js';
import type { DeviceKernel } from '../device.js';
import { KernelLibrary, type KernelWarmer } from './webgpu-kernels.js';

const kernels = [...smallKernels.values()].map(({ name, thread }): DeviceKernel => ({
  name,
  kernel: thread,
  source: `text of ${name}`,
}));

/** As much of a device as compiling takes; the names of the kernels whose pipelines were asked for. */
function fakeDevice(fails: (name: string) => boolean = () => false): {
  readonly device: GPUDevice;
  readonly asked: string[];
} {
  const asked: string[] = [];
  const device = {
    createBindGroupLayout: () => ({}),
    createPipelineLayout: () => ({}),
    pushErrorScope: () => undefined,
    popErrorScope: () => Promise.resolve(null),
    createShaderModule: () => ({ getCompilationInfo: () => Promise.resolve({ messages: [] }) }),
    createComputePipelineAsync: async ({ label = '' }: GPUComputePipelineDescriptor) => {
      asked.push(label);
      await new Promise((resolve) => setTimeout(resolve, 1));
      if (fails(label)) throw new Error('refused');
      return { label };
    },
  };
  return { device: device as unknown as GPUDevice, asked };
}

describe('KernelLibrary', () => {
  it('compiles a kernel once, whether it is prepared, loaded or both', async () => {
    const { device, asked } = fakeDevice();
    const library = new KernelLibrary(device);
    library.prepare(kernels);
    await Promise.all([library.load(kernels), library.load(kernels.slice(0, 1))]);
    await library.load(kernels);
    expect([...asked].sort()).toEqual(kernels.map(({ name }) => name).sort());
    for (const { name } of kernels) expect(library.get(name)?.source).toBe(`text of ${name}`);
  });

  it('compiles long texts first', async () => {
    const { device, asked } = fakeDevice();
    const sized = kernels.map((kernel, place) => ({ ...kernel, source: 'x'.repeat(place + 1) }));
    await new KernelLibrary(device).load(sized);
    expect(asked).toEqual(sized.map(({ name }) => name).reverse());
  });

  it('reports to who loads what failed while it was prepared', async () => {
    let isBroken = true;
    const { device } = fakeDevice((name) => isBroken && name === kernels[0]!.name);
    const library = new KernelLibrary(device);
    library.prepare(kernels);
    await expect(library.load(kernels)).rejects.toMatchObject({ code: 'F2C511' });
    isBroken = false;
    await library.load(kernels);
    expect(library.get(kernels[0]!.name)).toBeDefined();
  });

  it('waits for the driver to have the code', async () => {
    const { device } = fakeDevice();
    const warmed: string[] = [];
    const warmer: KernelWarmer = {
      warm: async ({ name }) => {
        await new Promise((resolve) => setTimeout(resolve, 5));
        warmed.push(name);
      },
      close: () => Promise.resolve(),
    };
    await new KernelLibrary(device, warmer).load(kernels);
    expect([...warmed].sort()).toEqual(kernels.map(({ name }) => name).sort());
  });
});

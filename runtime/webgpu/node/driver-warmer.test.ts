import { describe, expect, it } from 'vitest';
import { cpuTarget } from '../../../backends/target.js';
import { smallKernels } from '../../../test/small-kernels.js';
import type { Device, DeviceKernel, Sequence } from '../../device.js';
import { NullDevice } from '../../null-device.js';
import { DriverWarmer } from './driver-warmer.js';

const kernels = [...smallKernels.values()].map(({ name, thread, source }): DeviceKernel => ({
  name,
  kernel: thread,
  source,
}));

/** A device that notes what it runs, and whose work takes a moment. */
class NotingDevice extends NullDevice {
  readonly ran: string[] = [];
  isDestroyed = false;

  override run(sequence: Sequence): void {
    super.run(sequence);
    this.ran.push(sequence.label);
  }

  override finish(): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, 2));
  }

  override async destroy(): Promise<void> {
    this.isDestroyed = true;
    await super.destroy();
  }
}

describe('DriverWarmer', () => {
  it('launches each kernel once, on as many devices as it may open', async () => {
    const devices: NotingDevice[] = [];
    const open = async (): Promise<Device> => {
      const device = new NotingDevice(cpuTarget);
      devices.push(device);
      return device;
    };
    const warmer = new DriverWarmer(open, 2);
    await Promise.all(kernels.map((kernel) => warmer.warm(kernel)));
    expect(devices.length).toBe(2);
    const ran = devices.flatMap((device) => device.ran);
    expect([...ran].sort()).toEqual(kernels.map(({ name }) => `warming ${name}`).sort());
    for (const device of devices) expect(device.ran.length).toBeGreaterThan(0);
    // The devices stay for what comes later.
    await warmer.warm(kernels[0]!);
    expect(devices.length).toBe(2);
    await warmer.close();
    expect(devices.map(({ isDestroyed }) => isDestroyed)).toEqual([true, true]);
  });

  it('leaves errors to the device that needs the kernel', async () => {
    const failing = new DriverWarmer(() => Promise.reject(new Error('no adapter')), 2);
    await Promise.all(kernels.map((kernel) => failing.warm(kernel)));
    await failing.close();

    const device = new NotingDevice(cpuTarget);
    device.loadKernels = () => Promise.reject(new Error('does not compile'));
    const refused = new DriverWarmer(async () => device, 1);
    await refused.warm(kernels[0]!);
    await refused.close();
    expect(device.ran).toEqual([]);
    expect(device.isDestroyed).toBe(true);
  });

  it('lets nobody wait once it is closed', async () => {
    const device = new NotingDevice(cpuTarget);
    const warmer = new DriverWarmer(async () => device, 1);
    const waiting = kernels.map((kernel) => warmer.warm(kernel));
    await warmer.close();
    await Promise.all(waiting);
    expect(device.ran.length).toBeLessThan(kernels.length);
    await warmer.warm(kernels[0]!);
    expect(device.isDestroyed).toBe(true);
  });
});

/** Code of a software driver, made on all cores before it is needed. */
import { availableParallelism } from 'node:os';
import type { Device, DeviceBuffer, DeviceKernel } from '../../device.js';
import type { KernelWarmer } from '../webgpu-kernels.js';

/** Bytes of the buffers that kernels are run on: more than any reads with sizes of 0, and bounds are checked anyway. */
const scratchBytes = 2 ** 16;

/**
 * lavapipe makes a kernel's code when it is first launched, in the one thread of the device's queue, while all other cores
 * idle. But it keeps code in a cache that devices share. So each kernel is launched once, on a workgroup without sizes and
 * memory that nobody looks at, by the next of a few devices that serve nothing else.
 */
export class DriverWarmer implements KernelWarmer {
  private readonly waiting: { readonly kernel: DeviceKernel; readonly done: () => void }[] = [];
  private readonly workers = new Set<Promise<void>>();
  private readonly idle: Helper[] = [];
  private isClosed = false;

  /** `open` gives a device of the driver that has no warmer. */
  constructor(
    private readonly open: () => Promise<Device>,
    private readonly most = Math.min(8, availableParallelism()),
  ) {}

  warm(kernel: DeviceKernel): Promise<void> {
    if (this.isClosed) return Promise.resolve();
    return new Promise((done) => {
      this.waiting.push({ kernel, done });
      if (this.workers.size === this.most) return;
      const worker: Promise<void> = this.work().finally(() => this.workers.delete(worker));
      this.workers.add(worker);
    });
  }

  async close(): Promise<void> {
    this.isClosed = true;
    for (const { done } of this.waiting.splice(0)) done();
    await Promise.all(this.workers);
    await Promise.all(this.idle.splice(0).map(({ device }) => device.destroy()));
  }

  private async work(): Promise<void> {
    const helper = this.idle.pop() ?? (await this.openHelper());
    for (let next = this.waiting.shift(); next !== undefined; next = this.waiting.shift()) {
      // The device that needs the kernel says what is wrong with it.
      await helper?.launch(next.kernel).catch(() => undefined);
      next.done();
    }
    if (helper !== undefined) this.idle.push(helper);
  }

  private async openHelper(): Promise<Helper | undefined> {
    return this.open().then(
      (device) => new Helper(device),
      // Without a device for it, kernels are compiled when they are launched.
      () => undefined,
    );
  }
}

class Helper {
  private readonly buffers: DeviceBuffer[] = [];

  constructor(readonly device: Device) {}

  async launch({ name, kernel, source }: DeviceKernel): Promise<void> {
    await this.device.loadKernels([{ name, kernel, source }]);
    const bindings = kernel.buffers.map((_, place) => ({
      buffer: (this.buffers[place] ??= this.device.createBuffer(scratchBytes, `scratch ${place}`)),
      byteOffset: 0,
      byteLength: scratchBytes,
    }));
    const parameters = new Int32Array(kernel.parameters.length);
    const sequence = this.device.record(
      [{ kernel: name, label: name, bindings, parameters, workgroups: [1, 1, 1] }],
      `warming ${name}`,
    );
    this.device.run(sequence);
    await this.device.finish();
    sequence.destroy();
  }
}

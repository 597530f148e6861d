import { Flux2cError } from '../../ir/diagnostics.js';
import type { Device } from '../device.js';
import { createWebgpuDevice, type WebgpuDeviceOptions } from './webgpu-device.js';

/** The browser's WebGPU, in a page or a worker. F2C515 when it has none or no adapter, F2C510 when that gives no device. */
export async function openBrowserDevice(options: WebgpuDeviceOptions = {}): Promise<Device> {
  // Not in every browser, and only on secure pages.
  const gpu = (globalThis.navigator as Partial<Navigator> | undefined)?.gpu;
  if (gpu === undefined) {
    throw new Flux2cError('F2C515', 'this browser has no WebGPU here', {
      hint: 'WebGPU needs a recent browser, and a page from https:// or http://localhost. In Node.js it is openDevice of flux2c/node.',
    });
  }
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (adapter !== null) return createWebgpuDevice(adapter, options);
  throw new Flux2cError('F2C515', 'this browser has no WebGPU adapter', {
    hint: 'The browser may have blocked the graphics driver: chrome://gpu, about:support. In Chromium, --enable-unsafe-webgpu lifts the block.',
  });
}

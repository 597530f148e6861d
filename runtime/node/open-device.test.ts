import { existsSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import type { Device } from '../device.js';
import { openDevice } from './open-device.js';

const lavapipe = ['/usr/share/vulkan/icd.d/lvp_icd.json', '/usr/share/vulkan/icd.d/lvp_icd.x86_64.json'].find((path) =>
  existsSync(path),
);
const before = process.env.VK_DRIVER_FILES;

describe.runIf(process.platform === 'linux')('the choice of a device', () => {
  const opened: Device[] = [];
  afterEach(async () => {
    for (const device of opened.splice(0)) await device.destroy();
    if (before === undefined) delete process.env.VK_DRIVER_FILES;
    else process.env.VK_DRIVER_FILES = before;
  });

  async function open(driver: string, options: Parameters<typeof openDevice>[0]): Promise<[Device, readonly string[]]> {
    process.env.VK_DRIVER_FILES = driver;
    process.env.FLUX2C_LIBCUDA = '/nonexistent/libcuda.so.1';
    const notices: string[] = [];
    const device = await openDevice({ ...options, onNotice: (sentence) => notices.push(sentence) });
    opened.push(device);
    return [device, notices];
  }

  it('computes on the processor without a driver, and says why in one line', async () => {
    const [device, notices] = await open('/nonexistent/driver.json', {});
    expect(device.kind).toBe('cpu');
    expect(notices).toHaveLength(1);
    expect(notices[0]).toMatch(/^No WebGPU adapter \(no Vulkan driver .*\): computing on the processor .*mesa[^\n]*$/);
  });

  it('says nothing when the processor is asked for', async () => {
    const [device, notices] = await open('/nonexistent/driver.json', { device: 'cpu' });
    expect([device.kind, notices]).toEqual(['cpu', []]);
  });

  it('refuses to go on without an adapter that is demanded', async () => {
    await expect(open('/nonexistent/driver.json', { device: 'webgpu' })).rejects.toMatchObject({ code: 'F2C515' });
    await expect(open('/nonexistent/driver.json', { adapter: 'radeon' })).rejects.toMatchObject({ code: 'F2C515' });
    await expect(open('/nonexistent/driver.json', { device: 'cpu', adapter: '0' })).rejects.toMatchObject({
      code: 'F2C516',
    });
  });

  it.runIf(lavapipe)('prefers the processor to a driver that computes on it, unless that is demanded', async () => {
    const [device, notices] = await open(lavapipe as string, {});
    expect(device.kind).toBe('cpu');
    expect(notices[0]).toMatch(/^The only WebGPU adapter is llvmpipe .* device webgpu takes this one\.$/);
    for (const options of [{ device: 'webgpu' }, { adapter: 'lavapipe' }] as const) {
      const [demanded, silence] = await open(lavapipe as string, options);
      expect([demanded.kind, silence]).toEqual(['webgpu', []]);
    }
  });
});

/** Device `auto` on a machine with a GPU, which a library in the driver's place pretends. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { printCuda } from '../../backends/cuda/cuda.js';
import { vectorAdd } from '../../test/device-cases.js';
import { fakeLibcuda } from '../../test/cuda/fake-libcuda.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import { createCudaDevice } from '../cuda/cuda-device.js';
import { type Gpu, listGpus } from '../cuda/cuda-gpus.js';
import type { CudaDeviceId } from '../cuda/driver.js';
import type { Device } from '../device.js';
import { openDevice } from './open-device.js';

vi.mock('../cuda/cuda-device.js', { spy: true });
vi.mock('../cuda/cuda-gpus.js', { spy: true });

const oldGpu: Gpu = {
  ordinal: 0,
  device: 0 as CudaDeviceId,
  name: 'Old',
  capability: { major: 7, minor: 5 },
  totalBytes: 2 ** 33,
  blockMemory: 64 * 1024,
  multiprocessors: 40,
  driverVersion: 12000,
};

const library = fakeLibcuda('the best device with a GPU');
const folder = mkdtempSync(join(tmpdir(), 'flux2c-open-gpu-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe.runIf(library !== undefined && process.platform === 'linux')('the best device', () => {
  const nvcc = join(folder, 'nvcc');
  const note = join(folder, 'calls');
  const calls = (): readonly string[] => readFileSync(note, 'utf8').trim().split('\n');
  beforeEach(() => {
    writeFileSync(note, '');
    writeFileSync(
      nvcc,
      `#!/bin/sh\necho "$1" >> ${note}\n[ "$1" = --version ] && echo V9.9.9 || echo 'fake code' > kernel.cubin\n`,
    );
    chmodSync(nvcc, 0o755);
    vi.stubEnv('VK_DRIVER_FILES', '/nonexistent/driver.json');
    vi.stubEnv('FLUX2C_LIBCUDA', library);
    vi.stubEnv('FLUX2C_NVCC', nvcc);
    vi.stubEnv('FLUX2C_NVRTC', '/nonexistent/libnvrtc.so');
    vi.stubEnv('FLUX2C_CACHE', '');
    vi.mocked(listGpus).mockClear();
  });
  afterEach(() => vi.unstubAllEnvs());

  async function open(): Promise<{ readonly device: Device; readonly notices: readonly string[] }> {
    const notices: string[] = [];
    return { device: await openDevice({ onNotice: (sentence) => notices.push(sentence) }), notices };
  }

  it('is the GPU, which is looked for once, as is the compiler that then compiles', async () => {
    const { device, notices } = await open();
    expect([device.kind, notices]).toEqual(['cuda', []]);
    const { kernel } = vectorAdd();
    await device.loadKernels([{ name: kernel.name, kernel, source: printCuda(kernel) }]);
    expect(listGpus).toHaveBeenCalledTimes(1);
    expect(calls()).toEqual(['--version', '-cubin']);
    await device.destroy();
  });

  it.each([
    [
      'nothing compiles its kernels',
      () => vi.stubEnv('FLUX2C_NVCC', '/nonexistent/nvcc'),
      /^Not CUDA: there is .*, but no compiler for its kernels: \/nonexistent\/nvcc does not run/,
    ],
    [
      'flux2c has no kernels for it',
      () => vi.mocked(listGpus).mockReturnValueOnce({ gpus: [oldGpu] }),
      /^Not CUDA: Old has compute capability 7\.5, which flux2c has no kernels for\.$/,
    ],
    [
      'it does not open',
      () =>
        vi.mocked(createCudaDevice).mockImplementationOnce(() => {
          throw new Flux2cError('F2C540', 'a call of the driver failed', { found: 'in use by another process' });
        }),
      /^Not CUDA: a call of the driver failed \(in use by another process\)\.$/,
    ],
  ])('is the processor when there is a GPU but %s, and says so', async (_, prepare, expected) => {
    prepare();
    const { device, notices } = await open();
    expect(device.kind).toBe('cpu');
    expect(notices[0]).toMatch(expected);
    expect(listGpus).toHaveBeenCalledTimes(1);
    await device.destroy();
  });
});

import { afterEach, describe, expect, it } from 'vitest';
import { fakeLibcuda } from '../test/cuda/fake-libcuda.js';
import { runCommandLine } from '../test/cli-harness.js';
import { openDevice } from '../runtime/node/open-device.js';
import { type DevicesReport, formatDevices } from './devices.js';

const library = fakeLibcuda('GPUs in `flux2c devices`');
const before = { ...process.env };

function set(name: string, value: string | undefined): void {
  if (value === undefined) delete process.env[name];
  else process.env[name] = value;
}

afterEach(() => {
  for (const name of ['FLUX2C_LIBCUDA', 'FLUX2C_NVCC', 'FLUX2C_NVRTC', 'VK_DRIVER_FILES']) set(name, before[name]);
});

const cpu = { model: 'Some processor', threads: 4 };

describe('flux2c devices', () => {
  it('describes GPUs', () => {
    const report: DevicesReport = {
      gpus: [
        {
          number: 0,
          name: 'NVIDIA H100 80GB HBM3',
          computeCapability: '9.0',
          architecture: 'sm_90a',
          totalBytes: 80 * 2 ** 30,
          freeBytes: 79.5 * 2 ** 30,
          multiprocessors: 132,
          workgroupMemory: 227 * 1024,
          driver: '13.0',
        },
        {
          number: 1,
          name: 'Tesla T4',
          computeCapability: '7.5',
          totalBytes: 15 * 2 ** 30,
          multiprocessors: 40,
          workgroupMemory: 64 * 1024,
          driver: '13.0',
        },
      ],
      kernelCompiler: 'nvcc 13.0.88',
      adapters: [],
      reason: 'none',
      cpu,
    };
    expect(formatDevices(report).split('\n')).toEqual([
      '0  cuda    NVIDIA H100 80GB HBM3 (compute capability 9.0, kernels for sm_90a)',
      '     79.5 GiB free of 80 GiB, 132 multiprocessors, 227 KiB of workgroup memory, driver for CUDA 13.0',
      '1  cuda    Tesla T4 (compute capability 7.5, no kernels for it)',
      '     15 GiB, 40 multiprocessors, 64 KiB of workgroup memory, driver for CUDA 13.0',
      '     compiler of kernels: nvcc 13.0.88',
      'no WebGPU adapter: none',
      '-  cpu     Some processor, 4 threads',
      '',
    ]);
  });

  it('says why there is no GPU', async () => {
    set('FLUX2C_LIBCUDA', '/nonexistent/libcuda.so.1');
    set('VK_DRIVER_FILES', '/nonexistent/driver.json');
    const { stdout } = await runCommandLine(['devices']);
    expect(stdout).toMatch(
      /^no GPU for CUDA: no NVIDIA driver was found \(\/nonexistent\/libcuda.so.1 does not load\)\n/,
    );
  });

  it.runIf(library)('asks the driver', async () => {
    set('FLUX2C_LIBCUDA', library);
    set('FLUX2C_NVCC', '/nonexistent/nvcc');
    set('FLUX2C_NVRTC', '/nonexistent/libnvrtc.so');
    set('VK_DRIVER_FILES', '/nonexistent/driver.json');
    const { stdout } = await runCommandLine(['devices', '--json']);
    expect(JSON.parse(stdout)).toMatchObject({
      gpus: [{ number: 0, name: 'Fake GPU', architecture: 'sm_90a', freeBytes: 79 * 2 ** 30, driver: '13.0' }],
      kernelCompiler: expect.stringMatching(/^none \(.*nvcc does not run.*no NVRTC/) as unknown,
    });
  });
});

describe.runIf(library)('the choice of a device where a GPU is', () => {
  async function describeChoice(options: Parameters<typeof openDevice>[0]) {
    set('FLUX2C_LIBCUDA', library);
    set('VK_DRIVER_FILES', '/nonexistent/driver.json');
    const notices: string[] = [];
    const device = await openDevice({ ...options, onNotice: (sentence) => notices.push(sentence) });
    await device.destroy();
    return [device.kind, device.description, notices] as const;
  }

  it('takes it, by its number or name, too', async () => {
    const description = 'Fake GPU, sm_90a, CUDA 13.0';
    for (const options of [{ adapter: '0' }, { adapter: 'fake' }, {}]) {
      expect(await describeChoice({ device: 'cuda', ...options })).toEqual(['cuda', description, []]);
    }
    await expect(describeChoice({ device: 'cuda', adapter: 'radeon' })).rejects.toMatchObject({
      code: 'F2C515',
      detail: { found: 'no GPU matches "radeon"; there are: Fake GPU' },
    });
  });

  it('takes it by itself only where its kernels can be compiled', async () => {
    set('FLUX2C_NVCC', '/nonexistent/nvcc');
    set('FLUX2C_NVRTC', '/nonexistent/libnvrtc.so');
    const [kind, , notices] = await describeChoice({});
    expect(kind).toBe('cpu');
    expect(notices[0]).toMatch(/^Not CUDA: there is Fake GPU, but no compiler for its kernels: .*nvcc does not run/);
    expect(notices).toHaveLength(2);
    // Anything that says its version.
    set('FLUX2C_NVCC', '/bin/true');
    expect((await describeChoice({}))[0]).toBe('cuda');
  });
});

describe('a device that is asked for', () => {
  it('must be there', async () => {
    set('FLUX2C_LIBCUDA', '/nonexistent/libcuda.so.1');
    await expect(openDevice({ device: 'cuda' })).rejects.toMatchObject({ code: 'F2C515' });
    await expect(openDevice({ device: 'cuda-emulator', adapter: '0' })).rejects.toMatchObject({ code: 'F2C516' });
  });

  it('may be the emulator', async () => {
    const device = await openDevice({ device: 'cuda-emulator' });
    expect([device.kind, device.description]).toEqual(['cuda', 'CUDA emulator']);
    await device.destroy();
  });
});

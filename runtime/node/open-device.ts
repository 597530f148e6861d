import { availableParallelism } from 'node:os';
import { Flux2cError } from '../../ir/diagnostics.js';
import { createCpuDevice } from '../cpu/node/cpu-device.js';
import { openCuda, openUsefulCuda } from '../cuda/node/open-cuda.js';
import type { Device } from '../device.js';
import { openDawn, sharesCompiledCode } from '../webgpu/node/dawn.js';
import { DriverWarmer } from '../webgpu/node/driver-warmer.js';
import { createWebgpuDevice } from '../webgpu/webgpu-device.js';
import { isSoftwareAdapter } from '../webgpu/webgpu-target.js';

/** `cuda-emulator` runs the text of CUDA kernels on the processor: slow, with checks that a GPU does not make. */
export const deviceNames = ['auto', 'webgpu', 'cpu', 'cuda', 'cuda-emulator'] as const;
export type DeviceName = (typeof deviceNames)[number];

export interface OpenDeviceOptions {
  /** Default: `auto`. */
  readonly device?: DeviceName;
  /**
   * A WebGPU adapter by a part of its name or its number in `flux2c devices`. It must open, even with `auto`. With `cuda` it
   * is a GPU.
   */
  readonly adapter?: string;
  /** Gets one sentence when `auto` does not find what one would hope for. */
  readonly onNotice?: (sentence: string) => void;
}

/**
 * Opens a device of this machine. `auto` takes WebGPU on a graphics adapter, then an NVIDIA GPU where its driver and a compiler
 * for its kernels are (second, because CUDA kernels have not been measured on a GPU yet), otherwise the processor. WebGPU
 * drivers that compute on the processor are slower there than flux2c's own kernels (docs/performance.md), so they are only
 * taken when they are asked for.
 *
 * @throws F2C515 when CUDA or WebGPU is asked for and no GPU or adapter opens, F2C510 when the adapter gives no device,
 *   F2C516 for an adapter with `cpu` or `cuda-emulator`, F2C540 and F2C542 when the GPU does not open
 */
export async function openDevice(options: OpenDeviceOptions = {}): Promise<Device> {
  const { device = 'auto', adapter, onNotice } = options;
  switch (device) {
    case 'cpu':
      refuseAdapter(device, adapter);
      return createCpuDevice();
    case 'cuda-emulator': {
      refuseAdapter(device, adapter);
      const { createCudaEmulatorDevice } = await import('../cuda/node/emulator-device.js');
      return createCudaEmulatorDevice();
    }
    case 'cuda':
      return openDemandedGpu(adapter);
    case 'webgpu':
      return openDemandedAdapter(adapter);
    case 'auto':
      return adapter === undefined ? openBest(onNotice) : openDemandedAdapter(adapter);
  }
}

function refuseAdapter(device: 'cpu' | 'cuda-emulator', adapter: string | undefined): void {
  if (adapter === undefined) return;
  throw new Flux2cError('F2C516', 'the processor has no WebGPU adapter to choose', {
    found: `device ${device} with adapter "${adapter}"`,
    hint: 'Leave out one of the two.',
  });
}

const howToList = 'Run `flux2c devices` to see the devices of this machine.';

async function openDemandedGpu(choice: string | undefined): Promise<Device> {
  const { device, reason } = await openCuda(choice);
  if (device !== undefined) return device;
  throw new Flux2cError('F2C515', 'no GPU can be used through CUDA', {
    found: reason,
    hint:
      choice === undefined
        ? "CUDA needs an NVIDIA GPU and NVIDIA's driver; in containers, its libraries passed in (--gpus all)."
        : howToList,
  });
}

async function openDemandedAdapter(choice: string | undefined): Promise<Device> {
  const outcome = await openDawn(choice === undefined ? {} : { adapter: choice });
  if (outcome.adapter !== undefined) {
    const { name, adapter, languageFeatures } = outcome;
    return createWebgpuDevice(adapter, {
      languageFeatures,
      ...(sharesCompiledCode(name) && { warmer: warmerOf(name) }),
    });
  }
  throw new Flux2cError('F2C515', 'no WebGPU adapter can be used', {
    found: outcome.reason,
    hint: choice === undefined ? `${howToGetOne}.` : howToList,
  });
}

function warmerOf(adapter: string): DriverWarmer {
  return new DriverWarmer(async () => {
    const outcome = await openDawn({ adapter });
    if (outcome.adapter === undefined) throw new Error(outcome.reason);
    return createWebgpuDevice(outcome.adapter, { languageFeatures: outcome.languageFeatures });
  });
}

async function openBest(onNotice: OpenDeviceOptions['onNotice']): Promise<Device> {
  const outcome = await openDawn();
  if (outcome.adapter !== undefined && !isSoftwareAdapter(outcome.adapter.info)) {
    return createWebgpuDevice(outcome.adapter, { languageFeatures: outcome.languageFeatures });
  }
  const gpu = await openUsefulCuda();
  if (gpu?.device !== undefined) return gpu.device;
  // A GPU that is there and does not work is worth a sentence.
  if (gpu !== undefined) onNotice?.(`Not CUDA: ${gpu.reason}.`);
  const threads = availableParallelism();
  const here = `computing on the processor with ${threads} thread${threads === 1 ? '' : 's'}`;
  onNotice?.(
    outcome.adapter === undefined
      ? `No WebGPU adapter (${outcome.reason}): ${here}. ${howToGetOne}.`
      : `The only WebGPU adapter is ${outcome.name}, which is slower than flux2c itself: ${here}. ${howToGetOne}; device webgpu takes this one.`,
  );
  return createCpuDevice();
}

const howToGetOne =
  'A graphics driver gives an adapter: on Linux a Vulkan driver such as mesa-vulkan-drivers, in containers with /dev/dri passed in';

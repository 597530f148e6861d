/** The device of `--device` and `--adapter`. */
import { availableParallelism } from 'node:os';
import { Flux2cError } from '../ir/diagnostics.js';
import { createCpuDevice } from '../runtime/cpu/node/cpu-device.js';
import type { Device } from '../runtime/device.js';
import { openDawn } from '../runtime/webgpu/node/dawn.js';
import { createWebgpuDevice } from '../runtime/webgpu/webgpu-device.js';
import { isSoftwareAdapter } from '../runtime/webgpu/webgpu-target.js';
import { contradiction, type DeviceOptions } from './options.js';

export type DeviceChoice = DeviceOptions;

/**
 * Opens the chosen device. `auto` takes a hardware adapter and, where there is none, the processor with a notice of how
 * to get one: drivers that compute on the processor are slower than flux2c's own kernels there, and compile them for
 * minutes when they see them for the first time. F2C703 for an adapter with `--device cpu`, F2C706 when a WebGPU adapter is demanded and none opens.
 */
export async function chooseDevice(choice: DeviceChoice, notice: (sentence: string) => void): Promise<Device> {
  const { device, adapter } = choice;
  if (device === 'cpu') {
    if (adapter !== undefined) {
      throw contradiction('--adapter chooses a WebGPU adapter', 'Leave out --device cpu or --adapter.');
    }
    return createCpuDevice();
  }
  const outcome = await openDawn(adapter === undefined ? {} : { adapter });
  const isWanted = device === 'webgpu' || adapter !== undefined;
  if (outcome.adapter !== undefined && (isWanted || !isSoftwareAdapter(outcome.adapter.info))) {
    return createWebgpuDevice(outcome.adapter);
  }
  const reason =
    outcome.adapter === undefined ? outcome.reason : `only ${outcome.name}, which computes on the processor`;
  if (isWanted) {
    throw new Flux2cError('F2C706', 'no WebGPU adapter can be used', {
      found: reason,
      hint: adapter === undefined ? howToGetAnAdapter : 'Run `flux2c devices` to see the adapters of this machine.',
    });
  }
  notice(
    `No graphics adapter (${reason}): computing on the processor, ${availableParallelism()} threads. ${howToGetAnAdapter}`,
  );
  return createCpuDevice();
}

const howToGetAnAdapter =
  'A graphics driver gives one: on Linux a Vulkan driver such as mesa-vulkan-drivers, in containers with /dev/dri passed in.';

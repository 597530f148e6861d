/** The device of `--device` and `--adapter`. */
import { availableParallelism } from 'node:os';
import { Flux2cError } from '../ir/diagnostics.js';
import { createCpuDevice } from '../runtime/cpu/node/cpu-device.js';
import type { Device } from '../runtime/device.js';
import { openDawn } from '../runtime/webgpu/node/dawn.js';
import { createWebgpuDevice } from '../runtime/webgpu/webgpu-device.js';
import { contradiction, type DeviceOptions } from './options.js';

export type DeviceChoice = DeviceOptions;

/**
 * Opens the chosen device. `auto` takes the best adapter and, where there is none, the processor with a notice of how to
 * get one. F2C703 for an adapter with `--device cpu`, F2C706 when a WebGPU adapter is demanded and none opens.
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
  if (outcome.adapter !== undefined) return createWebgpuDevice(outcome.adapter);
  if (device === 'webgpu' || adapter !== undefined) {
    throw new Flux2cError('F2C706', 'no WebGPU adapter can be used', {
      found: outcome.reason,
      hint: adapter === undefined ? howToGetAnAdapter : 'Run `flux2c devices` to see the adapters of this machine.',
    });
  }
  notice(
    `No WebGPU adapter (${outcome.reason}): computing on the processor, ${availableParallelism()} threads. ${howToGetAnAdapter}`,
  );
  return createCpuDevice();
}

const howToGetAnAdapter =
  'A graphics driver gives one: on Linux a Vulkan driver such as mesa-vulkan-drivers, in containers with /dev/dri passed in.';

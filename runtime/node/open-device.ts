import { availableParallelism } from 'node:os';
import { Flux2cError } from '../../ir/diagnostics.js';
import { createCpuDevice } from '../cpu/node/cpu-device.js';
import type { Device } from '../device.js';
import { openDawn } from '../webgpu/node/dawn.js';
import { createWebgpuDevice } from '../webgpu/webgpu-device.js';
import { isSoftwareAdapter } from '../webgpu/webgpu-target.js';

export interface OpenDeviceOptions {
  /** Default: `auto`. */
  readonly device?: 'auto' | 'webgpu' | 'cpu';
  /** A WebGPU adapter by a part of its name or its number in `flux2c devices`. It must open, even with `auto`. */
  readonly adapter?: string;
  /** Gets one sentence when `auto` does not find what one would hope for. */
  readonly onNotice?: (sentence: string) => void;
}

/**
 * Opens a device of this machine. `auto` takes WebGPU on a graphics adapter, otherwise the processor: WebGPU drivers
 * that compute on the processor are slower there than flux2c's own kernels (the default picture on two cores: 3 s, and
 * 6.5 s on lavapipe, 42 s when it sees the kernels for the first time), so they are only taken when they are asked for.
 *
 * @throws F2C515 when WebGPU is asked for and no adapter opens, F2C510 when the adapter gives no device, F2C516 for an
 *   adapter with `cpu`
 */
export async function openDevice(options: OpenDeviceOptions = {}): Promise<Device> {
  const { device = 'auto', adapter: choice, onNotice } = options;
  if (device === 'cpu') {
    if (choice === undefined) return createCpuDevice();
    throw new Flux2cError('F2C516', 'the processor has no WebGPU adapter to choose', {
      found: `device cpu with adapter "${choice}"`,
      hint: 'Leave out one of the two.',
    });
  }
  const outcome = await openDawn(choice === undefined ? {} : { adapter: choice });
  const isDemanded = device === 'webgpu' || choice !== undefined;
  if (outcome.adapter !== undefined && (isDemanded || !isSoftwareAdapter(outcome.adapter.info))) {
    return createWebgpuDevice(outcome.adapter);
  }
  if (outcome.adapter === undefined && isDemanded) {
    throw new Flux2cError('F2C515', 'no WebGPU adapter can be used', {
      found: outcome.reason,
      hint: choice === undefined ? `${howToGetOne}.` : 'Run `flux2c devices` to see the adapters of this machine.',
    });
  }
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

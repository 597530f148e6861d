/** The device of `--device` and `--adapter`. */
import type { Device } from '../runtime/device.js';
import { openDevice } from '../runtime/node/open-device.js';
import { artifactBackend } from './artifact-folder.js';
import { contradiction, type DeviceOptions } from './options.js';

/** With the model: an artifact runs on what it was compiled for. */
export interface DeviceChoice extends DeviceOptions {
  readonly model?: string;
}

/** Opens the chosen device as `openDevice` does. F2C703 for an adapter with `--device cpu`. */
export async function chooseDevice(choice: DeviceChoice, notice: (sentence: string) => void): Promise<Device> {
  const { adapter, model } = choice;
  const isOpen = choice.device === 'auto' && adapter === undefined && model !== undefined;
  const device = (isOpen ? await artifactBackend(model) : undefined) ?? choice.device;
  if (device === 'cpu' && adapter !== undefined) {
    throw contradiction('--adapter chooses a WebGPU adapter', 'Leave out --device cpu or --adapter.');
  }
  return openDevice({ device, ...(adapter !== undefined && { adapter }), onNotice: notice });
}

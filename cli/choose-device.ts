/** The device of `--device` and `--adapter`. */
import type { Device } from '../runtime/device.js';
import { openDevice } from '../runtime/node/open-device.js';
import { artifactBackend } from './artifact-folder.js';
import type { DeviceOptions } from './options.js';

/** With the model: an artifact runs on what it was compiled for. */
export interface DeviceChoice extends DeviceOptions {
  readonly model?: string;
}

/** Opens the chosen device; errors as `openDevice`. `auto` is what an artifact needs, otherwise the best of the machine. */
export async function chooseDevice(choice: DeviceChoice, onNotice: (sentence: string) => void): Promise<Device> {
  const { device, adapter, model } = choice;
  const needed = device === 'auto' && model !== undefined ? await artifactBackend(model) : undefined;
  return openDevice({ device: needed ?? device, ...(adapter !== undefined && { adapter }), onNotice });
}

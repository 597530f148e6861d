/** What a command sees of the outside; tests give their own. */
import type { Device } from '../runtime/device.js';
import type { Flux2Model } from '../models/flux2/networks.js';
import type { DeviceChoice } from './choose-device.js';
import type { OpenModelRequest } from './open-model.js';
import type { TerminalStream } from './show.js';

export interface CliContext {
  readonly stdout: TerminalStream;
  readonly stderr: TerminalStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
  /** Opens the device that the options choose; `notice` gets a sentence when it is not the one hoped for. */
  readonly openDevice: (choice: DeviceChoice, notice: (sentence: string) => void) => Promise<Device>;
  readonly openModel: (request: OpenModelRequest, device: Device) => Promise<Flux2Model>;
}

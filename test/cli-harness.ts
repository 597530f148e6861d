/** Runs commands in this process, with a fake model and a device that does nothing. */
import { cpuTarget } from '../backends/target.js';
import type { CliContext } from '../cli/context.js';
import type { DeviceChoice } from '../cli/choose-device.js';
import type { OpenModelRequest } from '../cli/open-model.js';
import { runCli } from '../cli/program.js';
import type { Flux2Model } from '../models/flux2/networks.js';
import type { Device } from '../runtime/device.js';
import { FakeFlux2Model } from './fake-flux2-model.js';

export interface CliRun {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly model: FakeFlux2Model;
  readonly deviceChoice: DeviceChoice | undefined;
  readonly modelRequest: OpenModelRequest | undefined;
  readonly deviceDestroyed: boolean;
}

export interface CliOptions {
  readonly model?: FakeFlux2Model;
  readonly isTTY?: boolean;
  readonly signal?: AbortSignal;
}

/** `flux2c ...arguments_`, without a process of its own. */
export async function runCommandLine(arguments_: readonly string[], options: CliOptions = {}): Promise<CliRun> {
  const model = options.model ?? new FakeFlux2Model();
  const out: string[] = [];
  const err: string[] = [];
  const stream = (texts: string[]): CliContext['stdout'] => ({
    isTTY: options.isTTY === true,
    columns: 80,
    write: (text: string) => texts.push(text),
  });
  let deviceChoice: DeviceChoice | undefined;
  let modelRequest: OpenModelRequest | undefined;
  let deviceDestroyed = false;
  const device: Partial<Device> = {
    kind: 'cpu',
    description: 'a fake device',
    target: cpuTarget,
    destroy: async () => {
      deviceDestroyed = true;
    },
  };
  const exitCode = await runCli(arguments_, {
    stdout: stream(out),
    stderr: stream(err),
    env: {},
    signal: options.signal ?? new AbortController().signal,
    openDevice: async (choice) => {
      deviceChoice = choice;
      return device as Device;
    },
    openModel: async (request): Promise<Flux2Model> => {
      modelRequest = request;
      return model;
    },
  });
  return { exitCode, stdout: out.join(''), stderr: err.join(''), model, deviceChoice, modelRequest, deviceDestroyed };
}

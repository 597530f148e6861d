/** What `compile` and `inspect` compile for, and the device of this machine that it is, where it is one. */
import type { Device } from '../runtime/device.js';
import type { CliContext } from './context.js';
import { contradiction } from './options.js';
import { loadScheduleChoice, type ScheduleChoice, type ScheduleOptions } from './schedule-options.js';
import { type BuildTarget, type TargetOptions, targetsOf } from './target-options.js';

export interface ChosenTargets extends ScheduleChoice {
  readonly targets: readonly BuildTarget[];
}

/**
 * The targets of the options and the schedules for them. With an adapter's name the only target is what that adapter can do; schedules
 * that were tuned are those of that adapter, or with `--target cpu` those of this machine's processor.
 *
 * @throws as `targetsOf`, `loadScheduleChoice` and opening a device; F2C703 an adapter of something else than WebGPU
 */
export async function chooseTargets(
  options: TargetOptions & ScheduleOptions,
  model: string | undefined,
  { openDevice }: CliContext,
  notice: (sentence: string) => void,
): Promise<ChosenTargets> {
  const { target, adapter } = options;
  if (adapter !== undefined && target !== 'webgpu') {
    throw contradiction('--adapter names a WebGPU adapter', 'Take it together with --target webgpu, or leave it out.');
  }
  const targets = targetsOf(options);
  if (target === 'cuda' || (target === 'webgpu' && adapter === undefined)) {
    return { targets, ...(await loadScheduleChoice(options, model, undefined, notice)) };
  }
  const choice = target === 'cpu' ? { device: target } : { device: target, ...(adapter !== undefined && { adapter }) };
  const device: Device = await openDevice(choice, notice);
  try {
    const own = adapter === undefined ? targets : [{ target: device.target, architectures: [] }];
    return { targets: own, ...(await loadScheduleChoice(options, model, device, notice)) };
  } finally {
    await device.destroy();
  }
}

/** `flux2c devices`: what is here and what it can do. */
import { availableParallelism, cpus } from 'node:os';
import { Command } from 'commander';
import { listAdapters, openDawn } from '../runtime/webgpu/node/dawn.js';
import { isSoftwareAdapter, targetOfAdapter } from '../runtime/webgpu/webgpu-target.js';
import type { Target } from '../backends/target.js';
import type { CliContext } from './context.js';
import { addReportOptions, type ReportOptions } from './options.js';

interface AdapterReport {
  /** What `--adapter` takes. */
  readonly number: number;
  readonly name: string;
  readonly backend: string;
  /** Computes on the processor. */
  readonly software: boolean;
  readonly features: readonly string[];
  readonly target: Target;
}

export interface DevicesReport {
  readonly adapters: readonly AdapterReport[];
  /** Why there are none. */
  readonly reason?: string;
  readonly cpu: { readonly model: string; readonly threads: number };
}

export function devicesCommand(context: CliContext): Command {
  const command = new Command('devices').description('list WebGPU adapters and the processor, with what they can do');
  return addReportOptions(command, 'adapters, limits and features').action(async (options: ReportOptions) => {
    const report = await surveyDevices();
    context.stdout.write(options.json === true ? `${JSON.stringify(report, null, 2)}\n` : formatDevices(report));
  });
}

/** Opens every adapter to ask for its limits. */
export async function surveyDevices(): Promise<DevicesReport> {
  const adapters: AdapterReport[] = [];
  for (const [number, { name, backend }] of (await listAdapters()).entries()) {
    const { adapter } = await openDawn({ adapter: String(number) });
    if (adapter === undefined) continue;
    adapters.push({
      number,
      name,
      backend,
      software: isSoftwareAdapter(adapter.info),
      features: [...adapter.features].sort(),
      target: targetOfAdapter(adapter),
    });
  }
  const cpu = { model: cpus()[0]?.model.trim() ?? 'unknown', threads: availableParallelism() };
  if (adapters.length > 0) return { adapters, cpu };
  const outcome = await openDawn();
  return { adapters, cpu, ...(outcome.adapter === undefined && { reason: outcome.reason }) };
}

export function formatDevices({ adapters, cpu, reason }: DevicesReport): string {
  const lines = adapters.flatMap(({ number, name, backend, software, target, features }) => [
    `${number}  webgpu  ${name} (${backend}${software ? ', on the processor' : ''})`,
    `     bindings up to ${formatBytes(target.maxBindingBytes)}, buffers up to ${formatBytes(target.maxBufferBytes)}, ` +
      `${target.maxStorageBuffers} a kernel, offsets of ${target.bindingAlignment} bytes`,
    `     workgroups of up to ${target.maxWorkgroupInvocations}, ${formatBytes(target.workgroupMemory)} of workgroup memory, ` +
      `${target.maxWorkgroupsPerDimension} a dimension`,
    `     ${describeFeatures(target, features)}`,
  ]);
  if (adapters.length === 0) lines.push(`no WebGPU adapter${reason === undefined ? '' : `: ${reason}`}`);
  lines.push(`-  cpu     ${cpu.model}, ${cpu.threads} threads`);
  return `${lines.join('\n')}\n`;
}

function describeFeatures({ f16, subgroups }: Target, features: readonly string[]): string {
  const parts = [
    f16 ? 'f16' : 'no f16',
    subgroups === undefined ? 'no subgroups' : `subgroups of ${subgroups.min} to ${subgroups.max}`,
    features.includes('timestamp-query') ? 'timestamps' : 'no timestamps',
  ];
  return parts.join(', ');
}

function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const unit = Math.min(units.length - 1, bytes < 1 ? 0 : Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** unit;
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${units[unit]}`;
}

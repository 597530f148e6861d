/** `flux2c devices`: what is here and what it can do. */
import { availableParallelism, cpus } from 'node:os';
import { Command } from 'commander';
import type { CudaArchitecture } from '../backends/cuda/cuda-target.js';
import { architectureFor } from '../runtime/cuda/architecture.js';
import { printVersion } from '../runtime/cuda/driver.js';
import { freeMemory, type Gpu } from '../runtime/cuda/cuda-gpus.js';
import type { CudaDriver } from '../runtime/cuda/driver.js';
import { findGpus } from '../runtime/cuda/node/open-cuda.js';
import { findKernelCompiler } from '../runtime/cuda/node/open-compiler.js';
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

interface GpuReport {
  /** What `--adapter` takes with `--device cuda`. */
  readonly number: number;
  readonly name: string;
  readonly computeCapability: string;
  /** What kernels are compiled for; absent when flux2c has none for this GPU. */
  readonly architecture?: CudaArchitecture;
  readonly totalBytes: number;
  /** Absent when the GPU does not open. */
  readonly freeBytes?: number;
  readonly multiprocessors: number;
  readonly workgroupMemory: number;
  /** The newest CUDA that the driver knows. */
  readonly driver: string;
}

export interface DevicesReport {
  readonly gpus: readonly GpuReport[];
  /** Why there are none. */
  readonly gpuReason?: string;
  /** What compiles kernels for GPUs, or why nothing does; absent without GPUs. */
  readonly kernelCompiler?: string;
  readonly adapters: readonly AdapterReport[];
  /** Why there are none. */
  readonly reason?: string;
  readonly cpu: { readonly model: string; readonly threads: number };
}

export function devicesCommand(context: CliContext): Command {
  const command = new Command('devices').description(
    'list GPUs, WebGPU adapters and the processor, with what they can do',
  );
  return addReportOptions(command, 'adapters, limits and features').action(async (options: ReportOptions) => {
    const report = await surveyDevices();
    context.stdout.write(options.json === true ? `${JSON.stringify(report, null, 2)}\n` : formatDevices(report));
  });
}

/** Opens every GPU and adapter to ask for its limits. */
export async function surveyDevices(): Promise<DevicesReport> {
  return { ...(await surveyGpus()), ...(await surveyAdapters()) };
}

async function surveyGpus(): Promise<Pick<DevicesReport, 'gpus' | 'gpuReason' | 'kernelCompiler'>> {
  const found = await findGpus();
  if (found.gpus === undefined) return { gpus: [], gpuReason: found.reason };
  const { driver, gpus } = found;
  const compiler = await findKernelCompiler();
  const kernelCompiler = typeof compiler === 'string' ? `none (${compiler})` : compiler.description;
  return { gpus: gpus.map((gpu) => describeGpu(driver, gpu)), kernelCompiler };
}

function describeGpu(driver: CudaDriver, gpu: Gpu): GpuReport {
  const architecture = architectureFor(gpu.capability);
  const freeBytes = freeMemory(driver, gpu);
  return {
    number: gpu.ordinal,
    name: gpu.name,
    computeCapability: `${gpu.capability.major}.${gpu.capability.minor}`,
    ...(architecture !== undefined && { architecture }),
    totalBytes: gpu.totalBytes,
    ...(freeBytes !== undefined && { freeBytes }),
    multiprocessors: gpu.multiprocessors,
    workgroupMemory: gpu.blockMemory,
    driver: printVersion(gpu.driverVersion),
  };
}

async function surveyAdapters(): Promise<Omit<DevicesReport, 'gpus'>> {
  const adapters: AdapterReport[] = [];
  for (const [number, { name, backend }] of (await listAdapters()).entries()) {
    const outcome = await openDawn({ adapter: String(number) });
    if (outcome.adapter === undefined) continue;
    const { adapter, languageFeatures } = outcome;
    adapters.push({
      number,
      name,
      backend,
      software: isSoftwareAdapter(adapter.info),
      features: [...adapter.features].sort(),
      target: targetOfAdapter(adapter, {}, languageFeatures),
    });
  }
  const cpu = { model: cpus()[0]?.model.trim() ?? 'unknown', threads: availableParallelism() };
  if (adapters.length > 0) return { adapters, cpu };
  const outcome = await openDawn();
  return { adapters, cpu, ...(outcome.adapter === undefined && { reason: outcome.reason }) };
}

export function formatDevices(report: DevicesReport): string {
  const { adapters, cpu, reason } = report;
  const lines = formatGpus(report);
  const adapterLines = adapters.flatMap(({ number, name, backend, software, target, features }) => [
    `${number}  webgpu  ${name} (${backend}${software ? ', on the processor' : ''})`,
    `     bindings up to ${formatBytes(target.maxBindingBytes)}, buffers up to ${formatBytes(target.maxBufferBytes)}, ` +
      `${target.maxStorageBuffers} a kernel, offsets of ${target.bindingAlignment} bytes`,
    `     workgroups of up to ${target.maxWorkgroupInvocations}, ${formatBytes(target.workgroupMemory)} of workgroup memory, ` +
      `${target.maxWorkgroupsPerDimension} a dimension`,
    `     ${describeFeatures(target, features)}`,
  ]);
  lines.push(...adapterLines);
  if (adapters.length === 0) lines.push(`no WebGPU adapter${reason === undefined ? '' : `: ${reason}`}`);
  lines.push(`-  cpu     ${cpu.model}, ${cpu.threads} threads`);
  return `${lines.join('\n')}\n`;
}

function formatGpus({ gpus, gpuReason, kernelCompiler }: DevicesReport): string[] {
  if (gpus.length === 0) return [`no GPU for CUDA: ${gpuReason ?? ''}`];
  const lines = gpus.flatMap((gpu) => [
    `${gpu.number}  cuda    ${gpu.name} (compute capability ${gpu.computeCapability}, ` +
      `${gpu.architecture === undefined ? 'no kernels for it' : `kernels for ${gpu.architecture}`})`,
    `     ${gpu.freeBytes === undefined ? '' : `${formatBytes(gpu.freeBytes)} free of `}${formatBytes(gpu.totalBytes)}, ` +
      `${gpu.multiprocessors} multiprocessors, ${formatBytes(gpu.workgroupMemory)} of workgroup memory, driver for CUDA ${gpu.driver}`,
  ]);
  return [...lines, `     compiler of kernels: ${kernelCompiler ?? 'none'}`];
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

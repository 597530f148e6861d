import { kernelPrinter } from '../../backends/print-kernel.js';
import type { DimBinding } from '../../ir/dim.js';
import type { Module } from '../../ir/graph/graph.js';
import { type CompileOptions, prepareModule } from '../../passes/compile.js';
import type { Device } from '../device.js';
import { identifyAdapter } from '../schedules/adapter.js';
import type { ScheduleTable } from '../schedules/schedule-table.js';
import { tuneFunction } from './tune-function.js';
import type { KernelTuning } from './tuning.js';

export interface TuneOptions {
  /** Of each function that is to be tuned, by its name: the sizes to tune it for. */
  readonly sizes: Readonly<Record<string, DimBinding>>;
  readonly seconds: number;
  /** Name and version of the program that compiles: a table is for no other (`loadSchedules`). */
  readonly compiler: string;
  /** As `compile` gets them: other operands are other kernels. */
  readonly compile?: Omit<CompileOptions, 'print' | 'schedules'>;
  /** Ends the search with what was found. */
  readonly signal?: AbortSignal;
  readonly onKernel?: (report: KernelTuning) => void;
}

/**
 * Looks for schedules that are faster than the chosen ones for a module's kernels on a device, and gives a table of those that are.
 * Neither weights nor inputs are needed. Errors of the stages, of the device and of sizes that do not fit it.
 */
export async function tune(module: Module, device: Device, options: TuneOptions): Promise<ScheduleTable> {
  const { sizes, seconds, compiler, compile = {}, signal, onKernel } = options;
  const make = prepareModule(module, device.target, { ...compile, print: kernelPrinter(device.target) });
  const names = Object.keys(sizes);
  const end = performance.now() + 1000 * seconds;
  const tunings: KernelTuning[] = [];
  for (const [place, name] of names.entries()) {
    const found = await tuneFunction({
      name,
      make,
      sizes: sizes[name] as DimBinding,
      device,
      known: new Set(tunings.map(({ key }) => key)),
      milliseconds: (end - performance.now()) / (names.length - place),
      ...(signal && { signal }),
      ...(onKernel && { onKernel }),
    });
    tunings.push(...found);
  }
  const kernels = tunings.flatMap(({ key, found }) => (found === undefined ? [] : [[key, found] as const]));
  return { compiler, adapter: identifyAdapter(device), kernels: new Map(kernels) };
}

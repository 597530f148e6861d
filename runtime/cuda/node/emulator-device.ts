import { availableParallelism } from 'node:os';
import koffi from 'koffi';
import { cudaEntryPoint } from '../../../backends/cuda/cuda.js';
import { cudaTarget } from '../../../backends/cuda/cuda-target.js';
import type { Target } from '../../../backends/target.js';
import { launchedGroups } from '../../../ir/kernel/launch.js';
import type { ThreadKernel } from '../../../ir/kernel/thread.js';
import type { BoundLaunch, Device, DeviceKernel, OnKernelLoaded } from '../../device.js';
import { forEachParallel } from '../../for-each-parallel.js';
import { HostMemoryDevice } from '../../host-memory-device.js';
import { emulatorFailure, reportLength } from '../emulator/failures.js';
import { encodeTensorMaps } from '../emulator/tensor-maps.js';
import { runnerName } from '../emulator/translation-unit.js';
import { EmulatorCompiler } from './emulator-compiler.js';

export interface EmulatorOptions {
  /** Default: what all GPUs from sm_80 on can do, and 8-bit floats. */
  readonly target?: Target;
  /** The C++ compiler. Default: `g++`. */
  readonly compiler?: string;
  readonly memoryBudgetBytes?: number;
}

/**
 * Kernels of one g++: its start and the header take 0.3 s, a kernel some tens of milliseconds; with more of them the last
 * ones to finish would leave processors idle.
 */
const kernelsAUnit = 8;

/** Of kernels that walk over tiles: few enough that each has several, and more than one. */
const groupsAtOnce = 3;

type Runner = (
  report: BigInt64Array,
  parameters: Int32Array,
  grid: Uint32Array,
  lengths: BigInt64Array,
  tensorMaps: BigInt64Array,
  ...bindings: Uint8Array[]
) => number;

interface LoadedKernel {
  readonly kernel: ThreadKernel;
  readonly source: string;
  readonly run: Runner;
}

/**
 * Runs the CUDA C++ of kernels on the processor, every thread a fiber: slow, and strict where a GPU is silent. A launch that
 * reads outside of a binding, misses a barrier or leaves a warp is an error with kernel and line: F2C240 and F2C241 buffers,
 * F2C242 workgroup memory, F2C243 barriers, F2C244 races, F2C246 division by zero, F2C247 operations of a part of a warp,
 * F2C248 workgroup memory that nothing has written, F2C249 copies that nothing has waited for, F2C239 bytes that are not
 * aligned, F2C237 and F2C238 products of four warps without their fences, F2C235 barriers that are misused, F2C236 threads that wait
 * for ever, F2C234 and F2C537 tensor maps.
 */
export class CudaEmulatorDevice extends HostMemoryDevice {
  private readonly compiler: EmulatorCompiler;
  private readonly loaded = new Map<string, LoadedKernel>();

  constructor({
    target = { ...cudaTarget(['sm_80']), fp8: true },
    compiler = 'g++',
    memoryBudgetBytes = Infinity,
  }: EmulatorOptions = {}) {
    super(target, 'CUDA emulator', memoryBudgetBytes);
    this.compiler = new EmulatorCompiler(compiler);
  }

  override async loadKernels(
    kernels: readonly DeviceKernel[],
    onProgress?: OnKernelLoaded,
    signal?: AbortSignal,
  ): Promise<void> {
    await super.loadKernels(kernels);
    const units = unitsOf(
      [...new Map(kernels.map((kernel) => [kernel.name, kernel])).values()].filter(
        ({ name, source }) => this.loaded.get(name)?.source !== source,
      ),
    );
    let done = kernels.length - units.reduce((sum, unit) => sum + unit.length, 0);
    const loadUnit = async (unit: readonly DeviceKernel[], stop: AbortSignal): Promise<void> => {
      await this.loadUnit(unit, stop);
      done += unit.length;
      onProgress?.(done, kernels.length);
    };
    await forEachParallel(units, availableParallelism(), loadUnit, signal);
  }

  private async loadUnit(unit: readonly DeviceKernel[], stop: AbortSignal): Promise<void> {
    const library = koffi.load(await this.compiler.compile(unit, stop));
    for (const { name, kernel, source } of unit) {
      const bindings = kernel.buffers.map(() => 'uint8_t *');
      const types = [
        'int64_t *',
        'const int32_t *',
        'const uint32_t *',
        'const int64_t *',
        'const int64_t *',
        ...bindings,
      ];
      const run = library.func(runnerName(kernel), 'int', types) as unknown as Runner;
      this.loaded.set(name, { kernel, source, run });
    }
  }

  protected execute(launch: BoundLaunch): void {
    const { kernel, source, run } = this.loaded.get(launch.kernel) as LoadedKernel;
    const report = new BigInt64Array(reportLength);
    const bindings = launch.bindings.map(({ buffer, byteOffset, byteLength }) =>
      this.memoryOf(buffer).subarray(byteOffset, byteOffset + byteLength),
    );
    const lengths = BigInt64Array.from(launch.bindings, ({ byteLength }) => BigInt(byteLength));
    const grid = Uint32Array.from(launchedGroups(kernel, launch.workgroups, groupsAtOnce));
    const maps = encodeTensorMaps(kernel, launch);
    const status = run(report, launch.parameters, grid, lengths, maps, ...bindings);
    if (status !== 0) throw emulatorFailure(report, launch.label, kernel, source);
  }

  override async destroy(): Promise<void> {
    this.loaded.clear();
    await super.destroy();
  }
}

/** Kernels to compile together; never two of one entry point. */
function unitsOf(kernels: readonly DeviceKernel[]): readonly (readonly DeviceKernel[])[] {
  const perUnit = Math.min(kernelsAUnit, Math.ceil(kernels.length / availableParallelism()));
  const units: DeviceKernel[][] = [];
  for (const kernel of kernels) {
    const entryPoint = cudaEntryPoint(kernel.kernel);
    const unit = units.find(
      (some) => some.length < perUnit && some.every((other) => cudaEntryPoint(other.kernel) !== entryPoint),
    );
    if (unit === undefined) units.push([kernel]);
    else unit.push(kernel);
  }
  return units;
}

/** The device of `--device cuda-emulator`. Whether g++ is there shows when the first kernels are loaded (F2C524). */
export function createCudaEmulatorDevice(options: EmulatorOptions = {}): Device {
  return new CudaEmulatorDevice(options);
}

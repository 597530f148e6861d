import { Flux2cError } from '../../ir/diagnostics.js';
import {
  type CudaContext,
  cudaResults,
  type CudaDriver,
  type CudaOutcome,
  type CudaResult,
  printVersion,
} from './driver.js';

/** The calls whose results are checked: all that have one. */
export type CudaCallName = Exclude<keyof CudaDriver, 'errorName' | 'errorText'>;

/** As NVIDIA's documentation has them. */
const documentedNames: Readonly<Record<CudaCallName, string>> = {
  init: 'cuInit',
  driverVersion: 'cuDriverGetVersion',
  deviceCount: 'cuDeviceGetCount',
  deviceGet: 'cuDeviceGet',
  deviceName: 'cuDeviceGetName',
  deviceTotalMemory: 'cuDeviceTotalMem',
  deviceAttribute: 'cuDeviceGetAttribute',
  primaryContextRetain: 'cuDevicePrimaryCtxRetain',
  primaryContextRelease: 'cuDevicePrimaryCtxRelease',
  contextSetCurrent: 'cuCtxSetCurrent',
  moduleLoadData: 'cuModuleLoadData',
  moduleUnload: 'cuModuleUnload',
  moduleGetFunction: 'cuModuleGetFunction',
  functionSetAttribute: 'cuFuncSetAttribute',
  memoryAllocate: 'cuMemAlloc',
  memoryFree: 'cuMemFree',
  memoryInfo: 'cuMemGetInfo',
  hostAllocate: 'cuMemHostAlloc',
  hostFree: 'cuMemFreeHost',
  copyHostToDevice: 'cuMemcpyHtoDAsync',
  copyDeviceToHost: 'cuMemcpyDtoHAsync',
  copyDeviceToDevice: 'cuMemcpyDtoDAsync',
  memset: 'cuMemsetD8Async',
  streamCreate: 'cuStreamCreate',
  streamDestroy: 'cuStreamDestroy',
  streamSynchronize: 'cuStreamSynchronize',
  streamWaitEvent: 'cuStreamWaitEvent',
  eventCreate: 'cuEventCreate',
  eventRecord: 'cuEventRecord',
  eventQuery: 'cuEventQuery',
  eventSynchronize: 'cuEventSynchronize',
  eventElapsedMilliseconds: 'cuEventElapsedTime',
  eventDestroy: 'cuEventDestroy',
  tensorMapEncode: 'cuTensorMapEncodeTiled',
  launchKernel: 'cuLaunchKernel',
  streamBeginCapture: 'cuStreamBeginCapture',
  streamEndCapture: 'cuStreamEndCapture',
  graphInstantiate: 'cuGraphInstantiate',
  graphLaunch: 'cuGraphLaunch',
  graphExecDestroy: 'cuGraphExecDestroy',
  graphDestroy: 'cuGraphDestroy',
};

/**
 * Results after which every further call fails with the same one: a kernel or the hardware broke the context.
 * ECC (214), NVLink (220), contained (226), illegal address (700), timeout (702), destroyed context (709), assertion
 * (710), stack, instruction, alignment, address space, program counter and launch failures (714 to 719).
 */
const fatalResults: ReadonlySet<CudaResult> = new Set([
  214, 220, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719,
]);

type CallValue<K extends CudaCallName> = ReturnType<CudaDriver[K]> extends CudaOutcome<infer T> ? T : void;

/** The context that is current, of each driver: several devices of a process have one each. */
const currentContexts = new WeakMap<CudaDriver, CudaContext>();

/** Makes calls of the driver and throws when one fails: the only place that looks at result codes. */
export class CudaCalls {
  private context: CudaContext | undefined;

  constructor(readonly driver: CudaDriver) {}

  /** All calls from now on go to this context. */
  useContext(context: CudaContext): void {
    this.context = context;
  }

  /** Leaves no context current; the next call of another device makes its own current again. */
  leaveContext(): void {
    this.context = undefined;
    currentContexts.delete(this.driver);
    this.driver.contextSetCurrent(undefined);
  }

  /**
   * The call's value. `where` (sequence, launch, kernel, buffer, outermost first) goes into the error.
   *
   * @throws F2C502 out of memory, F2C512 the GPU or a kernel failed for good, F2C543 the driver lacks the call, F2C540 anything else
   */
  run<K extends CudaCallName>(
    name: K,
    where: readonly string[],
    ...parameters: Parameters<CudaDriver[K]>
  ): CallValue<K> {
    const current = this.makeCurrent();
    if (current !== cudaResults.success) throw this.describe('contextSetCurrent', current, where);
    const outcome = this.call(name, parameters);
    const { result, value } = typeof outcome === 'number' ? { result: outcome, value: undefined } : outcome;
    if (result !== cudaResults.success) throw this.describe(name, result, where);
    return value as CallValue<K>;
  }

  /** As `run`, for what is freed when something else has failed already: a broken context frees its things itself. */
  runQuietly<K extends CudaCallName>(name: K, ...parameters: Parameters<CudaDriver[K]>): void {
    this.makeCurrent();
    this.call(name, parameters);
  }

  /** Another device of this process may have made its context the current one. */
  private makeCurrent(): CudaResult {
    const { driver, context } = this;
    if (context === undefined || currentContexts.get(driver) === context) return cudaResults.success;
    const result = driver.contextSetCurrent(context);
    if (result === cudaResults.success) currentContexts.set(driver, context);
    return result;
  }

  private call<K extends CudaCallName>(
    name: K,
    parameters: Parameters<CudaDriver[K]>,
  ): CudaResult | CudaOutcome<CallValue<K>> {
    const call = this.driver[name] as (...values: Parameters<CudaDriver[K]>) => CudaResult | CudaOutcome<CallValue<K>>;
    return call.apply(this.driver, parameters);
  }

  private describe(name: CudaCallName, result: CudaResult, where: readonly string[]): Flux2cError {
    const call = documentedNames[name];
    const detail = {
      where: [...where, call],
      found: `${this.driver.errorName(result)} (${result}): ${this.driver.errorText(result)}`,
    };
    if (result === cudaResults.outOfMemory) {
      return new Flux2cError('F2C502', 'the device is out of memory', {
        ...detail,
        hint: 'Free memory on the device, or use a smaller image, smaller weights (fewer bits) or a plan that streams weights.',
      });
    }
    if (fatalResults.has(result)) {
      return new Flux2cError('F2C512', 'the device was lost', {
        ...detail,
        hint: 'A kernel that ran before this call failed, or the GPU did. FLUX2C_CUDA_LAUNCHES=one-by-one names the launch; `nvidia-smi` and the system log tell of the GPU.',
      });
    }
    if (name === 'tensorMapEncode' && result === cudaResults.notFound) {
      const { value: version } = this.driver.driverVersion();
      return new Flux2cError('F2C543', 'the NVIDIA driver is too old for kernels that copy by tensor maps', {
        where: detail.where,
        expected: 'a driver that knows CUDA 12.0 or newer',
        found: `one that knows CUDA ${printVersion(version)}`,
        hint: 'Update the NVIDIA driver.',
      });
    }
    return new Flux2cError('F2C540', 'a call of the CUDA driver failed', detail);
  }
}

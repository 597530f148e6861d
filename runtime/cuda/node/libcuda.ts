import { packArguments } from './launch-arguments.js';
import { type CudaBindings, declareCalls, type Koffi } from './libcuda-calls.js';
import { TensorMapEncoder } from './tensor-map-encoder.js';
import {
  type CudaContext,
  type CudaDeviceId,
  type CudaDriver,
  type CudaEvent,
  type CudaFunction,
  type CudaGraph,
  type CudaGraphExec,
  type CudaLaunch,
  type CudaModule,
  type CudaOutcome,
  type CudaResult,
  cudaResults,
  type CudaStream,
  type DevicePointer,
  type EncodedTensorMap,
  type HostPointer,
  type PinnedMemory,
  type TensorMapDescription,
} from '../driver.js';

export type LibcudaOutcome =
  { readonly driver: CudaDriver; readonly reason?: never } | { readonly driver?: never; readonly reason: string };

const nonBlockingStream = 1;
const untimedEvent = 2;
const externalRecord = 1;
/** Threads may go on with calls that others must not make during a capture; ours is the only one that captures. */
const threadLocalCapture = 1;

/** By the library's name. Devices see each other's current context only when they call through one driver. */
const opened = new Map<string, CudaDriver>();

/**
 * The driver's library, which comes with NVIDIA's driver and with no package. A reason instead when there is none or it
 * is too old. FLUX2C_LIBCUDA says where it is, when the loader does not know.
 */
export async function openLibcuda(path = process.env.FLUX2C_LIBCUDA): Promise<LibcudaOutcome> {
  let koffi: Koffi;
  try {
    koffi = await import('koffi');
  } catch (cause) {
    return { reason: `the koffi package does not load: ${messageOf(cause)}` };
  }
  // Kernels that the driver loads at their first launch cannot be captured at it. It reads this when it starts.
  process.env.CUDA_MODULE_LOADING ??= 'EAGER';
  const name = path ?? (process.platform === 'win32' ? 'nvcuda.dll' : 'libcuda.so.1');
  const known = opened.get(name);
  if (known !== undefined) return { driver: known };
  let library: ReturnType<Koffi['load']>;
  try {
    library = koffi.load(name);
  } catch {
    return { reason: `no NVIDIA driver was found (${name} does not load)` };
  }
  try {
    const driver = new Libcuda(koffi, declareCalls(library), new TensorMapEncoder(koffi, library));
    opened.set(name, driver);
    return { driver };
  } catch (cause) {
    return { reason: `the NVIDIA driver is too old: ${messageOf(cause)}` };
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

class Libcuda implements CudaDriver {
  // Where calls put what they give. The memory of small typed arrays moves unless an ArrayBuffer of their own holds it.
  private readonly wide = new BigUint64Array(new ArrayBuffer(16));
  private readonly narrow = new Int32Array(new ArrayBuffer(16));
  private readonly float = new Float32Array(new ArrayBuffer(16));

  constructor(
    private readonly koffi: Koffi,
    private readonly calls: CudaBindings,
    private readonly encoder: TensorMapEncoder,
  ) {}

  init(): CudaResult {
    return this.calls.cuInit(0);
  }

  driverVersion(): CudaOutcome<number> {
    return this.integer(this.calls.cuDriverGetVersion(this.narrow));
  }

  deviceCount(): CudaOutcome<number> {
    return this.integer(this.calls.cuDeviceGetCount(this.narrow));
  }

  deviceGet(ordinal: number): CudaOutcome<CudaDeviceId> {
    const { result, value } = this.integer(this.calls.cuDeviceGet(this.narrow, ordinal));
    return { result, value: value as CudaDeviceId };
  }

  deviceName(device: CudaDeviceId): CudaOutcome<string> {
    const text = new Uint8Array(256);
    const result = this.calls.cuDeviceGetName(text, text.byteLength, device);
    return { result, value: new TextDecoder().decode(text.subarray(0, text.indexOf(0))) };
  }

  deviceTotalMemory(device: CudaDeviceId): CudaOutcome<number> {
    const result = this.calls.cuDeviceTotalMem_v2(this.wide, device);
    return { result, value: Number(this.wide[0]) };
  }

  deviceAttribute(device: CudaDeviceId, attribute: number): CudaOutcome<number> {
    return this.integer(this.calls.cuDeviceGetAttribute(this.narrow, attribute, device));
  }

  primaryContextRetain(device: CudaDeviceId): CudaOutcome<CudaContext> {
    return this.handle<CudaContext>(this.calls.cuDevicePrimaryCtxRetain(this.wide, device));
  }

  primaryContextRelease(device: CudaDeviceId): CudaResult {
    return this.calls.cuDevicePrimaryCtxRelease_v2(device);
  }

  contextSetCurrent(context: CudaContext | undefined): CudaResult {
    return this.calls.cuCtxSetCurrent(context ?? 0n);
  }

  moduleLoadData(image: Uint8Array): CudaOutcome<CudaModule> {
    return this.handle<CudaModule>(this.calls.cuModuleLoadData(this.wide, image));
  }

  moduleUnload(module: CudaModule): CudaResult {
    return this.calls.cuModuleUnload(module);
  }

  moduleGetFunction(module: CudaModule, name: string): CudaOutcome<CudaFunction> {
    return this.handle<CudaFunction>(this.calls.cuModuleGetFunction(this.wide, module, name));
  }

  functionSetAttribute(cudaFunction: CudaFunction, attribute: number, value: number): CudaResult {
    return this.calls.cuFuncSetAttribute(cudaFunction, attribute, value);
  }

  memoryAllocate(byteLength: number): CudaOutcome<DevicePointer> {
    return this.handle<DevicePointer>(this.calls.cuMemAlloc_v2(this.wide, byteLength));
  }

  memoryFree(pointer: DevicePointer): CudaResult {
    return this.calls.cuMemFree_v2(pointer);
  }

  memoryInfo(): CudaOutcome<{ readonly free: number; readonly total: number }> {
    const result = this.calls.cuMemGetInfo_v2(this.wide, this.wide.subarray(1));
    return { result, value: { free: Number(this.wide[0]), total: Number(this.wide[1]) } };
  }

  hostAllocate(byteLength: number): CudaOutcome<PinnedMemory> {
    const result = this.calls.cuMemHostAlloc(this.wide, byteLength, 0);
    const pointer = (this.wide[0] ?? 0n) as HostPointer;
    const failed = result !== cudaResults.success;
    const bytes = failed ? new Uint8Array(0) : new Uint8Array(this.koffi.view(pointer, byteLength));
    return { result, value: { pointer, bytes } };
  }

  hostFree({ pointer }: PinnedMemory): CudaResult {
    return this.calls.cuMemFreeHost(pointer);
  }

  copyHostToDevice(to: DevicePointer, from: HostPointer, byteLength: number, stream: CudaStream): CudaResult {
    return this.calls.cuMemcpyHtoDAsync_v2(to, from, byteLength, stream);
  }

  copyDeviceToHost(to: HostPointer, from: DevicePointer, byteLength: number, stream: CudaStream): CudaResult {
    return this.calls.cuMemcpyDtoHAsync_v2(to, from, byteLength, stream);
  }

  copyDeviceToDevice(to: DevicePointer, from: DevicePointer, byteLength: number, stream: CudaStream): CudaResult {
    return this.calls.cuMemcpyDtoDAsync_v2(to, from, byteLength, stream);
  }

  memset(to: DevicePointer, value: number, byteLength: number, stream: CudaStream): CudaResult {
    return this.calls.cuMemsetD8Async(to, value, byteLength, stream);
  }

  streamCreate(): CudaOutcome<CudaStream> {
    return this.handle<CudaStream>(this.calls.cuStreamCreate(this.wide, nonBlockingStream));
  }

  streamDestroy(stream: CudaStream): CudaResult {
    return this.calls.cuStreamDestroy_v2(stream);
  }

  streamSynchronize(stream: CudaStream): CudaResult {
    return this.calls.cuStreamSynchronize(stream);
  }

  streamWaitEvent(stream: CudaStream, event: CudaEvent): CudaResult {
    return this.calls.cuStreamWaitEvent(stream, event, 0);
  }

  eventCreate(timing: boolean): CudaOutcome<CudaEvent> {
    return this.handle<CudaEvent>(this.calls.cuEventCreate(this.wide, timing ? 0 : untimedEvent));
  }

  eventRecord(event: CudaEvent, stream: CudaStream, external: boolean): CudaResult {
    return this.calls.cuEventRecordWithFlags(event, stream, external ? externalRecord : 0);
  }

  eventQuery(event: CudaEvent): CudaOutcome<boolean> {
    const result = this.calls.cuEventQuery(event);
    return result === cudaResults.notReady
      ? { result: cudaResults.success, value: false }
      : { result, value: result === cudaResults.success };
  }

  eventSynchronize(event: CudaEvent): CudaResult {
    return this.calls.cuEventSynchronize(event);
  }

  eventElapsedMilliseconds(start: CudaEvent, end: CudaEvent): CudaOutcome<number> {
    const result = this.calls.cuEventElapsedTime(this.float, start, end);
    return { result, value: this.float[0] ?? 0 };
  }

  eventDestroy(event: CudaEvent): CudaResult {
    return this.calls.cuEventDestroy_v2(event);
  }

  tensorMapEncode(map: TensorMapDescription): CudaOutcome<EncodedTensorMap> {
    return this.encoder.encode(map);
  }

  launchKernel(launch: CudaLaunch): CudaResult {
    const { grid, blockSize, sharedBytes, stream } = launch;
    const [x, y, z] = grid;
    // The driver copies the arguments before it returns.
    const table = packArguments(this.koffi, launch);
    return this.calls.cuLaunchKernel(launch.function, x, y, z, blockSize, 1, 1, sharedBytes, stream, table, null);
  }

  streamBeginCapture(stream: CudaStream): CudaResult {
    return this.calls.cuStreamBeginCapture_v2(stream, threadLocalCapture);
  }

  streamEndCapture(stream: CudaStream): CudaOutcome<CudaGraph> {
    return this.handle<CudaGraph>(this.calls.cuStreamEndCapture(stream, this.wide));
  }

  graphInstantiate(graph: CudaGraph): CudaOutcome<CudaGraphExec> {
    return this.handle<CudaGraphExec>(this.calls.cuGraphInstantiateWithFlags(this.wide, graph, 0));
  }

  graphLaunch(exec: CudaGraphExec, stream: CudaStream): CudaResult {
    return this.calls.cuGraphLaunch(exec, stream);
  }

  graphExecDestroy(exec: CudaGraphExec): CudaResult {
    return this.calls.cuGraphExecDestroy(exec);
  }

  graphDestroy(graph: CudaGraph): CudaResult {
    return this.calls.cuGraphDestroy(graph);
  }

  errorName(result: CudaResult): string {
    return this.text(this.calls.cuGetErrorName(result, this.wide));
  }

  errorText(result: CudaResult): string {
    return this.text(this.calls.cuGetErrorString(result, this.wide));
  }

  private integer(result: CudaResult): CudaOutcome<number> {
    return { result, value: this.narrow[0] ?? 0 };
  }

  private handle<T extends bigint>(result: CudaResult): CudaOutcome<T> {
    return { result, value: (this.wide[0] ?? 0n) as T };
  }

  private text(result: CudaResult): string {
    const pointer = this.wide[0] ?? 0n;
    return result === cudaResults.success && pointer !== 0n ? this.koffi.decode.string(pointer) : 'unknown error';
  }
}

import type { StorageType } from '../../ir/kernel/thread.js';

/**
 * The calls of the CUDA driver API (libcuda) that flux2c makes, typed, without CUDA: `node/libcuda.ts` makes them,
 * tests have a driver that only checks them. Every call gives CUDA's result code; `CudaCalls` is what looks at it.
 */

declare const brand: unique symbol;
/** A pointer or handle of the driver. Handles of different kinds are no handles of each other. */
type Handle<Kind extends string> = bigint & { readonly [brand]: Kind };

export type CudaContext = Handle<'context'>;
export type CudaModule = Handle<'module'>;
export type CudaFunction = Handle<'function'>;
export type CudaStream = Handle<'stream'>;
export type CudaEvent = Handle<'event'>;
export type CudaGraph = Handle<'graph'>;
/** A graph that is ready to launch. */
export type CudaGraphExec = Handle<'graph exec'>;
/** An address in the GPU's memory; adding bytes to it gives another one, see `offsetPointer`. */
export type DevicePointer = Handle<'device pointer'>;
/** An address in the computer's memory that copies of the GPU reach: page-locked, "pinned". */
export type HostPointer = Handle<'host pointer'>;
/** The driver's number of a GPU. */
export type CudaDeviceId = number & { readonly [brand]: 'device' };

/** CUresult: 0 is success. */
export type CudaResult = number;

/** `value` has no meaning unless `result` is 0. */
export interface CudaOutcome<T> {
  readonly result: CudaResult;
  readonly value: T;
}

export interface PinnedMemory {
  readonly pointer: HostPointer;
  /** The memory itself. Not to be touched once it is freed. */
  readonly bytes: Uint8Array;
}

/** A rectangle of the GPU's memory that kernels copy boxes of; dimensions innermost first. */
export interface TensorMapDescription {
  readonly storage: StorageType;
  /** Of its first element; 16 bytes divide it. */
  readonly address: DevicePointer;
  /** Elements. */
  readonly extents: readonly number[];
  /** Multiples of 16, of all dimensions but the innermost, whose elements lie side by side. */
  readonly byteStrides: readonly number[];
  /** Elements of a copy; a row of it has 128 bytes. */
  readonly boxes: readonly number[];
}

/** CUtensorMap: 128 bytes that only the hardware reads. They name the memory and keep nothing alive. */
export type EncodedTensorMap = Uint8Array & { readonly [brand]: 'tensor map' };
export const tensorMapBytes = 128;
/** Of the 128 bytes, when they are made and when a launch is given them. */
export const tensorMapAlignment = 64;

export interface CudaLaunch {
  readonly function: CudaFunction;
  readonly grid: readonly [number, number, number];
  readonly blockSize: number;
  /** Dynamic shared memory. */
  readonly sharedBytes: number;
  readonly stream: CudaStream;
  /** The kernel's arguments: pointers, tensor maps by value, then one structure of these integers unless there are none. */
  readonly pointers: readonly DevicePointer[];
  /** Bytes from each pointer on that the launch may touch: nothing of CUDA's, what drivers of tests hold it to. */
  readonly spans: readonly number[];
  readonly tensorMaps: readonly EncodedTensorMap[];
  readonly parameters: Int32Array;
}

/** Values of CUresult that flux2c tells apart; all others are reported by the driver's name. */
export const cudaResults = {
  success: 0,
  outOfMemory: 2,
  noDevice: 100,
  notFound: 500,
  notReady: 600,
} as const;

/** CUdevice_attribute. */
export const cudaDeviceAttributes = {
  multiprocessors: 16,
  computeCapabilityMajor: 75,
  computeCapabilityMinor: 76,
  /** Shared memory that one block may ask for. */
  blockMemory: 97,
} as const;

/** CUfunction_attribute: needed by kernels with more than 48 KiB of dynamic shared memory. */
export const maxDynamicSharedBytesAttribute = 8;

/** Dynamic shared memory that a kernel may have without asking for it. */
export const unaskedSharedBytes = 48 * 1024;

/**
 * Calls that take a stream are queued on it and are done later. All calls go to the context that is current on this
 * thread, which is JavaScript's: none is made on another one.
 */
export interface CudaDriver {
  init(): CudaResult;
  /** 13000 is CUDA 13.0. */
  driverVersion(): CudaOutcome<number>;
  deviceCount(): CudaOutcome<number>;
  deviceGet(ordinal: number): CudaOutcome<CudaDeviceId>;
  deviceName(device: CudaDeviceId): CudaOutcome<string>;
  deviceTotalMemory(device: CudaDeviceId): CudaOutcome<number>;
  deviceAttribute(device: CudaDeviceId, attribute: number): CudaOutcome<number>;

  primaryContextRetain(device: CudaDeviceId): CudaOutcome<CudaContext>;
  primaryContextRelease(device: CudaDeviceId): CudaResult;
  contextSetCurrent(context: CudaContext | undefined): CudaResult;

  moduleLoadData(image: Uint8Array): CudaOutcome<CudaModule>;
  moduleUnload(module: CudaModule): CudaResult;
  moduleGetFunction(module: CudaModule, name: string): CudaOutcome<CudaFunction>;
  functionSetAttribute(cudaFunction: CudaFunction, attribute: number, value: number): CudaResult;

  memoryAllocate(byteLength: number): CudaOutcome<DevicePointer>;
  /** Waits for work of the GPU that uses the memory. */
  memoryFree(pointer: DevicePointer): CudaResult;
  memoryInfo(): CudaOutcome<{ readonly free: number; readonly total: number }>;
  hostAllocate(byteLength: number): CudaOutcome<PinnedMemory>;
  hostFree(memory: PinnedMemory): CudaResult;

  copyHostToDevice(to: DevicePointer, from: HostPointer, byteLength: number, stream: CudaStream): CudaResult;
  copyDeviceToHost(to: HostPointer, from: DevicePointer, byteLength: number, stream: CudaStream): CudaResult;
  copyDeviceToDevice(to: DevicePointer, from: DevicePointer, byteLength: number, stream: CudaStream): CudaResult;
  /** Sets bytes. */
  memset(to: DevicePointer, value: number, byteLength: number, stream: CudaStream): CudaResult;

  /** A stream that does not wait for stream 0, which flux2c never uses. */
  streamCreate(): CudaOutcome<CudaStream>;
  streamDestroy(stream: CudaStream): CudaResult;
  streamSynchronize(stream: CudaStream): CudaResult;
  streamWaitEvent(stream: CudaStream, event: CudaEvent): CudaResult;

  /** Events without timing are cheaper. */
  eventCreate(timing: boolean): CudaOutcome<CudaEvent>;
  /** `external` in a capture: every launch of the graph records the event. */
  eventRecord(event: CudaEvent, stream: CudaStream, external: boolean): CudaResult;
  /** Whether all work before its record is done; failures of that work show here. */
  eventQuery(event: CudaEvent): CudaOutcome<boolean>;
  eventSynchronize(event: CudaEvent): CudaResult;
  eventElapsedMilliseconds(start: CudaEvent, end: CudaEvent): CudaOutcome<number>;
  eventDestroy(event: CudaEvent): CudaResult;

  /** From CUDA 12.0 on; `notFound` from drivers that lack it. */
  tensorMapEncode(map: TensorMapDescription): CudaOutcome<EncodedTensorMap>;
  launchKernel(launch: CudaLaunch): CudaResult;

  /** From now on what is queued on the stream goes into a graph instead. */
  streamBeginCapture(stream: CudaStream): CudaResult;
  streamEndCapture(stream: CudaStream): CudaOutcome<CudaGraph>;
  graphInstantiate(graph: CudaGraph): CudaOutcome<CudaGraphExec>;
  graphLaunch(exec: CudaGraphExec, stream: CudaStream): CudaResult;
  graphExecDestroy(exec: CudaGraphExec): CudaResult;
  graphDestroy(graph: CudaGraph): CudaResult;

  /** `CUDA_ERROR_OUT_OF_MEMORY`. */
  errorName(result: CudaResult): string;
  errorText(result: CudaResult): string;
}

export function offsetPointer(pointer: DevicePointer, bytes: number): DevicePointer {
  return (pointer + BigInt(bytes)) as DevicePointer;
}

/** `13.0` of 13000. */
export function printVersion(version: number): string {
  return `${Math.floor(version / 1000)}.${Math.floor((version % 1000) / 10)}`;
}

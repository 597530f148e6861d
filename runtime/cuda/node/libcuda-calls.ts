/** The C declarations of the calls, by the names that the library exports: `cuda.h` maps some to those of a version. */
import type { CudaResult } from '../driver.js';

export type Koffi = typeof import('koffi');
export type Library = ReturnType<Koffi['load']>;

/** Memory that a call reads or writes during the call. */
type Memory = Uint8Array | Int32Array | Uint32Array | BigUint64Array | Float32Array;
type Size = number | bigint;

/** Handles and addresses are integers of 64 bits. */
export interface CudaBindings {
  cuInit(flags: number): CudaResult;
  cuDriverGetVersion(version: Memory): CudaResult;
  cuDeviceGetCount(count: Memory): CudaResult;
  cuDeviceGet(device: Memory, ordinal: number): CudaResult;
  cuDeviceGetName(name: Memory, length: number, device: number): CudaResult;
  cuDeviceTotalMem_v2(bytes: Memory, device: number): CudaResult;
  cuDeviceGetAttribute(value: Memory, attribute: number, device: number): CudaResult;
  cuDevicePrimaryCtxRetain(context: Memory, device: number): CudaResult;
  cuDevicePrimaryCtxRelease_v2(device: number): CudaResult;
  cuCtxSetCurrent(context: bigint): CudaResult;
  cuModuleLoadData(module: Memory, image: Memory): CudaResult;
  cuModuleUnload(module: bigint): CudaResult;
  cuModuleGetFunction(cudaFunction: Memory, module: bigint, name: string): CudaResult;
  cuFuncSetAttribute(cudaFunction: bigint, attribute: number, value: number): CudaResult;
  cuMemAlloc_v2(pointer: Memory, bytes: Size): CudaResult;
  cuMemFree_v2(pointer: bigint): CudaResult;
  cuMemGetInfo_v2(free: Memory, total: Memory): CudaResult;
  cuMemHostAlloc(pointer: Memory, bytes: Size, flags: number): CudaResult;
  cuMemFreeHost(pointer: bigint): CudaResult;
  cuMemcpyHtoDAsync_v2(to: bigint, from: bigint, bytes: Size, stream: bigint): CudaResult;
  cuMemcpyDtoHAsync_v2(to: bigint, from: bigint, bytes: Size, stream: bigint): CudaResult;
  cuMemcpyDtoDAsync_v2(to: bigint, from: bigint, bytes: Size, stream: bigint): CudaResult;
  cuMemsetD8Async(to: bigint, value: number, bytes: Size, stream: bigint): CudaResult;
  cuStreamCreate(stream: Memory, flags: number): CudaResult;
  cuStreamDestroy_v2(stream: bigint): CudaResult;
  cuStreamSynchronize(stream: bigint): CudaResult;
  cuStreamWaitEvent(stream: bigint, event: bigint, flags: number): CudaResult;
  cuEventCreate(event: Memory, flags: number): CudaResult;
  cuEventRecordWithFlags(event: bigint, stream: bigint, flags: number): CudaResult;
  cuEventQuery(event: bigint): CudaResult;
  cuEventSynchronize(event: bigint): CudaResult;
  cuEventElapsedTime(milliseconds: Memory, start: bigint, end: bigint): CudaResult;
  cuEventDestroy_v2(event: bigint): CudaResult;
  cuLaunchKernel(
    cudaFunction: bigint,
    gridX: number,
    gridY: number,
    gridZ: number,
    blockX: number,
    blockY: number,
    blockZ: number,
    sharedBytes: number,
    stream: bigint,
    table: Memory,
    extra: null,
  ): CudaResult;
  cuStreamBeginCapture_v2(stream: bigint, mode: number): CudaResult;
  cuStreamEndCapture(stream: bigint, graph: Memory): CudaResult;
  cuGraphInstantiateWithFlags(exec: Memory, graph: bigint, flags: Size): CudaResult;
  cuGraphLaunch(exec: bigint, stream: bigint): CudaResult;
  cuGraphExecDestroy(exec: bigint): CudaResult;
  cuGraphDestroy(graph: bigint): CudaResult;
  cuGetErrorName(result: CudaResult, text: Memory): CudaResult;
  cuGetErrorString(result: CudaResult, text: Memory): CudaResult;
}

/**
 * cuTensorMapEncodeTiled, from CUDA 12.0 on. The map is an address, because it must be aligned.
 */
export type EncodeTensorMap = (
  map: bigint,
  dataType: number,
  rank: number,
  address: bigint,
  extents: Memory,
  byteStrides: Memory,
  boxes: Memory,
  elementStrides: Memory,
  interleave: number,
  swizzle: number,
  promotion: number,
  fill: number,
) => CudaResult;

/** `p`: a pointer to memory of ours; `h`: a handle or address, 64 bits; `s`: size_t; `i`: int; `u`: 64 bits; `t`: text. */
const signatures: Readonly<Record<keyof CudaBindings, string>> = {
  cuInit: 'i',
  cuDriverGetVersion: 'p',
  cuDeviceGetCount: 'p',
  cuDeviceGet: 'pi',
  cuDeviceGetName: 'pii',
  cuDeviceTotalMem_v2: 'pi',
  cuDeviceGetAttribute: 'pii',
  cuDevicePrimaryCtxRetain: 'pi',
  cuDevicePrimaryCtxRelease_v2: 'i',
  cuCtxSetCurrent: 'h',
  cuModuleLoadData: 'pp',
  cuModuleUnload: 'h',
  cuModuleGetFunction: 'pht',
  cuFuncSetAttribute: 'hii',
  cuMemAlloc_v2: 'ps',
  cuMemFree_v2: 'h',
  cuMemGetInfo_v2: 'pp',
  cuMemHostAlloc: 'psi',
  cuMemFreeHost: 'h',
  cuMemcpyHtoDAsync_v2: 'hhsh',
  cuMemcpyDtoHAsync_v2: 'hhsh',
  cuMemcpyDtoDAsync_v2: 'hhsh',
  cuMemsetD8Async: 'hbsh',
  cuStreamCreate: 'pi',
  cuStreamDestroy_v2: 'h',
  cuStreamSynchronize: 'h',
  cuStreamWaitEvent: 'hhi',
  cuEventCreate: 'pi',
  cuEventRecordWithFlags: 'hhi',
  cuEventQuery: 'h',
  cuEventSynchronize: 'h',
  cuEventElapsedTime: 'phh',
  cuEventDestroy_v2: 'h',
  cuLaunchKernel: 'hiiiiiiihpp',
  cuStreamBeginCapture_v2: 'hi',
  cuStreamEndCapture: 'hp',
  cuGraphInstantiateWithFlags: 'phu',
  cuGraphLaunch: 'hh',
  cuGraphExecDestroy: 'h',
  cuGraphDestroy: 'h',
  cuGetErrorName: 'ip',
  cuGetErrorString: 'ip',
};

const types: Readonly<Record<string, string>> = {
  p: 'void *',
  h: 'uint64_t',
  s: 'size_t',
  i: 'int',
  u: 'uint64_t',
  b: 'uchar',
  t: 'const char *',
};

/** Throws when the library lacks one of the calls. */
export function declareCalls(library: Library): CudaBindings {
  const declared = Object.entries(signatures).map(
    ([name, letters]) => [name, declare(library, name, letters)] as const,
  );
  return Object.fromEntries(declared) as unknown as CudaBindings;
}

/** Undefined where the library lacks the call. */
export function findEncodeTensorMap(library: Library): EncodeTensorMap | undefined {
  try {
    return declare(library, 'cuTensorMapEncodeTiled', 'hiihppppiiii');
  } catch {
    return undefined;
  }
}

function declare(library: Library, name: string, letters: string): ReturnType<Library['func']> {
  const parameters = [...letters].map((letter) => types[letter]!);
  return library.func(name, 'int', parameters);
}

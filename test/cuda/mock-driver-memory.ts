/** Memory, copies, modules and functions of the mock driver. */
import {
  type CudaFunction,
  type CudaModule,
  type CudaOutcome,
  type CudaResult,
  type CudaStream,
  type DevicePointer,
  type HostPointer,
  type PinnedMemory,
} from '../../runtime/cuda/driver.js';
import { type MockFunction, type MockModule, MockDriverState } from './mock-driver-state.js';
import { bytesOf, CudaViolation, describe, markWritten, requireWritten } from './mock-memory.js';

export class MockMemoryDriver extends MockDriverState {
  moduleLoadData(image: Uint8Array): CudaOutcome<CudaModule> {
    const result = this.enterOutsideCapture('moduleLoadData');
    if (result !== 0) return { result, value: 0n as CudaModule };
    return this.made<CudaModule>({ kind: 'module', handle: this.handle(), isLive: true, image: image.slice() });
  }

  moduleUnload(module: CudaModule): CudaResult {
    this.calls.push('moduleUnload');
    const owned = this.destroyObject(module, 'module');
    this.requireIdle('moduleUnload', ({ needs }) => needs.includes(owned));
    for (const object of this.objects.values())
      if ('module' in object && object.module === owned) object.isLive = false;
    return this.sticky;
  }

  moduleGetFunction(module: CudaModule, name: string): CudaOutcome<CudaFunction> {
    const result = this.enter('moduleGetFunction');
    const owner = this.object<MockModule>(module, 'module');
    const kernel = this.options.kernelOf?.(owner.image, name);
    if (result !== 0 || kernel === undefined) return { result: result || 500, value: 0n as CudaFunction };
    const made: MockFunction = { kind: 'function', handle: this.handle(), isLive: true, module: owner, name, kernel, maxSharedBytes: 48 * 1024 }; // prettier-ignore
    return this.made<CudaFunction>(made);
  }

  functionSetAttribute(cudaFunction: CudaFunction, attribute: number, value: number): CudaResult {
    const result = this.enter('functionSetAttribute');
    if (attribute !== 8 || value > 227 * 1024) return 1;
    this.object<MockFunction>(cudaFunction, 'function').maxSharedBytes = value;
    return result;
  }

  memoryAllocate(byteLength: number): CudaOutcome<DevicePointer> {
    const result = this.enterOutsideCapture('memoryAllocate');
    const failed = result || (this.memory.liveBytes + byteLength > this.totalBytes ? 2 : 0);
    return { result: failed, value: (failed === 0 ? this.memory.allocate(byteLength).address : 0n) as DevicePointer };
  }

  memoryFree(pointer: DevicePointer): CudaResult {
    this.calls.push('memoryFree');
    this.forbidInCapture('memoryFree');
    this.requireUnused('memoryFree', this.memory.free(pointer));
    return this.sticky;
  }

  memoryInfo(): CudaOutcome<{ readonly free: number; readonly total: number }> {
    const result = this.enter('memoryInfo');
    return { result, value: { free: this.totalBytes - this.memory.liveBytes, total: this.totalBytes } };
  }

  hostAllocate(byteLength: number): CudaOutcome<PinnedMemory> {
    const result = this.enterOutsideCapture('hostAllocate');
    if (result !== 0) return { result, value: { pointer: 0n as HostPointer, bytes: new Uint8Array(0) } };
    const { address, bytes } = this.pinned.allocate(byteLength);
    return { result, value: { pointer: address as HostPointer, bytes } };
  }

  hostFree({ pointer }: PinnedMemory): CudaResult {
    this.calls.push('hostFree');
    this.forbidInCapture('hostFree');
    this.requireUnused('hostFree', this.pinned.free(pointer));
    return this.sticky;
  }

  copyHostToDevice(to: DevicePointer, from: HostPointer, byteLength: number, stream: CudaStream): CudaResult {
    const result = this.enter('copyHostToDevice');
    const source = this.pinned.access(from, byteLength, false);
    const target = this.memory.access(to, byteLength, true);
    const expected = bytesOf(source).slice();
    this.queue(stream, 'a copy to the device', [source, target], [], () => {
      if (Buffer.compare(expected, bytesOf(source)) !== 0)
        throw new CudaViolation(`${describe(source.allocation)} changed before the stream reached the copy from it`);
      bytesOf(target).set(expected);
      markWritten(target);
    });
    return result;
  }

  copyDeviceToHost(to: HostPointer, from: DevicePointer, byteLength: number, stream: CudaStream): CudaResult {
    const result = this.enter('copyDeviceToHost');
    const source = this.memory.access(from, byteLength, false);
    const target = this.pinned.access(to, byteLength, true);
    this.queue(stream, 'a copy to the host', [source, target], [], () => {
      requireWritten(source, 'all');
      bytesOf(target).set(bytesOf(source));
    });
    return result;
  }

  copyDeviceToDevice(to: DevicePointer, from: DevicePointer, byteLength: number, stream: CudaStream): CudaResult {
    const result = this.enter('copyDeviceToDevice');
    const source = this.memory.access(from, byteLength, false);
    const target = this.memory.access(to, byteLength, true);
    if (source.allocation === target.allocation && source.start < target.end && target.start < source.end)
      throw new CudaViolation('the ranges of a copy overlap');
    this.queue(stream, 'a copy', [source, target], [], () => {
      requireWritten(source, 'all');
      bytesOf(target).set(bytesOf(source));
      markWritten(target);
    });
    return result;
  }

  memset(to: DevicePointer, value: number, byteLength: number, stream: CudaStream): CudaResult {
    const result = this.enter('memset');
    const target = this.memory.access(to, byteLength, true);
    this.queue(stream, 'a memset', [target], [], () => {
      bytesOf(target).fill(value);
      markWritten(target);
    });
    return result;
  }
}

import { CheckingDevice } from './checking-device.js';
import type { DeviceBuffer } from './device.js';

/** A checking device whose buffers are arrays of bytes of this process. */
export abstract class HostMemoryDevice extends CheckingDevice<Uint8Array> {
  protected allocate(byteLength: number): Uint8Array {
    return new Uint8Array(byteLength);
  }

  write(buffer: DeviceBuffer, byteOffset: number, bytes: Uint8Array): void {
    this.memoryOf(buffer, 'write', byteOffset, bytes.byteLength).set(bytes, byteOffset);
  }

  copy(from: DeviceBuffer, fromOffset: number, to: DeviceBuffer, toOffset: number, byteLength: number): void {
    this.checkCopy(from, to);
    const source = this.memoryOf(from, 'copy', fromOffset, byteLength);
    this.memoryOf(to, 'copy', toOffset, byteLength).set(source.subarray(fromOffset, fromOffset + byteLength), toOffset);
  }

  async read(buffer: DeviceBuffer, byteOffset: number, byteLength: number): Promise<Uint8Array> {
    return this.memoryOf(buffer, 'read', byteOffset, byteLength).slice(byteOffset, byteOffset + byteLength);
  }
}

import type { Target } from '../backends/target.js';
import { CheckingDevice } from './checking-device.js';
import type { BoundLaunch, DeviceBuffer } from './device.js';

/** What a null device was asked to do, in order. */
export type DeviceEvent =
  | {
      readonly kind: 'write' | 'read';
      readonly buffer: string;
      readonly byteOffset: number;
      readonly byteLength: number;
    }
  | { readonly kind: 'copy'; readonly from: string; readonly to: string; readonly byteLength: number }
  | { readonly kind: 'launch'; readonly label: string; readonly kernel: string };

/**
 * Checks all it is asked to do and does nothing, so plans of full-size models run through it on any machine. Buffers have
 * no memory behind them; reads give zeros.
 */
export class NullDevice extends CheckingDevice<undefined> {
  readonly events: DeviceEvent[] = [];

  constructor(target: Target, budgetBytes = Infinity) {
    super(target, `null device (${target.backend})`, budgetBytes);
  }

  protected allocate(): undefined {
    return undefined;
  }

  protected execute({ label, kernel }: BoundLaunch): void {
    this.events.push({ kind: 'launch', label, kernel });
  }

  write(buffer: DeviceBuffer, byteOffset: number, bytes: Uint8Array): void {
    this.memoryOf(buffer, 'write', byteOffset, bytes.byteLength);
    this.events.push({ kind: 'write', buffer: buffer.label, byteOffset, byteLength: bytes.byteLength });
  }

  copy(from: DeviceBuffer, fromOffset: number, to: DeviceBuffer, toOffset: number, byteLength: number): void {
    this.checkCopy(from, to);
    this.memoryOf(from, 'copy', fromOffset, byteLength);
    this.memoryOf(to, 'copy', toOffset, byteLength);
    this.events.push({ kind: 'copy', from: from.label, to: to.label, byteLength });
  }

  async read(buffer: DeviceBuffer, byteOffset: number, byteLength: number): Promise<Uint8Array> {
    this.memoryOf(buffer, 'read', byteOffset, byteLength);
    this.events.push({ kind: 'read', buffer: buffer.label, byteOffset, byteLength });
    return new Uint8Array(byteLength);
  }
}

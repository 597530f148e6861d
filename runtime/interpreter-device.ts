import type { Target } from '../backends/target.js';
import { compileThreadKernel } from '../ir/kernel/thread-interpret.js';
import type { RunThreadKernel } from '../ir/kernel/thread-interpret.js';
import type { ThreadKernel } from '../ir/kernel/thread.js';
import { CheckingDevice } from './checking-device.js';
import type { BoundLaunch, DeviceBuffer } from './device.js';

/**
 * Runs launches with the thread interpreter, in lockstep and with all its checks: slow, and the reference that says what
 * a plan computes. Bindings are exactly as long as the launch says, so an index outside of its window is an error.
 */
export class InterpreterDevice extends CheckingDevice<Uint8Array> {
  private readonly compiled = new Map<ThreadKernel, RunThreadKernel>();

  constructor(target: Target, budgetBytes = Infinity) {
    super(target, 'thread interpreter', budgetBytes);
  }

  protected allocate(byteLength: number): Uint8Array {
    return new Uint8Array(byteLength);
  }

  protected execute(launch: BoundLaunch, kernel: ThreadKernel): void {
    let run = this.compiled.get(kernel);
    if (run === undefined) {
      run = compileThreadKernel(kernel);
      this.compiled.set(kernel, run);
    }
    const buffers = kernel.buffers.map(({ name }, index) => {
      const { buffer, byteOffset, byteLength } = launch.bindings[index] as BoundLaunch['bindings'][number];
      return [name, this.memoryOf(buffer).subarray(byteOffset, byteOffset + byteLength)] as const;
    });
    const parameters = kernel.parameters.map((name, index) => [name, launch.parameters[index] as number] as const);
    run(Object.fromEntries(buffers), Object.fromEntries(parameters), launch.workgroups);
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

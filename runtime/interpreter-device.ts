import type { Target } from '../backends/target.js';
import { launchedGroups } from '../ir/kernel/launch.js';
import { compileThreadKernel } from '../ir/kernel/thread-interpret.js';
import type { RunThreadKernel } from '../ir/kernel/thread-interpret.js';
import type { ThreadKernel } from '../ir/kernel/thread.js';
import type { BoundLaunch } from './device.js';
import { HostMemoryDevice } from './host-memory-device.js';

/** Groups that walk over tiles here: few, so that each walks over several. */
const groupsAtOnce = 3;

/**
 * Runs launches with the thread interpreter, in lockstep and with all its checks: slow, and the reference that says what
 * a plan computes. Bindings are exactly as long as the launch says, so an index outside of its window is an error.
 */
export class InterpreterDevice extends HostMemoryDevice {
  private readonly compiled = new Map<ThreadKernel, RunThreadKernel>();

  constructor(target: Target, budgetBytes = Infinity) {
    super(target, 'thread interpreter', budgetBytes);
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
    run(
      Object.fromEntries(buffers),
      Object.fromEntries(parameters),
      launchedGroups(kernel, launch.workgroups, groupsAtOnce),
    );
  }
}

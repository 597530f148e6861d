import { Flux2cError } from '../../ir/diagnostics.js';
import type { ThreadKernel } from '../../ir/kernel/thread.js';
import type { Target } from '../../backends/target.js';
import type { BoundLaunch, DeviceBuffer, Sequence } from '../device.js';
import { checkBufferAccess, checkLaunch } from '../launch-check.js';
import { parameterSlotBytes, type KernelLibrary } from './webgpu-kernels.js';

/** GPUBufferUsage of the specification, which Node has no globals for. */
export const bufferUsage = { mapRead: 1, copySource: 4, copyTarget: 8, uniform: 64, storage: 128, queryResolve: 512 };

/** A buffer of `WebgpuDevice`; the GPU buffer is padded to a multiple of 4 bytes. */
export class WebgpuBuffer implements DeviceBuffer {
  private live = true;

  constructor(
    readonly gpu: GPUBuffer,
    readonly byteLength: number,
    readonly label: string,
    private readonly onDestroy: { readonly before: () => void; readonly after: () => void },
  ) {}

  destroy(): void {
    if (!this.live) return;
    this.live = false;
    this.onDestroy.before();
    this.gpu.destroy();
    this.onDestroy.after();
  }
}

/** A buffer that this kind of device made. Throws F2C514 for another device's. */
export function asWebgpuBuffer(buffer: DeviceBuffer): WebgpuBuffer {
  if (buffer instanceof WebgpuBuffer) return buffer;
  throw new Flux2cError('F2C514', 'internal: a buffer of another device', { where: [`buffer ${buffer.label}`] });
}

interface PreparedLaunch {
  readonly label: string;
  readonly pipeline: GPUComputePipeline;
  readonly buffers: GPUBindGroup;
  /** Offset of the parameters in the uniform buffer; absent for kernels without any. */
  readonly parameterOffset: number | undefined;
  readonly workgroups: readonly [number, number, number];
}

/** Bind groups and parameters of a list of launches, made once. */
export class WebgpuSequence implements Sequence {
  constructor(
    readonly label: string,
    readonly prepared: readonly PreparedLaunch[],
    private readonly parameterBuffer: GPUBuffer | undefined,
    private readonly parameters: GPUBindGroup | undefined,
    private readonly beforeDestroy: () => void,
  ) {}

  get launches(): number {
    return this.prepared.length;
  }

  destroy(): void {
    this.beforeDestroy();
    this.parameterBuffer?.destroy();
  }

  /** Encodes launches `first` to `end`. Repeated state is set once. */
  encode(pass: GPUComputePassEncoder, first: number, end: number): void {
    let pipeline: GPUComputePipeline | undefined;
    for (const launch of this.prepared.slice(first, end)) {
      if (launch.pipeline !== pipeline) pass.setPipeline((pipeline = launch.pipeline));
      pass.setBindGroup(0, launch.buffers);
      if (launch.parameterOffset !== undefined && this.parameters !== undefined)
        pass.setBindGroup(1, this.parameters, [launch.parameterOffset]);
      pass.dispatchWorkgroups(...launch.workgroups);
    }
  }
}

/**
 * Makes the bind groups of `launches`. Equal parameter lists share one slot of the uniform buffer. `beforeDestroy` is called
 * before the sequence frees anything. Throws F2C514 for a launch that the kernel or the target does not allow.
 */
export function recordSequence(
  device: GPUDevice,
  target: Target,
  library: KernelLibrary,
  launches: readonly BoundLaunch[],
  label: string,
  beforeDestroy: () => void,
): WebgpuSequence {
  const slots = new Map<string, number>();
  const slotValues: Int32Array[] = [];
  const prepared = launches.map((launch): PreparedLaunch => {
    const loaded = library.get(launch.kernel);
    if (loaded === undefined)
      throw new Flux2cError('F2C514', 'internal: the kernel is not loaded', {
        where: [`launch ${launch.label}`, `kernel ${launch.kernel}`],
      });
    checkLaunch(target, loaded.kernel, launch);
    checkBufferAccess(target, loaded.kernel, launch);
    checkParameterCount(loaded.kernel, launch);
    let parameterOffset: number | undefined;
    if (launch.parameters.length > 0) {
      const key = launch.parameters.join();
      let slot = slots.get(key);
      if (slot === undefined) {
        slot = slotValues.push(launch.parameters) - 1;
        slots.set(key, slot);
      }
      parameterOffset = slot * parameterSlotBytes;
    }
    const buffers = device.createBindGroup({
      label: launch.label,
      layout: loaded.bufferLayout,
      entries: launch.bindings.map((binding, index) => ({
        binding: index,
        resource: {
          buffer: asWebgpuBuffer(binding.buffer).gpu,
          offset: binding.byteOffset,
          size: Math.ceil(binding.byteLength / 4) * 4,
        },
      })),
    });
    return { label: launch.label, pipeline: loaded.pipeline, buffers, parameterOffset, workgroups: launch.workgroups };
  });
  if (slotValues.length === 0) return new WebgpuSequence(label, prepared, undefined, undefined, beforeDestroy);

  const parameterBuffer = device.createBuffer({
    label: `${label} parameters`,
    size: slotValues.length * parameterSlotBytes,
    usage: bufferUsage.uniform | bufferUsage.copyTarget,
  });
  const values = new Int32Array((slotValues.length * parameterSlotBytes) / 4);
  slotValues.forEach((slot, index) => values.set(slot, (index * parameterSlotBytes) / 4));
  device.queue.writeBuffer(parameterBuffer, 0, values);
  const parameters = device.createBindGroup({
    label: `${label} parameters`,
    layout: library.parameterLayout,
    entries: [{ binding: 0, resource: { buffer: parameterBuffer, offset: 0, size: parameterSlotBytes } }],
  });
  return new WebgpuSequence(label, prepared, parameterBuffer, parameters, beforeDestroy);
}

/** Throws F2C514 for more parameters than a slot of the uniform buffer holds. */
function checkParameterCount(kernel: ThreadKernel, launch: BoundLaunch): void {
  if (launch.parameters.length * 4 > parameterSlotBytes)
    throw new Flux2cError('F2C514', 'internal: too many parameters', {
      where: [`launch ${launch.label}`, `kernel ${kernel.name}`],
      expected: `at most ${parameterSlotBytes / 4}`,
      found: `${launch.parameters.length}`,
    });
}

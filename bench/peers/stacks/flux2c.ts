/** flux2c itself: the work's graph compiled for the device, on WebGPU, on CUDA or on WebAssembly. */
import { joinFiles } from '../../../frontend/checkpoint/checkpoint.js';
import { Flux2cError } from '../../../ir/diagnostics.js';
import { type Checkpoint, compile, type HostArray, memorySource } from '../../../runtime/index.js';
import { createCpuDevice } from '../../../runtime/cpu/node/cpu-device.js';
import { openCuda } from '../../../runtime/cuda/node/open-cuda.js';
import type { Device } from '../../../runtime/device.js';
import { createWebgpuDevice } from '../../../runtime/webgpu/webgpu-device.js';
import type { PreparedTask, Stack, Task } from '../stack.js';
import { requireAdapter } from './browser-globals.js';

export async function openFlux2cWebgpu(adapter: string): Promise<Stack> {
  return stackOn(await createWebgpuDevice(await requireAdapter(adapter)));
}

/** The first GPU that flux2c has kernels for. */
export async function openFlux2cCuda(): Promise<Stack> {
  const { device, reason } = await openCuda();
  if (device !== undefined) return stackOn(device);
  throw new Flux2cError('F2C515', 'no GPU for CUDA', { found: reason });
}

export function openFlux2cProcessor(threads: number): Stack {
  return stackOn(createCpuDevice({ threads }));
}

/** The stack of a device, which it closes. */
export function stackOn(device: Device): Stack {
  return { prepare: (task) => prepare(device, task), close: () => device.destroy() };
}

/**
 * A session runs once, uploads and host steps included; what is repeated are the launches it queued, as in the steps of
 * a denoising loop.
 */
async function prepare(device: Device, { work, graph, data, numbers }: Task): Promise<PreparedTask> {
  const { module, functionName, result } = graph;
  const queued: (() => void)[] = [];
  const watched = watchLaunches(device, queued);
  const program = compile(module, device, { operands: numbers });
  let pipelineTime = 0;
  const start = performance.now();
  const model = await program.load(watched, {
    weights: checkpointOf(data.weights),
    onProgress: ({ stage }) => {
      if (stage === 'kernels') pipelineTime = performance.now() - start;
    },
  });
  const runSession = async (): Promise<Float32Array> => {
    queued.length = 0;
    const results = await model.run(functionName, data.inputs);
    if (queued.length === 0) throw new Flux2cError('F2C514', `internal: nothing was launched for ${work.kind}`);
    return results.get(result, 'f32').data;
  };
  return {
    pipelineTime,
    run: async (count) => {
      if (queued.length === 0) await runSession();
      for (let at = 0; at < count; at++) for (const again of queued) again();
      await device.finish();
    },
    read: runSession,
    release: () => model.destroy(),
  };
}

/** Arrays as files of one tensor each, which are read as they are; in any other form numbers are converted one by one. */
function checkpointOf(weights: ReadonlyMap<string, HostArray>): Checkpoint {
  const files = [...weights].map(([name, { dtype, shape, data }]) => {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    const entry = { name, fileDType: dtype.toUpperCase(), dtype, shape, offset: 0, byteLength: bytes.byteLength };
    return { source: memorySource(name, bytes), tensors: new Map([[name, entry]]) };
  });
  return joinFiles('weights of the work', files);
}

/** The device as it is, but that `queued` gets what it is told to compute and copy, to be said again. */
function watchLaunches(device: Device, queued: (() => void)[]): Device {
  return new Proxy(device, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      const method = value as (...values: unknown[]) => unknown;
      return (...values: unknown[]) => {
        if (name === 'run' || name === 'copy') queued.push(() => void method.apply(target, values));
        return method.apply(target, values);
      };
    },
  });
}

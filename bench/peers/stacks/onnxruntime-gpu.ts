/** A task in onnxruntime-web on WebGPU: weights, inputs and the result stay on the device. */
import type { PreparedTask, Task } from '../stack.js';
import { buildOnnxWork, type OnnxInput } from './onnx-models.js';
import { type Ort, type OrtTensor, ortTypes, readNumbers } from './ort-api.js';

/** Constants of more bytes lie beside the model: that may have 2 GB, and goes through the memory of WebAssembly as a whole. */
const largestConstant = 2 ** 16;

/**
 * Runs are not captured (`enableGraphCapture`): with a result in a place of its own, which that needs, version 1.30 fails where it
 * makes bind groups.
 */
export async function prepareOnGpu(ort: Ort, task: Task): Promise<PreparedTask> {
  const work = buildOnnxWork(task, largestConstant);
  const session = await ort.InferenceSession.create(work.files.model, {
    externalData: work.files.externalData,
    executionProviders: ['webgpu'],
    preferredOutputLocation: 'gpu-buffer',
    graphOptimizationLevel: 'all',
  });
  const device = await ort.env.webgpu.device;
  const buffers: GPUBuffer[] = [];
  const place = (values: OnnxInput['values'], dims: readonly number[]): OrtTensor => {
    const buffer = upload(device, values);
    buffers.push(buffer);
    return ort.Tensor.fromGpuBuffer(buffer, { dataType: ortTypes[task.numbers], dims });
  };
  const feeds = Object.fromEntries(
    Object.entries(work.inputs).map(([name, { shape, values }]) => [name, place(values, shape)]),
  );

  /** Gives the result of the last of so many runs, which are queued. */
  const queue = async (count: number): Promise<OrtTensor> => {
    let last: OrtTensor | undefined;
    for (let at = 0; at < count; at++) {
      const { y } = await session.run(feeds);
      // A result's memory serves the run after the next: the device keeps to the order of its queue.
      last?.dispose();
      last = y;
    }
    return last!;
  };
  return {
    run: async (count) => {
      const last = await queue(count);
      await device.queue.onSubmittedWorkDone();
      last.dispose();
    },
    read: async () => {
      const last = await queue(1);
      const result = work.arrange(await readNumbers(last));
      last.dispose();
      return result;
    },
    release: async () => {
      await session.release();
      for (const buffer of buffers) buffer.destroy();
    },
  };
}

function upload(device: GPUDevice, values: OnnxInput['values']): GPUBuffer {
  // Buffers are written by words; an odd number of 16-bit ones needs another.
  const bytes = new Uint8Array(Math.ceil(values.byteLength / 4) * 4);
  bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const buffer = device.createBuffer({ size: bytes.byteLength, usage });
  device.queue.writeBuffer(buffer, 0, bytes);
  return buffer;
}

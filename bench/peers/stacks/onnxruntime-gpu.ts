/** A task in onnxruntime-web on WebGPU: weights, inputs and the result stay on the device. */
import { decodeHalves } from '../half-floats.js';
import type { Numbers } from '../numbers.js';
import type { PreparedTask, Task } from '../stack.js';
import { buildOnnxWork, type OnnxInput, type OnnxWork } from './onnx-models.js';
import { type Ort, type OrtTensor, ortTypes, readNumbers } from './ort-api.js';

/** Constants of more bytes lie beside the model: that may have 2 GB, and goes through the memory of WebAssembly as a whole. */
const largestConstant = 2 ** 16;

/**
 * @param capture runs are recorded once and repeated, where onnxruntime does that for the model: without most of the time that its code
 *   takes for each
 */
export async function prepareOnGpu(ort: Ort, task: Task, capture: boolean): Promise<PreparedTask> {
  const work = buildOnnxWork(task, largestConstant);
  if (!capture) return prepareWork(ort, task, work, false);
  try {
    return await prepareWork(ort, task, work, true);
  } catch {
    // It refuses to record models of which a part runs on the processor.
    return prepareWork(ort, task, work, false);
  }
}

async function prepareWork(ort: Ort, { numbers }: Task, work: OnnxWork, capture: boolean): Promise<PreparedTask> {
  const session = await ort.InferenceSession.create(work.files.model, {
    externalData: work.files.externalData,
    executionProviders: ['webgpu'],
    preferredOutputLocation: 'gpu-buffer',
    graphOptimizationLevel: 'all',
    enableGraphCapture: capture,
  });
  const device = await ort.env.webgpu.device;
  const buffers: GPUBuffer[] = [];
  const place = (values: OnnxInput['values'], dims: readonly number[]): OrtTensor => {
    const buffer = upload(device, values);
    buffers.push(buffer);
    return ort.Tensor.fromGpuBuffer(buffer, { dataType: ortTypes[numbers], dims });
  };
  const feeds = Object.fromEntries(
    Object.entries(work.inputs).map(([name, { shape, values }]) => [name, place(values, shape)]),
  );
  // What was recorded writes to the same place every time.
  const length = work.resultShape.reduce((product, size) => product * size, 1);
  const kept = capture
    ? place(numbers === 'f16' ? new Uint16Array(length) : new Float32Array(length), work.resultShape)
    : undefined;

  /** Gives the result of the last of so many runs, which are queued. */
  const queue = async (count: number): Promise<OrtTensor> => {
    let last = kept;
    for (let at = 0; at < count; at++) {
      const { y } = await session.run(feeds, kept && { y: kept });
      // A result's memory serves the run after the next: the device keeps to the order of its queue.
      if (kept === undefined) last?.dispose();
      last = kept ?? y;
    }
    return last!;
  };
  if (capture) await queue(2);
  return {
    run: async (count) => {
      const last = await queue(count);
      await device.queue.onSubmittedWorkDone();
      if (kept === undefined) last.dispose();
    },
    read: async () => {
      const last = await queue(1);
      // A tensor that is read is one of the processor from then on, also for the next run.
      if (kept !== undefined) return work.arrange(await download(device, buffers.at(-1)!, numbers, length));
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

/** The first `length` numbers of a buffer. */
async function download(device: GPUDevice, buffer: GPUBuffer, numbers: Numbers, length: number): Promise<Float32Array> {
  const staging = device.createBuffer({ size: buffer.size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, staging, 0, buffer.size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const bytes = staging.getMappedRange().slice(0);
  staging.destroy();
  return numbers === 'f16' ? decodeHalves(new Uint16Array(bytes, 0, length)) : new Float32Array(bytes, 0, length);
}

/** onnxruntime: its WebGPU and WebAssembly builds, and the native one. */
import { readFileSync } from 'node:fs';
import { decodeHalves } from '../half-floats.js';
import type { Numbers } from '../numbers.js';
import type { PreparedTask, Stack, Task } from '../stack.js';
import { copySharedWrites, provideBrowserGpu } from './browser-globals.js';
import { buildOnnxWork, type OnnxInput } from './onnx-models.js';
import { importPeer, peerFile } from './peer-packages.js';

interface OrtTensor {
  getData(): Promise<unknown>;
  dispose(): void;
}

interface OrtSession {
  run(
    feeds: Readonly<Record<string, OrtTensor>>,
    fetches?: Readonly<Record<string, OrtTensor>>,
  ): Promise<Readonly<Record<string, OrtTensor>>>;
  release(): Promise<void>;
}

type OrtType = 'float32' | 'float16';

const typeOf: Readonly<Record<Numbers, OrtType>> = { f32: 'float32', f16: 'float16' };

/** Constants of more bytes go to the GPU by themselves instead of through the memory of WebAssembly, in a model of 2 GB at most. */
const largestConstant = 2 ** 16;

interface Ort {
  readonly env: {
    readonly wasm: { numThreads?: number; wasmBinary?: Uint8Array };
    readonly webgpu: { readonly device: Promise<GPUDevice> | GPUDevice };
  };
  readonly InferenceSession: { create(model: Uint8Array, options: object): Promise<OrtSession> };
  readonly Tensor: {
    new (type: OrtType, values: OnnxInput['values'], shape: readonly number[]): OrtTensor;
    fromGpuBuffer(buffer: GPUBuffer, options: { dataType: OrtType; dims: readonly number[] }): OrtTensor;
  };
}

/** What of onnxruntime runs the model. */
export interface OrtFlavour {
  readonly kind: 'native' | 'wasm' | 'webgpu';
  readonly threads: number;
  /** Of `webgpu`. */
  readonly adapter?: string;
}

export async function openOnnxruntime(flavour: OrtFlavour): Promise<Stack> {
  const { kind, threads, adapter } = flavour;
  if (kind === 'webgpu') {
    await provideBrowserGpu(adapter ?? '');
    copySharedWrites();
  }
  const packages = { native: 'onnxruntime-node', wasm: 'onnxruntime-web', webgpu: 'onnxruntime-web/webgpu' };
  const imported = await importPeer<Ort & { readonly default?: Ort }>(packages[kind]);
  const ort = imported.InferenceSession === undefined ? imported.default! : imported;
  if (kind !== 'native') ort.env.wasm.numThreads = threads;
  if (kind === 'webgpu') {
    ort.env.wasm.wasmBinary = readFileSync(peerFile('onnxruntime-web/dist/ort-wasm-simd-threaded.asyncify.wasm'));
  }
  return {
    prepare: (task) => (kind === 'webgpu' ? prepareOnGpu(ort, task) : prepareOnProcessor(ort, flavour, task)),
    close: async () => undefined,
  };
}

async function prepareOnProcessor(ort: Ort, { kind, threads }: OrtFlavour, task: Task): Promise<PreparedTask> {
  const { files, inputs, arrange } = buildOnnxWork(task);
  const session = await ort.InferenceSession.create(files.model, {
    executionProviders: [kind === 'native' ? 'cpu' : 'wasm'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
  });
  const feeds: Record<string, OrtTensor> = {};
  for (const [name, { shape, values }] of Object.entries(inputs))
    feeds[name] = new ort.Tensor(typeOf[task.numbers], values, shape);
  return {
    run: async (count) => {
      for (let at = 0; at < count; at++) await session.run(feeds);
    },
    read: async () => arrange(await readNumbers((await session.run(feeds)).y!)),
    release: () => session.release(),
  };
}

async function prepareOnGpu(ort: Ort, task: Task): Promise<PreparedTask> {
  const { files, inputs, arrange } = buildOnnxWork(task, largestConstant);
  const session = await ort.InferenceSession.create(files.model, {
    externalData: files.externalData,
    executionProviders: ['webgpu'],
    preferredOutputLocation: 'gpu-buffer',
    graphOptimizationLevel: 'all',
  });
  const device = await ort.env.webgpu.device;
  const buffers: GPUBuffer[] = [];
  const feeds: Record<string, OrtTensor> = {};
  for (const [name, { shape, values }] of Object.entries(inputs)) {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    // Buffers are written by words; an odd number of 16-bit ones needs another.
    const size = Math.ceil(values.byteLength / 4) * 4;
    const bytes = new Uint8Array(size);
    bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    const buffer = device.createBuffer({ size, usage });
    device.queue.writeBuffer(buffer, 0, bytes);
    buffers.push(buffer);
    feeds[name] = ort.Tensor.fromGpuBuffer(buffer, { dataType: typeOf[task.numbers], dims: shape });
  }
  return {
    run: async (count) => {
      // The memory of a result serves the run after the next: the device keeps to the order of its queue.
      let last: OrtTensor | undefined;
      for (let at = 0; at < count; at++) {
        const { y } = await session.run(feeds);
        last?.dispose();
        last = y;
      }
      await device.queue.onSubmittedWorkDone();
      last?.dispose();
    },
    read: async () => {
      const { y } = await session.run(feeds);
      const result = arrange(await readNumbers(y!));
      y!.dispose();
      return result;
    },
    release: async () => {
      await session.release();
      for (const buffer of buffers) buffer.destroy();
    },
  };
}

/** A copy: the tensor's memory is used again. */
async function readNumbers(tensor: OrtTensor): Promise<Float32Array> {
  const data = (await tensor.getData()) as Float32Array | Uint16Array;
  if (data instanceof Float32Array) return data.slice();
  // Where JavaScript has arrays of f16 it is one of those.
  return decodeHalves(new Uint16Array(data.buffer, data.byteOffset, data.length));
}

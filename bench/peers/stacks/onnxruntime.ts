/** onnxruntime: its WebGPU and WebAssembly builds, and the native one. */
import { readFileSync } from 'node:fs';
import type { PreparedTask, Stack, Task } from '../stack.js';
import { copySharedWrites, provideBrowserGpu } from './browser-globals.js';
import { buildOnnxWork } from './onnx-models.js';
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

interface Ort {
  readonly env: {
    readonly wasm: { numThreads?: number; wasmBinary?: Uint8Array };
    readonly webgpu: { readonly device: Promise<GPUDevice> | GPUDevice };
  };
  readonly InferenceSession: { create(model: Uint8Array, options: object): Promise<OrtSession> };
  readonly Tensor: {
    new (type: 'float32', values: Float32Array, shape: readonly number[]): OrtTensor;
    fromGpuBuffer(buffer: GPUBuffer, options: { dataType: 'float32'; dims: readonly number[] }): OrtTensor;
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
  const { model, inputs, arrange } = buildOnnxWork(task.work, task.data, task.fused);
  const session = await ort.InferenceSession.create(model, {
    executionProviders: [kind === 'native' ? 'cpu' : 'wasm'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
  });
  const feeds: Record<string, OrtTensor> = {};
  for (const [name, { shape, values }] of Object.entries(inputs))
    feeds[name] = new ort.Tensor('float32', values, shape);
  return {
    run: async () => void (await session.run(feeds)),
    read: async () => arrange((await (await session.run(feeds)).y!.getData()) as Float32Array),
    release: () => session.release(),
  };
}

async function prepareOnGpu(ort: Ort, task: Task): Promise<PreparedTask> {
  const { model, inputs, arrange } = buildOnnxWork(task.work, task.data, task.fused);
  const session = await ort.InferenceSession.create(model, {
    executionProviders: ['webgpu'],
    preferredOutputLocation: 'gpu-buffer',
    graphOptimizationLevel: 'all',
  });
  const device = await ort.env.webgpu.device;
  const buffers: GPUBuffer[] = [];
  const feeds: Record<string, OrtTensor> = {};
  for (const [name, { shape, values }] of Object.entries(inputs)) {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const buffer = device.createBuffer({ size: values.byteLength, usage });
    device.queue.writeBuffer(buffer, 0, values as Float32Array<ArrayBuffer>);
    buffers.push(buffer);
    feeds[name] = ort.Tensor.fromGpuBuffer(buffer, { dataType: 'float32', dims: shape });
  }
  return {
    run: async () => {
      const { y } = await session.run(feeds);
      await device.queue.onSubmittedWorkDone();
      y!.dispose();
    },
    read: async () => {
      const { y } = await session.run(feeds);
      const result = arrange(Float32Array.from((await y!.getData()) as Float32Array));
      y!.dispose();
      return result;
    },
    release: async () => {
      await session.release();
      for (const buffer of buffers) buffer.destroy();
    },
  };
}

/** onnxruntime: its WebGPU and WebAssembly builds, and the native one. */
import { readFileSync } from 'node:fs';
import type { PreparedTask, Stack, Task } from '../stack.js';
import { copySharedWrites, provideBrowserGpu } from './browser-globals.js';
import { buildOnnxWork } from './onnx-models.js';
import { prepareOnGpu } from './onnxruntime-gpu.js';
import { type Ort, type OrtTensor, ortTypes, readNumbers } from './ort-api.js';
import { importPeer, peerFile } from './peer-packages.js';

/** What of onnxruntime runs the model. */
export interface OrtFlavour {
  readonly kind: 'native' | 'wasm' | 'webgpu';
  readonly threads: number;
  /** Of `webgpu`. */
  readonly adapter?: string;
}

export async function openOnnxruntime(flavour: OrtFlavour): Promise<Stack> {
  if (flavour.kind === 'webgpu') return openOnGpu(flavour.adapter ?? '');
  const { kind, threads } = flavour;
  const ort = await importOrt({ native: 'onnxruntime-node', wasm: 'onnxruntime-web' }[kind]);
  if (kind === 'wasm') ort.env.wasm.numThreads = threads;
  return { prepare: (task) => prepareOnProcessor(ort, flavour, task), close: async () => undefined };
}

async function openOnGpu(choice: string): Promise<Stack> {
  await provideBrowserGpu(choice);
  copySharedWrites();
  const ort = await importOrt('onnxruntime-web/webgpu');
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = readFileSync(peerFile('onnxruntime-web/dist/ort-wasm-simd-threaded.asyncify.wasm'));
  return { prepare: (task) => prepareOnGpu(ort, task), close: async () => undefined };
}

async function importOrt(name: string): Promise<Ort> {
  const imported = await importPeer<Ort & { readonly default?: Ort }>(name);
  return imported.InferenceSession === undefined ? imported.default! : imported;
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
  for (const [name, { shape, values }] of Object.entries(inputs)) {
    feeds[name] = new ort.Tensor(ortTypes[task.numbers], values, shape);
  }
  return {
    run: async (count) => {
      for (let at = 0; at < count; at++) await session.run(feeds);
    },
    read: async () => arrange(await readNumbers((await session.run(feeds)).y!)),
    release: () => session.release(),
  };
}

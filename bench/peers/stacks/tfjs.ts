/** TensorFlow.js on WebGPU: single kernels only. */
import { permute } from '../permute.js';
import type { PreparedTask, Stack, Task } from '../stack.js';
import { provideBrowserGpu } from './browser-globals.js';
import { importPeer } from './peer-packages.js';

interface TfTensor {
  data(): Promise<Float32Array>;
  dispose(): void;
}

interface TfBackend {
  readonly queue: GPUQueue;
  endComputePassEncoder(): void;
  submitQueue(): void;
}

interface Tf {
  registerBackend(name: string, factory: () => TfBackend): boolean;
  removeBackend(name: string): void;
  setBackend(name: string): Promise<boolean>;
  tensor(values: Float32Array, shape: readonly number[]): TfTensor;
  matMul(a: TfTensor, b: TfTensor, transposeA?: boolean, transposeB?: boolean): TfTensor;
  mul(a: TfTensor, b: number): TfTensor;
  softmax(x: TfTensor, axis: number): TfTensor;
  conv2d(x: TfTensor, filter: TfTensor, strides: number, padding: 'same'): TfTensor;
  tidy<T>(work: () => T): T;
}

interface TfWebgpu {
  readonly WebGPUBackend: new (device: GPUDevice, info: GPUAdapterInfo) => TfBackend;
}

export async function openTfjs(adapterChoice: string): Promise<Stack> {
  const adapter = await provideBrowserGpu(adapterChoice);
  const tf = await importPeer<Tf>('@tensorflow/tfjs-core');
  const { WebGPUBackend } = await importPeer<TfWebgpu>('@tensorflow/tfjs-backend-webgpu');
  const names = [
    'maxBufferSize',
    'maxComputeInvocationsPerWorkgroup',
    'maxComputeWorkgroupSizeX',
    'maxComputeWorkgroupStorageSize',
    'maxComputeWorkgroupsPerDimension',
    'maxStorageBufferBindingSize',
  ] as const;
  const requiredLimits = Object.fromEntries(names.map((name) => [name, adapter.limits[name]]));
  const device = await adapter.requestDevice({ requiredLimits });
  const backend = new WebGPUBackend(device, adapter.info);
  // The package's own factory asks for an adapter in ways that only browsers know.
  tf.removeBackend('webgpu');
  tf.registerBackend('webgpu', () => backend);
  await tf.setBackend('webgpu');
  return { prepare: (task) => prepare(tf, backend, task), close: async () => undefined };
}

async function prepare(tf: Tf, backend: TfBackend, task: Task): Promise<PreparedTask> {
  const { tensors, program } = buildTfWork(tf, task);
  return {
    run: async (count) => {
      const results = Array.from({ length: count }, () => {
        const result = tf.tidy(program);
        // It waits for more to submit together.
        backend.endComputePassEncoder();
        backend.submitQueue();
        return result;
      });
      await backend.queue.onSubmittedWorkDone();
      for (const result of results) result.dispose();
    },
    read: async () => {
      const result = tf.tidy(program);
      const values = await result.data();
      result.dispose();
      return values;
    },
    release: async () => {
      for (const tensor of tensors) tensor.dispose();
    },
  };
}

/** Weights [k, n] of products and [height, width, inputs, outputs] of convolutions; pictures have channels last. */
function buildTfWork(tf: Tf, { work, data }: Task): { readonly tensors: TfTensor[]; readonly program: () => TfTensor } {
  const input = (name: string): Float32Array => data.inputs[name]?.data as Float32Array;
  const weight = (data.weights.get('weight')?.data ?? new Float32Array(0)) as Float32Array;
  switch (work.kind) {
    case 'product': {
      const { m, k, n } = work;
      const x = tf.tensor(input('x'), [m, k]);
      const w = tf.tensor(permute(weight, [n, k], [1, 0]), [k, n]);
      return { tensors: [x, w], program: () => tf.matMul(x, w) };
    }
    case 'attention': {
      const { heads, tokens, headDim } = work;
      const place = (name: string): TfTensor => tf.tensor(input(name), [heads, tokens, headDim]);
      const [q, k, v] = [place('q'), place('k'), place('v')];
      const program = (): TfTensor => {
        const scores = tf.matMul(tf.mul(q, 1 / Math.sqrt(headDim)), k, false, true);
        return tf.matMul(tf.softmax(scores, -1), v);
      };
      return { tensors: [q, k, v], program };
    }
    case 'convolution': {
      const { inputs, outputs, side } = work;
      const x = tf.tensor(input('x'), [1, side, side, inputs]);
      const w = tf.tensor(permute(weight, [outputs, 3, 3, inputs], [1, 2, 3, 0]), [3, 3, inputs, outputs]);
      return { tensors: [x, w], program: () => tf.conv2d(x, w, 1, 'same') };
    }
    case 'transformer':
      throw new Error('internal: TensorFlow.js runs single kernels only');
  }
}

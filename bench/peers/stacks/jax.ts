/** jax-js on WebGPU or on WebAssembly. */
import { permute } from '../permute.js';
import { makeTransformerTables } from '../work-data.js';
import { configOf } from '../work-graph.js';
import { decodeHalves } from '../half-floats.js';
import type { PreparedTask, Stack, Task } from '../stack.js';
import { provideBrowserGpu, provideNavigator } from './browser-globals.js';
import { provideBrowserWorkers } from './browser-workers.js';
import type { Jax, JaxArray, JaxDevice, JaxTensors } from './jax-api.js';
import { JaxTransformer } from './jax-transformer.js';
import { importPeer } from './peer-packages.js';

export interface JaxFlavour {
  readonly device: JaxDevice;
  /** Of `wasm`. */
  readonly threads: number;
  /** Of `webgpu`. */
  readonly adapter?: string;
}

export async function openJax({ device, threads, adapter }: JaxFlavour): Promise<Stack> {
  if (device === 'webgpu') await provideBrowserGpu(adapter ?? '');
  else provideNavigator({ hardwareConcurrency: threads });
  // Without workers jax-js computes on the thread that calls it.
  if (device === 'wasm' && threads > 1) provideBrowserWorkers();
  provideIteratorHelpers();
  const jax = await importPeer<Jax>('@jax-js/jax');
  const started = await jax.init(device);
  if (!started.includes(device)) throw new Error(`jax-js has no ${device} here`);
  jax.defaultDevice(device);
  return { prepare: (task) => prepare(jax, device, task), close: async () => undefined };
}

/** jax-js uses iterators as if they were arrays, which Node.js has from version 22 on. */
function provideIteratorHelpers(): void {
  const prototype = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]())) as object;
  for (const name of ['map', 'filter', 'reduce', 'some', 'every', 'find', 'forEach'] as const) {
    if (name in prototype) continue;
    const value = function (this: Iterable<unknown>, ...given: unknown[]): unknown {
      const method = Array.prototype[name] as (...values: unknown[]) => unknown;
      return method.apply([...this], given);
    };
    Object.defineProperty(prototype, name, { value, configurable: true, writable: true });
  }
}

interface JaxWork {
  readonly tensors: JaxTensors;
  readonly program: (tensors: JaxTensors) => JaxArray;
  /** From the program's layout of the result to that of the work's graph. */
  readonly arrange: (result: Float32Array) => Float32Array;
}

async function prepare(jax: Jax, device: JaxDevice, task: Task): Promise<PreparedTask> {
  const { tensors, program, arrange } = buildJaxWork(jax, task);
  const compiled = jax.jit((given) => {
    const result = program(given);
    // The program used them by `ref`; a function owns what it is given.
    for (const tensor of Object.values(given)) tensor.dispose();
    return result;
  });
  const start = (): JaxArray =>
    compiled(Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, tensor.ref])));
  await Promise.all(Object.values(tensors).map((tensor) => tensor.blockUntilReady()));
  return {
    run: async (count) => {
      const results = Array.from({ length: count }, start);
      await Promise.all(results.map((result) => result.blockUntilReady()));
      if (device === 'webgpu') await jax.getWebGPUDevice().queue.onSubmittedWorkDone();
      for (const result of results) result.dispose();
    },
    read: async () => arrange(new Float32Array(await start().astype('float32').data())),
    release: async () => {
      for (const tensor of Object.values(tensors)) tensor.dispose();
    },
  };
}

/** Products with weights [k, n], tokens before heads, channels before pixels. */
function buildJaxWork(jax: Jax, { work, data, numbers }: Task): JaxWork {
  /** It takes f16 only as an array that Node.js 20 does not have: the device converts. */
  const array = (given: Float32Array | Uint16Array, shape: readonly number[]): JaxArray => {
    const values = jax.numpy.array(given instanceof Uint16Array ? decodeHalves(given) : given, { shape });
    return numbers === 'f16' ? values.astype('float16') : values;
  };
  const input = (name: string): Float32Array => data.inputs[name]?.data as Float32Array;
  const weight = (data.weights.get('weight')?.data ?? new Float32Array(0)) as Float32Array | Uint16Array;
  switch (work.kind) {
    case 'product': {
      const { m, k, n } = work;
      return {
        tensors: { x: array(input('x'), [m, k]), w: array(permute(weight, [n, k], [1, 0]), [k, n]) },
        program: ({ x, w }) => jax.numpy.matmul(x!.ref, w!.ref),
        arrange: (result) => result,
      };
    }
    case 'attention': {
      const { heads, tokens, headDim } = work;
      const place = (name: string): JaxArray =>
        array(permute(input(name), [heads, tokens, headDim], [1, 0, 2]), [tokens, heads, headDim]);
      return {
        tensors: { q: place('q'), k: place('k'), v: place('v') },
        program: ({ q, k, v }) => jax.nn.dotProductAttention(q!.ref, k!.ref, v!.ref),
        arrange: (result) => permute(result, [tokens, heads, headDim], [1, 0, 2]),
      };
    }
    case 'convolution': {
      const { inputs, outputs, side } = work;
      return {
        tensors: {
          x: array(permute(input('x'), [side, side, inputs], [2, 0, 1]), [1, inputs, side, side]),
          w: array(permute(weight, [outputs, 3, 3, inputs], [0, 3, 1, 2]), [outputs, inputs, 3, 3]),
        },
        program: ({ x, w }) => jax.lax.conv(x!.ref, w!.ref, [1, 1], 'SAME'),
        arrange: (result) => permute(result, [outputs, side, side], [1, 2, 0]),
      };
    }
    case 'transformer': {
      const config = configOf(work);
      const tables = makeTransformerTables(work);
      const tokens = work.textTokens + work.imageTokens;
      const tensors: Record<string, JaxArray> = {
        latents: array(input('hidden_states'), [work.imageTokens, config.inChannels]),
        prompt: array(input('encoder_hidden_states'), [work.textTokens, config.textWidth]),
        wave: array(tables.wave, [1, config.timestepChannels]),
        cos: array(tables.cos, [tokens, 1, config.headDim / 2]),
        sin: array(tables.sin, [tokens, 1, config.headDim / 2]),
      };
      for (const [name, { shape, data: given }] of data.weights) {
        const values = given as Float32Array | Uint16Array;
        const [rows = 0, columns] = shape;
        tensors[name] =
          columns === undefined
            ? array(values, [rows])
            : array(permute(values, [rows, columns], [1, 0]), [columns, rows]);
      }
      return {
        tensors,
        program: (given) => new JaxTransformer(jax, work, config, given).build(),
        arrange: (result) => result,
      };
    }
  }
}

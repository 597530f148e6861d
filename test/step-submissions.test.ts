/** What the steps of a loop cost in submissions and readbacks, on the real queue of a software driver. */
import { expect, it } from 'vitest';
import { kernelPrinter } from '../backends/print-kernel.js';
import { add, graph, mul, slice } from '../frontend/index.js';
import { compileModule } from '../passes/compile.js';
import { Session, type RunOptions } from '../runtime/session.js';
import { createWebgpuDevice } from '../runtime/webgpu/webgpu-device.js';
import { openDawn } from '../runtime/webgpu/node/dawn.js';
import { memoryWeights } from '../runtime/weight-provider.js';

const steps = 5;
const outcome = await openDawn({ adapter: 'lavapipe' });

/** An adapter whose device counts command buffers, submissions and mapped buffers. */
function countingAdapter(adapter: GPUAdapter, counts: Counts): GPUAdapter {
  return new Proxy(adapter, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target);
      if (key !== 'requestDevice') return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      return async (descriptor: GPUDeviceDescriptor): Promise<GPUDevice> => {
        const gpu = await target.requestDevice(descriptor);
        const submit = gpu.queue.submit.bind(gpu.queue);
        gpu.queue.submit = (buffers) => {
          const list = [...buffers];
          counts.submissions++;
          counts.commandBuffers += list.length;
          return submit(list);
        };
        const createBuffer = gpu.createBuffer.bind(gpu);
        gpu.createBuffer = (buffer) => {
          if (buffer.label === 'staging') counts.readbacks++;
          return createBuffer(buffer);
        };
        return gpu;
      };
    },
  });
}

interface Counts {
  submissions: number;
  commandBuffers: number;
  readbacks: number;
}

/** Two carried tensors that change places in every step: copies stand between the launches. */
function swapping(): Parameters<typeof compileModule>[0] {
  const g = graph('swap');
  const a = g.input('a', 'f32', [48]);
  const b = g.input('b', 'f32', [48]);
  const factors = g.input('factors', 'f32', ['steps']);
  const [left, right] = g.loop({ count: 'steps', symbol: 'i' }, [a, b], ([x, y]) => [
    mul(y, slice(factors, 0, 'i', 1)),
    add(x, y),
  ]);
  g.output({ left, right });
  return g.build();
}

async function countRun(adapter: GPUAdapter, options: RunOptions): Promise<Counts & { readonly left: number[] }> {
  const counts = { submissions: 0, commandBuffers: 0, readbacks: 0 };
  const device = await createWebgpuDevice(countingAdapter(adapter, counts));
  const { plans, kernels } = compileModule(swapping(), device.target, { print: kernelPrinter(device.target) });
  const session = await Session.create({
    plan: plans.get('swap')!,
    kernels,
    device,
    weights: memoryWeights(new Map()),
  });
  const floats = (length: number, value: (at: number) => number) =>
    ({ dtype: 'f32', shape: [length], data: Float32Array.from({ length }, (_, at) => value(at)) }) as const;
  Object.assign(counts, { submissions: 0, commandBuffers: 0, readbacks: 0 });
  const inputs = new Map([
    ['a', floats(48, (at) => at)],
    ['b', floats(48, (at) => 1 - at)],
    ['factors', floats(steps, (at) => at + 1)],
  ]);
  const results = await session.run(inputs, options);
  await session.destroy();
  await device.destroy();
  return { ...counts, left: [...(results.get('left')!.data as Float32Array)] };
}

it.runIf(outcome.adapter !== undefined)('a step is one submission, and only results are read back', async () => {
  const fresh = async (): Promise<GPUAdapter> => (await openDawn({ adapter: 'lavapipe' })).adapter!;
  const done: number[] = [];
  const counts = await countRun(await fresh(), { onStepDone: ({ index }) => void done.push(index) });
  expect(done).toEqual([0, 1, 2, 3, 4]);
  // What comes before the loop goes with the first step, what follows it with the first of the two results' readbacks.
  expect(counts.submissions).toBe(steps + 2);
  expect(counts.commandBuffers).toBe(steps + 2);
  expect(counts.readbacks).toBe(2);

  const seen: number[] = [];
  const watched = await countRun(await fresh(), {
    onStep: async ({ read, carried }) => void seen.push((await read(carried[0]!))[1]!),
  });
  expect(watched.readbacks).toBe(steps + 2);
  expect(watched.left).toEqual(counts.left);
  let [x, y] = [1, 0];
  const expected = Array.from({ length: steps }, (_, step) => ([x, y] = [y * (step + 1), x + y])[0]);
  expect(seen).toEqual(expected);
});

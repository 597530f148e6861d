import { afterAll, describe, expect, it } from 'vitest';
import { encodeSafetensors } from '../frontend/checkpoint/index.js';
import type { WeightDeclaration } from '../ir/graph/graph.js';
import { materializeWeight } from '../ir/graph/weights.js';
import { createModule, graph, interpretFunction, linear, mul, silu } from '../frontend/index.js';
import { portableWebgpu } from '../backends/target.js';
import { createCpuDevice } from './cpu/node/cpu-device.js';
import { compile, type HostArray, memorySource, readCheckpoint, tensor } from './index.js';
import { toHostTensor } from './host-array.js';

const device = createCpuDevice({ threads: 1 });
afterAll(() => device.destroy());

const g = graph('mlp');
const x = g.input('x', 'f32', ['tokens', 8]);
g.output({ y: linear(silu(linear(x, g.weight('up', 'bf16', [12, 8]))), g.weight('mlp.down', 'f32', [8, 12])) });
const module = g.build();

const wave = (count: number, step: number): number[] => Array.from({ length: count }, (_, i) => Math.sin(i * step));
// Exact in bf16, so that every way to give the weights gives the same numbers.
const eighths = (count: number): number[] => wave(count, 1.7).map((value) => Math.round(value * 8) / 8);
const weights = { up: tensor('f32', [12, 8], eighths(96)), 'mlp.down': tensor('f32', [8, 12], wave(96, 0.3)) };
const input = { x: tensor('f32', [3, 8], wave(24, 0.9)) };

async function interpret(inputs: Readonly<Record<string, HostArray>>): Promise<number[]> {
  const tensors = new Map(Object.entries(inputs).map(([name, array]) => [name, toHostTensor(array)]));
  const read = (name: string) => {
    const declaration = module.weights.get(name) as WeightDeclaration;
    return materializeWeight(declaration, () => toHostTensor(weights[name as keyof typeof weights]));
  };
  const results = interpretFunction(module, 'mlp', tensors, read, { precision: 'f64' });
  return [...(results.get('y')?.data ?? [])];
}

function expectClose(found: ArrayLike<number>, wanted: readonly number[]): void {
  expect(found).toHaveLength(wanted.length);
  wanted.forEach((value, index) => expect(found[index]).toBeCloseTo(value, 4));
}

describe('programs', () => {
  it('run with weights given as arrays, at sizes that vary', async () => {
    const model = await compile(module, device).load(device, { weights });
    const results = await model.run('mlp', input);
    expect(results.names).toEqual(['y']);
    expect(results.get('y').shape).toEqual([3, 8]);
    expectClose(results.get('y', 'f32').data, await interpret(input));
    const one = { x: tensor('f32', [1, 8], wave(8, 0.4)) };
    expectClose((await model.run('mlp', one)).get('y', 'f32').data, await interpret(one));
    expect(model.inputs('mlp').map(({ name, dtype, shape }) => `${name} ${dtype} ${shape.join()}`)).toEqual([
      'x f32 tokens,8',
    ]);
    await model.destroy();
  });

  it('run within a budget that does not hold their weights', async () => {
    const large = graph('large');
    let y = large.input('x', 'f32', ['tokens', 64]);
    for (let layer = 0; layer < 8; layer++) y = linear(y, large.weight(`w${layer}`, 'f32', [64, 64]));
    large.output({ y });
    const layers = Array.from({ length: 8 }, (_, layer) => [`w${layer}`, tensor('f32', [64, 64], wave(4096, 0.1 + layer))] as const); // prettier-ignore
    const given = { weights: Object.fromEntries(layers) };
    const program = compile(large.build(), device);
    const xs = { x: tensor('f32', [5, 64], wave(320, 0.7)) };
    const whole = await program.load(device, given);
    const wanted = (await whole.run('large', xs)).get('y', 'f32').data;
    await whole.destroy();
    const before = device.usage.bytes;
    const model = await program.load(device, { ...given, memory: { deviceBytes: 50_000 } });
    expect((await model.run('large', xs)).get('y', 'f32').data).toEqual(wanted);
    const { weightBytes, ringBytes, arenaBytes, boundaryBytes } = model.memory('large');
    expect(device.usage.bytes - before).toBe(weightBytes + ringBytes + arenaBytes + boundaryBytes);
    expect(device.usage.bytes - before).toBeLessThanOrEqual(50_000);
    expect(ringBytes).toBeGreaterThan(0);
    await model.destroy();
    const small = await program.load(device, { ...given, memory: { deviceBytes: 1000 } });
    await expect(small.run('large', xs)).rejects.toThrow('cannot run in so little memory');
    await small.destroy();
  });

  it('run with weights of a checkpoint and from bits of 16-bit floats', async () => {
    const bytes = encodeSafetensors(
      new Map(
        Object.entries(weights).map(([name, { dtype, shape, data }]) => {
          return [name, { dtype, shape, data: new Uint8Array(data.buffer) }] as const;
        }),
      ),
    );
    const checkpoint = await readCheckpoint(memorySource('mlp.safetensors', bytes));
    const bits = Uint16Array.from(new Uint32Array(weights.up.data.buffer), (word) => word >>> 16);
    const program = compile(module, device);
    for (const given of [checkpoint, { ...weights, up: tensor('bf16', [12, 8], bits) }]) {
      const model = await program.load(device, { weights: given });
      expectClose((await model.run('mlp', input)).get('y', 'f32').data, await interpret(input));
      await model.destroy();
    }
  });

  it('keep weights that functions share once', async () => {
    const shared = createModule();
    for (const name of ['once', 'twice']) {
      const fn = shared.function(name);
      const product = linear(fn.input('x', 'f32', ['rows', 8]), fn.weight('w', 'f32', [8, 8]));
      fn.output({ y: name === 'once' ? product : mul(product, 2) });
    }
    const before = device.usage.bytes;
    const model = await compile(shared.build(), device).load(device, {
      weights: { w: tensor('f32', [8, 8], wave(64, 1)) },
    });
    expect(device.usage.bytes - before).toBe(8 * 8 * 4);
    const x = { x: tensor('f32', [2, 8], wave(16, 1)) };
    const once = (await model.run('once', x)).get('y', 'f32').data;
    expectClose(
      (await model.run('twice', x)).get('y', 'f32').data,
      [...once].map((value) => 2 * value),
    );
    await model.destroy();
    expect(device.usage.bytes).toBe(before);
  });

  it('can be looked at without a device', () => {
    const program = compile(module, { target: portableWebgpu });
    const launches = program.launches('mlp');
    expect(launches).toHaveLength(2);
    expect(program.kernels.get(launches[0]?.kernel ?? '')?.source).toContain('@compute');
    expect(launches[0]?.flop.text).toContain('tokens');
  });
});

describe('mistakes', () => {
  const program = compile(module, device);

  it('names weights that are missing, left over or misshapen', async () => {
    const given = { up: tensor('f32', [8, 12], wave(96, 1)), 'mlp.dwon': weights['mlp.down'] };
    const message = expect.objectContaining({ code: 'F2C431' });
    await expect(program.load(device, { weights: given })).rejects.toEqual(message);
    await expect(program.load(device, { weights: given })).rejects.toMatchObject({
      detail: {
        found: expect.stringMatching(
          /mlp.down \(the file has mlp.dwon\)[^]*left over[^]*up is \[8, 12\] instead of \[12, 8\]/,
        ),
      },
    });
    await expect(program.load(device)).rejects.toEqual(message);
    await expect(program.load(device, { weights: { ...weights, more: weights.up } })).rejects.toEqual(message);
    const model = await program.load(device, { weights: { ...weights, more: weights.up }, allowLeftOver: true });
    await model.destroy();
  });

  it('names functions, inputs and results that are not there', async () => {
    const model = await program.load(device, { weights });
    const failures: [() => Promise<unknown>, string][] = [
      [() => model.run('mpl', input), 'F2C529'],
      [() => model.run('mlp', {}), 'F2C520'],
      [() => model.run('mlp', { x: tensor('f32', [3, 7], wave(21, 1)) }), 'F2C162'],
      [() => model.run('mlp', { x: tensor('i32', [3, 8], new Int32Array(24)) }), 'F2C521'],
      [async () => (await model.run('mlp', input)).get('z'), 'F2C529'],
      [async () => (await model.run('mlp', input)).get('y', 'i32'), 'F2C528'],
    ];
    for (const [attempt, code] of failures) await expect(attempt()).rejects.toMatchObject({ code });
    await model.destroy();
    await expect(model.run('mlp', input)).rejects.toMatchObject({ code: 'F2C526' });
  });

  it('refuses a device of another kind', async () => {
    const foreign = compile(module, { target: portableWebgpu });
    await expect(foreign.load(device, { weights })).rejects.toMatchObject({
      code: 'F2C536',
      detail: {
        expected: expect.stringContaining('backend "webgpu"'),
        found: expect.stringContaining('backend "cpu"'),
      },
    });
  });

  it('refuses numbers that do not fit', () => {
    expect(() => tensor('f32', [2, 2], [1, 2, 3])).toThrow(expect.objectContaining({ code: 'F2C528' }));
    expect(() => tensor('f32', [-1], [])).toThrow(expect.objectContaining({ code: 'F2C528' }));
    // @ts-expect-error f32 has no integers
    expect(() => tensor('f32', [1], new Int32Array(1))).toThrow(expect.objectContaining({ code: 'F2C528' }));
    // @ts-expect-error i64 has bigints
    expect(() => tensor('i64', [1], [1])).toThrow(expect.objectContaining({ code: 'F2C528' }));
    expect(tensor('i64', [1], [1n]).data).toEqual(BigInt64Array.of(1n));
    expect(tensor('bool', [2], [1, 0]).data).toEqual(Uint8Array.of(1, 0));
  });
});

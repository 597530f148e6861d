import { describe, expect, it } from 'vitest';
import { binding, copy, launch, loop, plan, roomyTarget, storage, value } from '../test/plan-samples.js';
import { smallKernels } from '../test/small-kernels.js';
import { Dim } from '../ir/dim.js';
import type { WeightDeclaration } from '../ir/graph/graph.js';
import type { HostTensor } from '../ir/host-tensor.js';
import type { HostStep, Plan, PlanStep } from '../ir/plan.js';
import type { Target } from '../backends/target.js';
import type { HostArray } from './host-array.js';
import { InterpreterDevice } from './interpreter-device.js';
import { NullDevice } from './null-device.js';
import { Session } from './session.js';
import type { StepInfo } from './session.js';
import { memoryWeights } from './weight-provider.js';
import type { ByteRange, WeightProvider } from './weight-provider.js';
import { WeightStore } from './weight-store.js';

function floats(...values: readonly number[]): HostArray {
  return { dtype: 'f32', shape: [values.length], data: Float32Array.from(values) };
}

function ramp(length: number, start = 0): number[] {
  return Array.from({ length }, (_, index) => start + index);
}

function declare(name: string, shape: readonly number[], dtype: 'f32' | 'bf16' = 'f32'): WeightDeclaration {
  return { name, type: { dtype, shape: shape.map((size) => Dim.of(size)) }, source: { kind: 'tensor', tensor: name } };
}

function tensor(shape: readonly number[], data: readonly number[], dtype: 'f32' | 'bf16' = 'f32'): HostTensor {
  return { dtype, shape, data: Float64Array.from(data) };
}

function product(label: string, a: number, b: number, to: number, size: string | number): PlanStep {
  const bindings = [binding(a, 'read', size), binding(b, 'read', size), binding(to, 'write', size)];
  return launch(label, 'product', bindings, [[size, 16]], { n: size });
}

function addStep(from: number, to: number, size: string | number, step: string | number): PlanStep {
  const bindings = [binding(from, 'read', size), binding(to, 'write', size)];
  return launch('add step', 'add_step', bindings, [[size, 16]], { n: size, step });
}

/** y = (x + 0 + 1 + ... + (steps - 1)) * w. */
const looped: Plan = plan(
  [
    storage(0, 'input', 'n'),
    storage(1, 'temporary', 'n'),
    storage(2, 'temporary', 'n'),
    storage(3, 'weight', 40, 'f32', 'w'),
    storage(4, 'result', 'n'),
  ],
  [
    copy(0, 1, 'n'),
    loop('i', 3, [addStep(1, 2, 'n', 'i'), copy(2, 1, 'n')], [value('x', 1, ['n'])]),
    product('y', 1, 3, 4, 'n'),
  ],
  { name: 'looped', inputs: [value('x', 0, ['n'])], results: [value('y', 4, ['n'])], weights: [declare('w', [40])] },
);
const weights = memoryWeights(new Map([['w', tensor([40], ramp(40))]]));

async function open(some: Plan = looped, target: Target = roomyTarget, provider: WeightProvider = weights) {
  const device = new InterpreterDevice(target);
  const session = await Session.create({ plan: some, kernels: smallKernels, device, weights: provider });
  return { device, session };
}

describe('Session', () => {
  it('runs a function with a loop and a weight, for the sizes of its inputs', async () => {
    const { session } = await open();
    for (const size of [5, 40, 1, 17]) {
      const results = await session.run(new Map([['x', floats(...ramp(size, 10))]]));
      const expected = floats(...ramp(size).map((index) => (10 + index + 3) * index));
      expect(results.get('y')).toEqual(expected);
    }
  });

  it('tells of every iteration, with what it carries', async () => {
    const { session } = await open();
    const seen: { readonly info: StepInfo; readonly x: readonly number[] }[] = [];
    const onStep = async (info: StepInfo): Promise<void> => {
      seen.push({ info, x: [...(await info.read('x'))] });
      await expect(info.read('y')).rejects.toMatchObject({ code: 'F2C527' });
    };
    await session.run(new Map([['x', floats(1, 2)]]), { onStep });
    expect(seen.map(({ x }) => x)).toEqual([
      [1, 2],
      [2, 3],
      [4, 5],
    ]);
    expect(seen.map(({ info: { symbol, index, count } }) => [symbol, index, count])).toEqual([
      ['i', 0, 3],
      ['i', 1, 3],
      ['i', 2, 3],
    ]);
  });

  it('ends a cancelled run between iterations, and runs again', async () => {
    const { session } = await open();
    const controller = new AbortController();
    let steps = 0;
    const onStep = (): void => {
      steps++;
      controller.abort('enough');
    };
    const inputs = new Map([['x', floats(1, 2)]]);
    const run = session.run(inputs, { onStep, signal: controller.signal });
    await expect(run).rejects.toMatchObject({ code: 'F2C522', cause: 'enough', detail: { where: ['looped'] } });
    expect(steps).toBe(1);
    expect((await session.run(inputs)).get('y')).toEqual(floats(0, 5));
  });

  it('records a loop that is the same in every iteration once', async () => {
    const same = {
      ...looped,
      steps: [copy(0, 1, 'n'), loop('i', 3, [addStep(1, 2, 'n', 7), copy(2, 1, 'n')]), product('y', 1, 3, 4, 'n')],
    };
    const device = new InterpreterDevice(roomyTarget);
    const labels: string[] = [];
    const record = device.record.bind(device);
    device.record = (launches, label) => {
      labels.push(label);
      return record(launches, label);
    };
    const session = await Session.create({ plan: same, kernels: smallKernels, device, weights });
    for (let run = 0; run < 2; run++) {
      expect((await session.run(new Map([['x', floats(1, 2)]]))).get('y')).toEqual(floats(0, 23));
    }
    expect(labels).toEqual(['steps', 'i = any']);
  });

  it('computes the same when launches are cut and weights are divided', async () => {
    const [n, k] = [300, 24];
    const linear = launch(
      'linear',
      'linear',
      [binding(0, 'read', k), binding(1, 'read', n * k), binding(2, 'write', n)],
      [[n, 16]],
      { n, k },
    );
    const some = plan(
      [storage(0, 'input', k), storage(1, 'weight', n * k, 'f32', 'w'), storage(2, 'result', n)],
      [linear],
      { inputs: [value('x', 0, [k])], results: [value('y', 2, [n])], weights: [declare('w', [n, k])] },
    );
    const provider = memoryWeights(
      new Map([
        [
          'w',
          tensor(
            [n, k],
            ramp(n * k).map((index) => (index % 7) - 3),
          ),
        ],
      ]),
    );
    const inputs = new Map([['x', floats(...ramp(k))]]);
    const whole = await (await open(some, roomyTarget, provider)).session.run(inputs);
    const target = { ...roomyTarget, maxBufferBytes: 9000, maxBindingBytes: 4096, bindingAlignment: 32 };
    const { session, device } = await open(some, target, provider);
    expect(await session.run(inputs)).toEqual(whole);
    expect(session.memory.weightBytes).toBe(n * k * 4);
    expect([...(whole.get('y')?.data ?? [])].slice(0, 2)).toEqual(
      [0, 1].map((row) => ramp(k).reduce((sum, j) => sum + j * (((row * k + j) % 7) - 3), 0)),
    );
    await session.destroy();
    expect(device.usage.bytes).toBe(0);
  });

  it('runs host steps, and reads only the rows of a table that are named', async () => {
    const table = declare('table', [100, 2], 'bf16');
    const gather: HostStep = {
      kind: 'host',
      operation: 'gather',
      attributes: {},
      operands: [
        { kind: 'weight', weight: table },
        { kind: 'storage', storage: 0, dtype: 'i32', shape: [Dim.of('n')] },
      ],
      results: [{ storage: 1, dtype: 'bf16', shape: [Dim.of('n'), Dim.of(2)] }],
    };
    const double: HostStep = {
      kind: 'host',
      operation: 'mul',
      attributes: {},
      operands: [
        { kind: 'storage', storage: 1, dtype: 'bf16', shape: [Dim.of('n'), Dim.of(2)] },
        { kind: 'constant', dtype: 'f32', shape: [], values: [2] },
      ],
      results: [{ storage: 2, dtype: 'f32', shape: [Dim.of('n'), Dim.of(2)] }],
    };
    const some = plan(
      [
        storage(0, 'input', 'n', 'i32'),
        storage(1, 'host', '2*n'),
        storage(2, 'host', '2*n'),
        storage(3, 'result', '2*n'),
      ],
      [gather, double, product('y', 1, 2, 3, '2*n')],
      {
        inputs: [{ ...value('ids', 0, ['n']), dtype: 'i32' }],
        results: [value('y', 3, ['n', 2]), value('twice', 2, ['n', 2])],
        weights: [table],
      },
    );
    const ranges: (ByteRange | undefined)[] = [];
    const rows = memoryWeights(new Map([['table', tensor([100, 2], ramp(200), 'bf16')]]));
    const provider: WeightProvider = {
      read: (declaration, range) => {
        ranges.push(range);
        return rows.read(declaration, range);
      },
    };
    const { session } = await open(some, roomyTarget, provider);
    const ids = (...data: readonly number[]): ReadonlyMap<string, HostArray> =>
      new Map([['ids', { dtype: 'i32', shape: [data.length], data: Int32Array.from(data) }]]);
    const results = await session.run(ids(3, 60, 4, 3));
    expect([...(results.get('twice')?.data ?? [])]).toEqual([12, 14, 240, 242, 16, 18, 12, 14]);
    expect([...(results.get('y')?.data ?? [])]).toEqual([72, 98, 28800, 29282, 128, 162, 72, 98]);
    expect(ranges).toEqual([
      { byteOffset: 12, byteLength: 8 },
      { byteOffset: 240, byteLength: 4 },
    ]);
    await expect(session.run(ids(100))).rejects.toMatchObject({
      code: 'F2C168',
      detail: { where: ['sample', '@table'] },
    });
  });

  it('says what the function wants when inputs do not fit', async () => {
    const { session } = await open();
    const expected = expect.stringContaining('x : f32[n]');
    await expect(session.run(new Map())).rejects.toMatchObject({
      code: 'F2C520',
      detail: { expected, found: 'inputs without x' },
    });
    const extra = new Map([
      ['x', floats(1)],
      ['z', floats(1)],
    ]);
    await expect(session.run(extra)).rejects.toMatchObject({ code: 'F2C520', detail: { expected } });
    const mistyped = new Map([['x', { dtype: 'i32', shape: [1], data: Int32Array.of(1) } as const]]);
    await expect(session.run(mistyped)).rejects.toMatchObject({ code: 'F2C521', detail: { expected } });
    const short = new Map([['x', { ...floats(1), shape: [2] }]]);
    await expect(session.run(short)).rejects.toMatchObject({ code: 'F2C521', detail: { found: '1' } });
    const flat = new Map([['x', { ...floats(1), shape: [1, 1] }]]);
    await expect(session.run(flat)).rejects.toMatchObject({ code: 'F2C161' });
  });

  it('grows its buffers and reuses them for smaller sizes', async () => {
    const { session, device } = await open();
    const run = (size: number): Promise<unknown> => session.run(new Map([['x', floats(...ramp(size))]]));
    await run(8);
    expect(session.memory).toEqual({
      weightBytes: 160,
      arenaBytes: 64,
      lowerBoundBytes: 64,
      boundaryBytes: 64,
      ringBytes: 0,
      peakBytes: device.usage.peakBytes,
      hostBytes: 0,
      hostPeakBytes: 0,
    });
    await run(40);
    const grown = device.usage.bytes;
    expect(session.memory).toMatchObject({ arenaBytes: 320, boundaryBytes: 320 });
    await run(8);
    expect(device.usage.bytes).toBe(grown);
    expect(session.memory).toMatchObject({ arenaBytes: 320, lowerBoundBytes: 64 });
    await session.destroy();
    expect(device.usage.bytes).toBe(0);
    await expect(run(8)).rejects.toMatchObject({ code: 'F2C526' });
  });

  it('shares weights between the functions of a store', async () => {
    const device = new InterpreterDevice(roomyTarget);
    const store = new WeightStore(device);
    const options = { kernels: smallKernels, device, weights, store };
    const first = await Session.create({ ...options, plan: looped });
    const bytes = device.usage.bytes;
    const second = await Session.create({ ...options, plan: { ...looped, name: 'other' } });
    expect(device.usage.bytes).toBe(bytes);
    await first.destroy();
    expect((await second.run(new Map([['x', floats(1, 2)]]))).get('y')).toEqual(floats(0, 5));
    const other = { ...looped, weights: [declare('w', [8, 5])] };
    await expect(Session.create({ ...options, plan: other })).rejects.toMatchObject({ code: 'F2C525' });
    await second.destroy();
    expect(device.usage.bytes).toBe(0);
  });

  it('reports progress and leaves nothing behind when a weight is too short', async () => {
    const device = new InterpreterDevice(roomyTarget);
    const stages: string[] = [];
    await Session.create({
      plan: looped,
      kernels: smallKernels,
      device,
      weights,
      onProgress: ({ stage, done, total }) => stages.push(`${stage} ${done}/${total}`),
    });
    expect(stages).toEqual(['kernels 1/2', 'kernels 2/2', 'weights 160/160']);
    const broken = new InterpreterDevice(roomyTarget);
    const short: WeightProvider = {
      async *read() {
        yield new Uint8Array(100);
      },
    };
    await expect(
      Session.create({ plan: looped, kernels: smallKernels, device: broken, weights: short }),
    ).rejects.toMatchObject({ code: 'F2C523', detail: { where: ['looped', '@w'], found: '100 bytes' } });
    expect(broken.usage.bytes).toBe(0);
  });

  it('uploads weights that come in odd pieces', async () => {
    const some = plan(
      [storage(0, 'input', 7), storage(1, 'weight', 7, 'f32', 'w'), storage(2, 'result', 7)],
      [product('y', 0, 1, 2, 7)],
      { inputs: [value('x', 0, [7])], results: [value('y', 2, [7])], weights: [declare('w', [7], 'bf16')] },
    );
    const bytes = Uint8Array.from(ramp(7).flatMap(() => [0x40, 0x40]));
    const odd: WeightProvider = {
      async *read() {
        yield bytes.slice(0, 2);
        yield bytes.slice(2, 10);
        yield bytes.slice(10);
      },
    };
    const { session } = await open(some, roomyTarget, odd);
    expect((await session.run(new Map([['x', floats(...ramp(7))]]))).get('y')).toEqual(
      floats(...ramp(7).map((x) => 3 * x)),
    );
  });

  it('names function and sizes when the device has no room', async () => {
    const device = new InterpreterDevice(roomyTarget, 300);
    const session = await Session.create({ plan: looped, kernels: smallKernels, device, weights });
    await expect(session.run(new Map([['x', floats(...ramp(40))]]))).rejects.toMatchObject({
      code: 'F2C502',
      detail: { where: expect.arrayContaining(['looped']) },
    });
    expect((await session.run(new Map([['x', floats(1, 2)]]))).get('y')).toEqual(floats(0, 5));
  });

  it('waits for its turn', async () => {
    const { session } = await open();
    const runs = [1, 2, 3].map((start) => session.run(new Map([['x', floats(start, start)]])));
    const destroyed = session.destroy();
    const late = session.run(new Map([['x', floats(4, 4)]]));
    await expect(late).rejects.toMatchObject({ code: 'F2C526' });
    await destroyed;
    const results = await Promise.all(runs);
    expect(results.map((result) => result.get('y'))).toEqual([floats(0, 4), floats(0, 5), floats(0, 6)]);
  });
});

describe('WeightStore', () => {
  it('writes whole words and divides weights between buffers', async () => {
    const device = new InterpreterDevice({ ...roomyTarget, maxBufferBytes: 80 });
    const declaration = declare('w', [9, 5], 'bf16');
    const bytes = Uint8Array.from(ramp(90));
    const cuts = [0, 2, 12, 14, 70, 90];
    const odd: WeightProvider = {
      async *read() {
        for (const [index, start] of cuts.slice(0, -1).entries()) yield bytes.slice(start, cuts[index + 1]);
      },
    };
    const store = new WeightStore(device);
    let reported = 0;
    const { buffers, byteLength } = await store.acquire(declaration, 'bf16', odd, (count) => (reported += count));
    // A segment starts at a whole vector: eight rows of ten bytes.
    expect(buffers.map((buffer) => buffer.byteLength)).toEqual([80, 16]);
    expect(byteLength).toBe(96);
    const read = await Promise.all(buffers.map((buffer) => device.read(buffer, 0, buffer.byteLength)));
    expect(read.flatMap((part) => [...part]).slice(0, 90)).toEqual([...bytes]);
    expect(reported).toBe(90);
    await store.release('w');
    expect(device.usage.bytes).toBe(0);
  });
});

describe('NullDevice', () => {
  it('checks a run without computing it', async () => {
    const device = new NullDevice(roomyTarget);
    const session = await Session.create({ plan: looped, kernels: smallKernels, device, weights });
    const results = await session.run(new Map([['x', floats(1, 2, 3)]]));
    expect(results.get('y')).toEqual(floats(0, 0, 0));
    const launches = device.events.flatMap((event) => (event.kind === 'launch' ? [event.label] : []));
    expect(launches).toEqual(['add step', 'add step', 'add step', 'y']);
    expect(device.events.filter(({ kind }) => kind === 'copy')).toHaveLength(4);
  });

  it('refuses what WebGPU would refuse', async () => {
    const device = new NullDevice(roomyTarget);
    const kernel = smallKernels.get('add_step');
    if (kernel === undefined) throw new Error('no kernel');
    await device.loadKernels([{ name: 'add_step', kernel: kernel.thread, source: '' }]);
    const buffer = device.createBuffer(1024, 'shared');
    const parameters = new Int32Array(kernel.thread.parameters.length);
    const bind = (byteOffset: number): { buffer: typeof buffer; byteOffset: number; byteLength: number } => ({
      buffer,
      byteOffset,
      byteLength: 64,
    });
    const shared = { kernel: 'add_step', label: 'l', parameters, workgroups: [1, 1, 1] as const };
    expect(() => device.record([{ ...shared, bindings: [bind(0), bind(256)] }], 's')).toThrow('one buffer');
    expect(() => device.record([{ ...shared, bindings: [bind(0)] }], 's')).toThrow('number of bindings');
    expect(() => device.record([{ ...shared, bindings: [bind(16), bind(0)] }], 's')).toThrow('misaligned');
    expect(() => device.copy(buffer, 0, buffer, 512, 4)).toThrow('one buffer');
    expect(() => device.write(buffer, 1022, new Uint8Array(4))).toThrow('range of write');
    buffer.destroy();
    expect(() => device.write(buffer, 0, new Uint8Array(4))).toThrow('destroyed');
  });
});

import { afterAll, describe, expect, it } from 'vitest';
import { add, binary, builtin, i32, integer, multiply, parameter, register } from '../../../ir/kernel/expressions.js';
import type { ThreadKernel } from '../../../ir/kernel/thread.js';
import {
  asF32,
  buffer,
  deviceCases,
  letIn,
  load,
  loop,
  store,
  vectorAdd,
  worstError,
} from '../../../test/device-cases.js';
import { prepareCase, runCase } from '../../../test/run-device-case.js';
import { chunkOf } from '../cpu-sequence.js';
import { createCpuDevice } from './cpu-device.js';

const at = register('at', i32);

/** y[i] = y[i] + 1 for every invocation of every workgroup, after `rounds` additions of nothing. */
const countUp: ThreadKernel = {
  phase: 'thread',
  name: 'count_up',
  buffers: [buffer('y', 'i32', 1, 'read_write')],
  parameters: ['width', 'height', 'rounds'],
  workgroupSize: 4,
  shared: [],
  body: [
    letIn(
      'at',
      add(
        multiply(
          add(multiply(builtin('workgroup_z'), parameter('height')), builtin('workgroup_y')),
          multiply(parameter('width'), integer(4)),
        ),
        add(multiply(builtin('workgroup_x'), integer(4)), builtin('local_index')),
      ),
    ),
    { kind: 'var', name: 'sum', type: i32, value: load('y', at, i32) },
    loop('k', parameter('rounds'), [
      { kind: 'assign', name: 'sum', value: binary('xor', register('sum', i32), load('y', at, i32)) },
    ]),
    store('y', at, add(load('y', at, i32), integer(1))),
  ],
};

describe.each([1, 2, 3])('CPU with %i threads', (threads) => {
  const device = createCpuDevice({ threads });
  afterAll(() => device.destroy());

  it.each(deviceCases.map((make) => make()))('computes $kernel.name', async (test) => {
    expect(worstError(await runCase(device, test), test.expected)).toBeLessThanOrEqual(test.tolerance);
  });

  it('runs every workgroup of every launch once, launches in order', async () => {
    await device.loadKernels([{ name: 'count_up', kernel: countUp, source: '' }]);
    for (const workgroups of [
      [1, 1, 1],
      [1000, 1, 1],
      [7, 5, 3],
      [1, 100, 2],
    ] as const) {
      const [x, y, z] = workgroups;
      const count = x * y * z * 4;
      const counters = device.createBuffer(count * 4, 'counters');
      const launch = {
        kernel: 'count_up',
        label: 'count',
        bindings: [{ buffer: counters, byteOffset: 0, byteLength: counters.byteLength }],
        parameters: Int32Array.of(x, y, 0),
        workgroups,
      };
      const sequence = device.record(new Array<typeof launch>(50).fill(launch), 'counts');
      device.run(sequence);
      device.run(sequence);
      const bytes = await device.read(counters, 0, counters.byteLength);
      expect(new Set(new Int32Array(bytes.buffer))).toEqual(new Set([100]));
      sequence.destroy();
      counters.destroy();
    }
  });

  it('keeps the order of writes, copies, launches, reads and destruction', async () => {
    const test = vectorAdd();
    const { buffers, launch } = await prepareCase(device, test);
    const [a, b, out] = buffers;
    if (a === undefined || b === undefined || out === undefined) throw new Error('three buffers');
    const sequence = device.record([launch], 'order');
    const zeros = new Uint8Array(b.byteLength);
    device.run(sequence); // out = a + 3 b
    device.copy(out, 0, a, 0, out.byteLength);
    device.run(sequence); // out = a + 6 b
    device.write(b, 0, zeros);
    zeros.fill(1); // taken when it was queued
    const first = device.read(out, 0, out.byteLength);
    device.copy(out, 0, a, 0, out.byteLength);
    device.run(sequence); // out = a + 6 b + 3 · 0
    const second = device.read(out, 0, out.byteLength);
    for (const each of buffers) each.destroy();
    sequence.destroy();
    const fresh = device.createBuffer(test.buffers[0]?.byteLength ?? 0, 'fresh');
    const [inA = new Uint8Array(), inB = new Uint8Array()] = test.buffers;
    const expected = Float64Array.from(asF32(inA), (value, index) => value + 6 * (asF32(inB)[index] ?? 0));
    expect(worstError(asF32(await first), expected)).toBeLessThan(1e-6);
    expect(worstError(asF32(await second), expected)).toBeLessThan(1e-6);
    expect((await device.read(fresh, 0, fresh.byteLength)).every((byte) => byte === 0)).toBe(true);
    fresh.destroy();
  });

  it('grows its memory, zero-fills used memory and counts bytes', async () => {
    const before = device.usage.bytes;
    const size = 100 * 2 ** 20;
    const large = device.createBuffer(size, 'large');
    device.write(large, size - 8, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
    expect([...(await device.read(large, size - 8, 8))]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(device.usage.bytes).toBe(before + size);
    large.destroy();
    expect(device.usage.bytes).toBe(before);
    const again = device.createBuffer(size, 'again');
    expect([...(await device.read(again, size - 8, 8))]).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
    again.destroy();
    expect(worstError(await runCase(device, vectorAdd()), vectorAdd().expected)).toBeLessThan(1e-6);
  });

  it('measures launches and leaves the event loop free', async () => {
    await device.loadKernels([{ name: 'count_up', kernel: countUp, source: '' }]);
    const counters = device.createBuffer(4 * 64, 'counters');
    const launch = {
      kernel: 'count_up',
      label: 'long',
      bindings: [{ buffer: counters, byteOffset: 0, byteLength: 256 }],
      parameters: Int32Array.of(16, 1, 4_000_000),
      workgroups: [16, 1, 1] as const,
    };
    const sequence = device.record([launch], 'long');
    let turns = 0;
    let isRunning = true;
    const turn = (): void => {
      turns++;
      if (isRunning) setImmediate(turn);
    };
    setImmediate(turn);
    const times = (await device.timeLaunches?.(sequence)) ?? [];
    isRunning = false;
    expect(times).toHaveLength(1);
    expect(times[0]).toBeGreaterThan(2e6);
    expect(turns).toBeGreaterThan(10);
    sequence.destroy();
    counters.destroy();
  });
});

describe('failures of the CPU device', () => {
  it('names the launch of a kernel that traps, and goes on', async () => {
    const device = createCpuDevice({ threads: 2 });
    try {
      const far: ThreadKernel = {
        ...countUp,
        name: 'far',
        body: [letIn('at', multiply(parameter('width'), builtin('workgroup_x'))), store('y', at, at)],
      };
      await device.loadKernels([{ name: 'far', kernel: far, source: '' }]);
      const counters = device.createBuffer(64, 'counters');
      const sequence = device.record(
        [
          {
            kernel: 'far',
            label: 'too far',
            bindings: [{ buffer: counters, byteOffset: 0, byteLength: 64 }],
            parameters: Int32Array.of(2 ** 28, 1, 0),
            workgroups: [3, 1, 1],
          },
        ],
        'traps',
      );
      device.run(sequence);
      await expect(device.finish()).rejects.toMatchObject({
        code: 'F2C513',
        detail: {
          where: ['sequence traps', 'launch too far'],
          found: expect.stringMatching(/out of bounds/) as string,
        },
      });
      await device.finish();
      expect(worstError(await runCase(device, vectorAdd()), vectorAdd().expected)).toBeLessThan(1e-6);
    } finally {
      await device.destroy();
    }
  });

  it('refuses buffers beyond its size and its budget', async () => {
    const device = createCpuDevice({ threads: 1, memoryBudgetBytes: 1000 });
    try {
      expect(() => device.createBuffer(2 ** 32, 'huge')).toThrowError(
        expect.objectContaining({ code: 'F2C501' }) as Error,
      );
      device.createBuffer(600, 'first');
      expect(() => device.createBuffer(600, 'second')).toThrowError(
        expect.objectContaining({ code: 'F2C502' }) as Error,
      );
    } finally {
      await device.destroy();
    }
  });

  it('runs out of the 4 GiB that addresses reach', async () => {
    const device = createCpuDevice({ threads: 1 });
    try {
      device.createBuffer(2 ** 31, 'first');
      expect(() => device.createBuffer(2 ** 31, 'second')).toThrowError(
        expect.objectContaining({ code: 'F2C502' }) as Error,
      );
      device.createBuffer(2 ** 30, 'third');
    } finally {
      await device.destroy();
    }
  });

  it('rejects what is waited for when it is destroyed', async () => {
    const device = createCpuDevice({ threads: 2 });
    const { launch } = await prepareCase(device, vectorAdd());
    const sequence = device.record([launch], 'last');
    device.run(sequence);
    device.run(sequence);
    const finished = device.finish();
    const rejected = expect(finished).rejects.toMatchObject({ code: 'F2C512' });
    await device.destroy();
    await rejected;
  });
});

describe('chunks of a launch', () => {
  it.each<[readonly [number, number, number], number, [number, number, number]]>([
    [[1, 1, 1], 2, [1, 1, 1]],
    [[1000, 1, 1], 2, [63, 1, 1]],
    [[1000, 64, 1], 2, [1000, 4, 1]],
    [[10, 4, 2], 2, [5, 1, 1]],
    [[100, 100, 100], 1, [100, 100, 13]],
  ])('cuts %j for %i threads', (workgroups, threads, chunk) => {
    expect(chunkOf(workgroups, threads)).toEqual(chunk);
  });
});

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Flux2cError } from '../../../ir/diagnostics.js';
import { asF32, bytesOf, deviceCases, vectorAdd, worstError } from '../../../test/device-cases.js';
import { prepareCase, runCase } from '../../../test/run-device-case.js';
import type { Device } from '../../device.js';
import { createWebgpuDevice } from '../webgpu-device.js';
import { openDawn } from './dawn.js';

/** Adapters here and why the others are missing: shown by the skipped test. */
const outcomes = await Promise.all(
  ['lavapipe', 'swiftshader'].map(async (name) => ({ name, outcome: await openDawn({ adapter: name }) })),
);

for (const { name, outcome } of outcomes) {
  if (outcome.adapter === undefined) {
    console.warn(`SKIPPED: WebGPU tests on ${name}: ${outcome.reason}`);
    it.skip(`WebGPU on ${name}: ${outcome.reason}`, () => undefined);
    continue;
  }
  const { adapter } = outcome;
  describe(`WebGPU on ${name}`, () => {
    let device: Device;
    beforeAll(async () => {
      device = await createWebgpuDevice(adapter);
    });
    afterAll(() => device.destroy());

    for (const makeCase of deviceCases) {
      const test = makeCase();
      it(`computes ${test.kernel.name}`, async () => {
        expect(worstError(await runCase(device, test), test.expected)).toBeLessThanOrEqual(test.tolerance);
      });
    }

    it('describes the adapter by capabilities', () => {
      expect(device.target.backend).toBe('webgpu');
      expect(device.target.stagingPays).toBe(false);
      expect(device.target.maxWorkgroupInvocations).toBe(name === 'lavapipe' ? 1024 : 256);
      expect(device.target.maxStorageBuffers).toBe(name === 'lavapipe' ? 16 : 12);
      expect(device.target.subgroups?.min).toBeGreaterThanOrEqual(4);
    });

    it('keeps the order of writes, copies, launches and reads', async () => {
      const test = vectorAdd();
      const { buffers, launch } = await prepareCase(device, test);
      const [a, b, out] = buffers;
      if (a === undefined || b === undefined || out === undefined) throw new Error('three buffers');
      const sequence = device.record([launch], 'order');
      device.run(sequence); // out = a + 3 b
      device.copy(out, 0, a, 0, out.byteLength);
      device.run(sequence); // out = a + 6 b
      device.write(b, 0, new Uint8Array(b.byteLength));
      const first = device.read(out, 0, out.byteLength);
      device.copy(out, 0, a, 0, out.byteLength);
      device.run(sequence); // out = a + 6 b + 3 · 0
      const second = await device.read(out, 0, out.byteLength);
      const [inA = new Uint8Array(), inB = new Uint8Array()] = test.buffers;
      const expected = Float64Array.from(asF32(inA), (value, index) => value + 6 * (asF32(inB)[index] ?? 0));
      expect(worstError(asF32(await first), expected)).toBeLessThan(1e-6);
      expect(worstError(asF32(second), expected)).toBeLessThan(1e-6);
      sequence.destroy();
    });

    it('gives launches of one sequence their own parameters', async () => {
      const test = vectorAdd();
      const { buffers, launch } = await prepareCase(device, test);
      const halves = [Int32Array.of(64, 3), Int32Array.of(1000, 5), Int32Array.of(10, 3)];
      const sequence = device.record(
        halves.map((parameters) => ({ ...launch, parameters })),
        'parameters',
      );
      device.run(sequence);
      const out = buffers[2];
      if (out === undefined) throw new Error('three buffers');
      const [inA = new Uint8Array(), inB = new Uint8Array()] = test.buffers;
      const expected = Float64Array.from(
        asF32(inA),
        (value, index) => value + (index < 10 ? 3 : 5) * (asF32(inB)[index] ?? 0),
      );
      expect(worstError(asF32(await device.read(out, 0, 4000)), expected)).toBeLessThan(1e-6);
      const times = await device.timeLaunches?.(sequence);
      expect(times).toHaveLength(3);
      expect(Math.min(...(times ?? []))).toBeGreaterThan(0);
    });

    it('starts buffers at zero and counts their bytes', async () => {
      const before = device.usage.bytes;
      const buffer = device.createBuffer(1 << 20, 'zeros');
      expect(device.usage.bytes).toBe(before + (1 << 20));
      expect((await device.read(buffer, 0, 1 << 20)).every((byte) => byte === 0)).toBe(true);
      buffer.destroy();
      buffer.destroy();
      expect(device.usage.bytes).toBe(before);
      expect(device.usage.peakBytes).toBeGreaterThanOrEqual(before + (1 << 20));
    });

    it('names the kernel, the line and the message of a text that does not compile', async () => {
      const { kernel } = vectorAdd();
      const source = '@compute @workgroup_size(64) fn main() {\n  let x: i32 = 1.5;\n}';
      const failure = await device.loadKernels([{ name: 'broken', kernel, source }]).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(Flux2cError);
      if (!(failure instanceof Flux2cError)) return;
      expect(failure.code).toBe('F2C511');
      expect(failure.detail.where).toEqual(['kernel broken', 'line 2: let x: i32 = 1.5;']);
      expect(failure.detail.found).toMatch(/i32/);
      await device.finish();
    });

    it('refuses one buffer read-only and writable in a launch, by name', async () => {
      const { buffers, launch } = await prepareCase(device, vectorAdd());
      const [a] = buffers;
      if (a === undefined) throw new Error('three buffers');
      const bindings = launch.bindings.map((binding) => ({ ...binding, buffer: a }));
      expect(() => device.record([{ ...launch, bindings }], 'mixed')).toThrowError(
        expect.objectContaining({
          code: 'F2C514',
          detail: expect.objectContaining({
            where: ['launch test of vector_add', 'kernel vector_add', 'buffer vector_add a'],
          }) as unknown,
        }) as Error,
      );
    });

    it('reports use of a destroyed buffer at the next finish and goes on', async () => {
      const { buffers, launch } = await prepareCase(device, vectorAdd());
      const sequence = device.record([launch], 'stale');
      buffers[0]?.destroy();
      device.run(sequence);
      await expect(device.finish()).rejects.toMatchObject({ code: 'F2C513' });
      await device.finish();
      expect(worstError(await runCase(device, vectorAdd()), vectorAdd().expected)).toBeLessThan(1e-6);
    });

    it('refuses sizes beyond the limits it was given and beyond the budget', async () => {
      const again = await openDawn({ adapter: name });
      if (again.adapter === undefined) throw new Error(again.reason);
      const small = await createWebgpuDevice(again.adapter, {
        limits: { maxBufferBytes: 4096, maxBindingBytes: 1024, maxStorageBuffers: 4, subgroups: false },
        memoryBudgetBytes: 6000,
      });
      try {
        expect(small.target).toMatchObject({ maxBufferBytes: 4096, maxBindingBytes: 1024, maxStorageBuffers: 4 });
        expect(small.target.subgroups).toBeUndefined();
        expect(() => small.createBuffer(5000, 'big')).toThrowError(
          expect.objectContaining({ code: 'F2C501' }) as Error,
        );
        small.createBuffer(4096, 'first');
        expect(() => small.createBuffer(4096, 'second')).toThrowError(
          expect.objectContaining({
            code: 'F2C502',
            detail: expect.objectContaining({ found: '4096 bytes in use of 6000 allowed' }) as unknown,
          }) as Error,
        );
        const { kernel } = vectorAdd();
        const five = { ...kernel, buffers: [...kernel.buffers, ...kernel.buffers] };
        await expect(small.loadKernels([{ name: 'five', kernel: five, source: '' }])).rejects.toMatchObject({
          code: 'F2C514',
          detail: { expected: 'at most 4', found: '6' },
        });
      } finally {
        await small.destroy();
      }
    });

    it.runIf(name === 'swiftshader')('reports a failed allocation at the next finish', async () => {
      // It allows buffers of 1 GiB but has no room for one.
      const inUse = device.usage.bytes;
      const buffer = device.createBuffer(2 ** 30, 'huge');
      await expect(device.finish()).rejects.toMatchObject({
        code: 'F2C502',
        detail: { where: ['buffer huge'], found: `${inUse} bytes in use` },
      });
      buffer.destroy();
      await device.finish();
    });

    it('accepts views of shared memory', async () => {
      const shared = new Float32Array(new SharedArrayBuffer(16));
      shared.set([1, 2, 3, 4]);
      const buffer = device.createBuffer(16, 'shared');
      device.write(buffer, 0, new Uint8Array(shared.buffer));
      expect(await device.read(buffer, 0, 16)).toEqual(bytesOf(Float32Array.of(1, 2, 3, 4)));
      buffer.destroy();
    });
  });
}

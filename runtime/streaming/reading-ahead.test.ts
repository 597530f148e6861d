/** How far reading and writing go ahead. */
import { describe, expect, it } from 'vitest';
import { chain, chainInputs, chainLength, chainProvider, chainResults } from '../../test/streaming/chain.js';
import { openStreamed } from '../../test/streaming/streamed-session.js';
import { roomyTarget } from '../../test/plan-samples.js';
import { smallKernels } from '../../test/small-kernels.js';
import { Dim } from '../../ir/dim.js';
import type { DeviceBuffer, Sequence } from '../device.js';
import { hostTensorToBytes } from '../../ir/host-tensor.js';
import { InterpreterDevice } from '../interpreter-device.js';
import { memoryWeights } from '../weight-provider.js';
import type { WeightRange } from '../weight-ranges.js';
import { divideRange } from './divide-range.js';
import { RangeReader } from './range-reader.js';

const pieceBytes = 4 * chainLength;

/** Work that is queued and done when the test lets it, as on a device with a queue. */
class LateDevice extends InterpreterDevice {
  readonly log: string[] = [];
  /** Bytes of writes to the ring that are not done. */
  bytesUnderWay = 0;
  mostUnderWay = 0;
  private readonly points: (() => void)[] = [];
  private sinceFinish = 0;

  override write(buffer: DeviceBuffer, byteOffset: number, bytes: Uint8Array): void {
    super.write(buffer, byteOffset, bytes);
    if (buffer.label !== 'ring') return;
    this.bytesUnderWay += bytes.byteLength;
    this.sinceFinish += bytes.byteLength;
    this.mostUnderWay = Math.max(this.mostUnderWay, this.bytesUnderWay);
    this.log.push('write');
  }

  override run(sequence: Sequence): void {
    super.run(sequence);
    this.log.push('run');
  }

  override async finish(): Promise<void> {
    const bytes = this.sinceFinish;
    this.sinceFinish = 0;
    this.log.push('finish');
    await new Promise<void>((resolve) => {
      this.points.push(() => {
        this.bytesUnderWay -= bytes;
        resolve();
      });
      setTimeout(() => this.points.shift()?.(), 1);
    });
  }
}

describe('writes of streamed weights', () => {
  it('have no more bytes under way than the ring has, and hand launches over before anybody waits', async () => {
    const device = new LateDevice(roomyTarget);
    const parts = { plan: chain, kernels: smallKernels, device, weights: chainProvider() };
    const { session } = await openStreamed(parts, { spare: 2 });
    for (let run = 0; run < 3; run++) expect(await session.run(chainInputs(40))).toEqual(chainResults(40));
    const { ringBytes } = session.memory;
    expect(ringBytes).toBe(3 * 256);
    expect(device.mostUnderWay).toBeLessThanOrEqual(ringBytes);
    expect(device.mostUnderWay).toBeGreaterThan(2 * pieceBytes);
    // Before it waits for room, and so before the write that has it then, it hands over what is queued.
    expect(device.log.join(' ')).toContain('run finish write');
    await session.destroy();
  });
});

describe('reading ahead', () => {
  it('has several reads under way, of as many bytes as there is room for', async () => {
    let inside = 0;
    let most = 0;
    const weights = chainProvider(async () => {
      inside++;
      most = Math.max(most, inside);
      await new Promise((resolve) => setTimeout(resolve, 1));
      inside--;
    });
    const device = new InterpreterDevice(roomyTarget);
    const parts = { plan: chain, kernels: smallKernels, device, weights };
    for (const pieces of [6, 3, 1]) {
      most = 0;
      const hostBytes = pieces * pieceBytes;
      const { session } = await openStreamed(parts, { isKept: () => false }, { hostBytes });
      expect(await session.run(chainInputs(40))).toEqual(chainResults(40));
      expect(session.memory.hostPeakBytes).toBeLessThanOrEqual(hostBytes);
      expect(most).toBeGreaterThanOrEqual(2);
      expect(most).toBeLessThanOrEqual(4);
      await session.destroy();
    }
  });

  it('reads what is kept once, and what is not for each of its uses', async () => {
    const weights = chainProvider();
    const parts = { plan: chain, kernels: smallKernels, device: new InterpreterDevice(roomyTarget), weights };
    const { session } = await openStreamed(parts, { isKept: (piece) => piece !== 2 });
    for (let run = 0; run < 3; run++) await session.run(chainInputs(40));
    const count = (name: string): number => weights.reads.filter((read) => read === name).length;
    // A kept one as a whole; the other one in parts, in every iteration of every run.
    expect(['w0', 'w1', 'w3', 'w4', 'w5'].map(count)).toEqual([1, 1, 1, 1, 1]);
    expect(count('w2')).toBe(9);
    await session.destroy();
  });
});

describe('parts of a range', () => {
  const declare = (shape: readonly number[], dtype: 'f32' | 'bf16' | 'bool' = 'f32'): WeightRange['declaration'] => {
    return {
      name: 'w',
      type: { dtype, shape: shape.map((size) => Dim.of(size)) },
      source: { kind: 'tensor', tensor: 'w' },
    };
  };
  const range = (declaration: WeightRange['declaration'], storage: WeightRange['storage'], start: number, end: number, byteLength: number): WeightRange => {
    return { declaration, storage, start, end, byteLength, key: 'w' };
  }; // prettier-ignore

  it('are whole rows and whole vectors, the last one with the padding', () => {
    // Rows of 6 bytes: eight of them are three vectors.
    const parts = divideRange(range(declare([30, 3], 'bf16'), 'bf16', 0, 90, 192), 60);
    expect(parts.map(({ start, end, byteLength }) => [start, end, byteLength])).toEqual([
      [0, 24, 48],
      [24, 48, 48],
      [48, 72, 48],
      [72, 90, 48],
    ]);
    expect(
      divideRange(range(declare([4, 100]), 'f32', 100, 300, 800), 1).map(({ start, end }) => [start, end]),
    ).toEqual([
      [100, 200],
      [200, 300],
    ]);
  });

  it('are one where rows are moved', () => {
    const moved = { kind: 'permute', permutation: [1, 0], of: { shape: [8, 8], source: { kind: 'tensor', tensor: 'w' } } } as const; // prettier-ignore
    expect(divideRange(range({ ...declare([8, 8]), source: moved }, 'f32', 0, 64, 256), 32)).toHaveLength(1);
  });

  it.each([
    ['f32', 'f32'],
    ['bool', 'i32'],
  ] as const)('of %s are read as %s are stored, with zeros behind them', async (dtype, storage) => {
    const tensor = { dtype, shape: [9, 3], data: Float64Array.from({ length: 27 }, (_, at) => at % 2) };
    const reader = new RangeReader(memoryWeights(new Map([['w', tensor]])));
    const into = new Uint8Array(80).fill(7);
    await reader.read(range(declare([9, 3], dtype), storage, 6, 24, 80), into, new AbortController().signal);
    const wanted = hostTensorToBytes({ dtype: storage, shape: [18], data: tensor.data.slice(6, 24) });
    expect([...into]).toEqual([...wanted, ...new Uint8Array(8)]);
  });
});

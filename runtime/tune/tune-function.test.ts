import { describe, expect, it } from 'vitest';
import { portableWebgpu } from '../../backends/target.js';
import { parseModule } from '../../ir/graph/parse.js';
import type { ThreadKernel } from '../../ir/kernel/thread.js';
import { prepareModule } from '../../passes/compile.js';
import { createCpuDevice } from '../cpu/node/cpu-device.js';
import type { BoundLaunch, Sequence } from '../device.js';
import { InterpreterDevice } from '../interpreter-device.js';
import { type TuneRequest, tuneFunction } from './tune-function.js';

const module = parseModule(`
  weight @w : bf16[24, 12] = tensor "w"
  func @f(%x: f32[n, 12]) -> (y: %y, s: %s) {
    %y = matmul(%x, @w) {transposeB = true}
    %s = softmax(%x)
  }`);

/** Its clock says what a kernel takes; it may compute something else than it should. */
class ClockedDevice extends InterpreterDevice {
  private last: readonly string[] = [];

  constructor(
    private readonly timeOf: (kernel: ThreadKernel) => number,
    private readonly isBroken: (kernel: ThreadKernel) => boolean = () => false,
  ) {
    super(portableWebgpu);
  }

  override record(launches: readonly BoundLaunch[], label: string): Sequence {
    this.names.set(
      label,
      launches.map(({ kernel }) => kernel),
    );
    return super.record(launches, label);
  }

  private readonly names = new Map<string, readonly string[]>();

  readonly timeLaunches = async ({ label }: Sequence): Promise<number[]> => {
    this.last = this.names.get(label) ?? [];
    return this.last.map((name) => 1e6 * this.timeOf(this.kernels.get(name)!));
  };

  protected override execute(launch: BoundLaunch, kernel: ThreadKernel): void {
    super.execute(launch, kernel);
    if (!this.isBroken(kernel)) return;
    const place = kernel.buffers.findIndex(({ access }) => access !== 'read');
    this.memoryOf(launch.bindings[place]!.buffer)[3]! ^= 0x10;
  }
}

function requestOn(device: TuneRequest['device'], more: Partial<TuneRequest> = {}): TuneRequest {
  const make = prepareModule(module, device.target, { print: () => '' });
  return { name: 'f', make, sizes: { n: 9 }, device, milliseconds: 60_000, ...more };
}

describe('the tuner', () => {
  it('finds what the clock says is fastest, and goes on from there', async () => {
    // A quarter of the chosen workgroups, in two steps of the search.
    const reports = await tuneFunction(requestOn(new ClockedDevice(({ workgroupSize }) => 10 + workgroupSize)));
    expect(reports.map(({ launches }) => launches)).toEqual([1, 1]);
    for (const { found, chosen, tried, wrong, key } of reports) {
      expect(key).toMatch(/^(matmul|softmax)_[0-9a-f]{8}$/);
      expect(tried).toBeGreaterThan(3);
      expect(wrong).toEqual([]);
      expect(found?.schedule).not.toEqual(chosen);
      expect(found!.milliseconds.tuned).toBeLessThan(0.6 * found!.milliseconds.chosen);
      expect(found?.sizes).toEqual({ n: 9 });
    }
    const schedules = new Map(reports.map(({ key, found }) => [key, found!.schedule]));
    const { kernels } = requestOn(new ClockedDevice(() => 1)).make(schedules);
    for (const { key, schedule } of kernels.values()) expect(schedule).toEqual(schedules.get(key()));
  });

  it('keeps what is chosen where nothing is faster', async () => {
    const reports = await tuneFunction(requestOn(new ClockedDevice(() => 3)));
    expect(reports.map(({ found }) => found)).toEqual([undefined, undefined]);
    expect(reports[0]).toMatchObject({ chosenMilliseconds: 3, label: expect.any(String) as string });
  });

  it('drops and names schedules that compute something else', async () => {
    const chosen = [
      ...requestOn(new ClockedDevice(() => 1))
        .make()
        .kernels.values(),
    ];
    const sizes = chosen.map(({ thread }) => thread.workgroupSize);
    const isBroken = ({ workgroupSize }: ThreadKernel): boolean => !sizes.includes(workgroupSize);
    const reports = await tuneFunction(requestOn(new ClockedDevice(({ workgroupSize }) => workgroupSize, isBroken)));
    expect(reports.map(({ wrong }) => wrong.length > 0)).toEqual([true, true]);
  });

  it('leaves out what is known, and ends in time or when it is told to', async () => {
    const device = new ClockedDevice(({ workgroupSize }) => workgroupSize);
    const [first] = [...requestOn(device).make().kernels.values()];
    const known = await tuneFunction(requestOn(device, { known: new Set([first!.key()]) }));
    expect(known.map(({ key }) => key)).not.toContain(first!.key());
    expect(known).toHaveLength(1);
    let time = 0;
    expect(await tuneFunction(requestOn(device, { milliseconds: 0, now: () => time++ }))).toEqual([]);
    const ended = new AbortController();
    const onKernel = (): void => ended.abort();
    expect(await tuneFunction(requestOn(device, { signal: ended.signal, onKernel }))).toHaveLength(1);
    expect(device.usage.bytes).toBe(0);
  });

  it('runs on the processor', async () => {
    const device = createCpuDevice({ threads: 1 });
    try {
      const reports = await tuneFunction(requestOn(device));
      expect(reports.map(({ wrong }) => wrong)).toEqual([[], []]);
      expect(reports.every(({ chosenMilliseconds }) => chosenMilliseconds > 0)).toBe(true);
    } finally {
      await device.destroy();
    }
  });
});

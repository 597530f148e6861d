/** What goes wrong while weights stream: said clearly, and a later run works. */
import { describe, expect, it } from 'vitest';
import { chain, chainInputs, chainProvider, chainResults } from '../../test/streaming/chain.js';
import type { NaiveOptions } from '../../test/streaming/naive-stream.js';
import { openStreamed, type StreamedSession } from '../../test/streaming/streamed-session.js';
import { openMockDevice } from '../../test/cuda/mock-device.js';
import type { MockCudaDriver } from '../../test/cuda/mock-driver.js';
import { roomyTarget } from '../../test/plan-samples.js';
import { smallKernels } from '../../test/small-kernels.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import type { CudaDriver } from '../cuda/driver.js';
import type { Device } from '../device.js';
import { InterpreterDevice } from '../interpreter-device.js';
import type { RunOptions, SessionBudget } from '../session.js';
import type { WeightProvider } from '../weight-provider.js';

const size = 40;

interface Opened extends StreamedSession {
  readonly device: Device;
  readonly driver: MockCudaDriver | undefined;
  run(options?: RunOptions): Promise<void>;
  /** Destroys the session and sees that nothing is left. */
  close(): Promise<void>;
}

type OpenDevice = () => { readonly device: Device; readonly driver?: MockCudaDriver };

const devices: readonly (readonly [string, OpenDevice])[] = [
  ['whose writes are in order', () => ({ device: new InterpreterDevice(roomyTarget) })],
  ['with uploads beside launches', () => openMockDevice()],
];

async function open(
  openDevice: OpenDevice,
  weights: WeightProvider,
  naive: NaiveOptions = {},
  budget: Partial<SessionBudget> = {},
): Promise<Opened> {
  const { device, driver } = openDevice();
  const opened = await openStreamed({ plan: chain, kernels: smallKernels, device, weights }, naive, budget);
  const { session } = opened;
  return {
    ...opened,
    device,
    driver,
    run: async (options) => expect(await session.run(chainInputs(size), options)).toEqual(chainResults(size)),
    close: async () => {
      await session.destroy();
      expect(device.usage.bytes).toBe(0);
      expect(session.memory.hostBytes).toBe(0);
      await device.destroy();
      if (driver !== undefined) expect(driver.leaks).toEqual([]);
    },
  };
}

describe.each(devices)('a device %s', (_, openDevice) => {
  it.each([
    ['kept', true],
    ['read each time', false],
  ])('reports every read that fails, of weights that are %s, and runs again', async (_name, isKept) => {
    let failing = 1;
    let failures = 0;
    const weights = chainProvider((weight, count) => {
      if (count !== failing) return;
      failures++;
      throw new Flux2cError('F2C401', 'the file cannot be read', { where: [`${weight}.safetensors`] });
    });
    const opened = await open(openDevice, weights, { isKept: () => isKept });
    for (failing = 1; failing < 40; failing++) {
      weights.reads.length = 0;
      const before = failures;
      const run = opened.run();
      if (failing > 6 && isKept) {
        await run;
        continue;
      }
      // Reads ahead of the end of a run may not come to be.
      const error: unknown = await run.then(
        () => undefined,
        (reason: unknown) => reason,
      );
      if (failures === before) continue;
      expect(error).toMatchObject({ code: 'F2C401' });
      const { where = [] } = (error as Flux2cError).detail;
      expect(where).toEqual(['chain', expect.stringMatching(/^w\d\.safetensors$/), expect.stringMatching(/^@w\d$/)]);
      expect(where[2]).toBe(`@${where[1]!.slice(0, 2)}`);
    }
    expect(failures).toBeGreaterThanOrEqual(isKept ? 1 : 12);
    failing = 0;
    await opened.run();
    await opened.close();
  });

  it('reports weights that are shorter than they say', async () => {
    let isShort = true;
    const weights = chainProvider();
    const short: WeightProvider = {
      async *read(declaration, range) {
        for await (const bytes of weights.read(declaration, range))
          yield isShort && declaration.name === 'w3' ? bytes.subarray(4) : bytes;
      },
    };
    const opened = await open(openDevice, short);
    await expect(opened.run()).rejects.toMatchObject({ code: 'F2C523', detail: { where: ['chain', '@w3'] } });
    isShort = false;
    await opened.run();
    await opened.close();
  });

  it('ends when it is told to, between iterations and while it waits for a read', async () => {
    let abort: AbortController | undefined;
    let abortAt = 0;
    const weights = chainProvider((_weight, count) => {
      if (count === abortAt) abort?.abort('enough');
    });
    const opened = await open(openDevice, weights, { isKept: (piece) => piece === 0 });
    for (abortAt = 1; abortAt < 12; abortAt++) {
      weights.reads.length = 0;
      abort = new AbortController();
      await expect(opened.run({ signal: abort.signal })).rejects.toMatchObject({ code: 'F2C522', cause: 'enough' });
      const ended = weights.reads.length;
      await new Promise((resolve) => setTimeout(resolve, 5));
      expect(weights.reads.length).toBe(ended);
    }
    abort = new AbortController();
    abortAt = 0;
    const onStep = (): void => abort?.abort('enough');
    await expect(opened.run({ signal: abort.signal, onStep })).rejects.toMatchObject({ code: 'F2C522' });
    await opened.run();
    await opened.close();
  });

  it('keeps within the budget of host memory, or says how much it needs', async () => {
    const weights = chainProvider();
    const isKept = (piece: number): boolean => piece < 2;
    const wanted = 2 * 192;
    const tight = await open(openDevice, weights, { isKept }, { hostBytes: wanted + 48 });
    await tight.run();
    await tight.run();
    expect(tight.session.memory.hostPeakBytes).toBeLessThanOrEqual(wanted + 48);
    expect(weights.reads.filter((name) => name === 'w0')).toHaveLength(1);
    await tight.close();
    const impossible = await open(openDevice, weights, { isKept }, { hostBytes: wanted - 1 });
    await expect(impossible.run()).rejects.toMatchObject({
      code: 'F2C503',
      detail: { expected: `at most ${wanted - 1} bytes`, found: expect.stringContaining(`${wanted} bytes`) as string },
    });
    await impossible.close();
  });
});

describe('uploads beside launches', () => {
  const openMock: OpenDevice = () => openMockDevice();
  const outOfMemory = 2;

  it.each<readonly [keyof CudaDriver, string]>([
    ['memoryAllocate', 'F2C502'],
    ['hostAllocate', 'F2C502'],
    ['copyHostToDevice', 'F2C502'],
    ['streamCreate', 'F2C502'],
    ['streamWaitEvent', 'F2C502'],
    ['eventRecord', 'F2C502'],
    ['launchKernel', 'F2C502'],
  ])('run again after the driver had no memory for %s', async (call, code) => {
    const opened = await open(openMock, chainProvider(), { isKept: (piece) => piece % 2 === 0 });
    opened.driver!.failNext(call, outOfMemory);
    await expect(opened.run()).rejects.toMatchObject({ code });
    await opened.run();
    await opened.run();
    await opened.close();
  });

  /** A driver that leaves calls out. */
  function leaveOut(driver: MockCudaDriver, call: 'streamWaitEvent', which: (stream: bigint) => boolean): void {
    const original = driver[call].bind(driver);
    driver[call] = (stream, event) => (which(stream) ? 0 : original(stream, event));
  }

  const streamsOf = (driver: MockCudaDriver): readonly bigint[] => {
    const streams: bigint[] = [];
    const create = driver.streamCreate.bind(driver);
    driver.streamCreate = () => {
      const made = create();
      streams.push(made.value);
      return made;
    };
    return streams;
  };

  it('are found out when they do not wait for launches that read what was in their place', async () => {
    const { device, driver } = openMockDevice();
    const copies = streamsOf(driver);
    leaveOut(driver, 'streamWaitEvent', (stream) => copies.includes(stream));
    const opened = await open(() => ({ device, driver }), chainProvider());
    await expect(opened.run()).rejects.toThrow(
      /a copy to the device writes .* without waiting for the launch of product/,
    );
  });

  it('are found out when launches do not wait for them', async () => {
    const { device, driver } = openMockDevice();
    const copies = streamsOf(driver);
    leaveOut(driver, 'streamWaitEvent', (stream) => !copies.includes(stream));
    const opened = await open(() => ({ device, driver }), chainProvider());
    await expect(opened.run()).rejects.toThrow(
      /the launch of product reads .* without waiting for a copy to the device/,
    );
  });

  it.each(['early fetch', 'no arrival'] as const)('are found out when a plan has the bug: %s', async (bug) => {
    const opened = await open(openMock, chainProvider(), { bug });
    await expect(opened.run()).rejects.toThrow(
      /product .* without waiting for a copy|a copy .* without waiting for .* product/,
    );
  });
});

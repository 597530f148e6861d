import { promisify } from 'node:util';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { chooseAdapter, listAdapters, openDawn, parseAdapterList, sharesCompiledCode } from './dawn.js';
import { pauseBeforePoll, spaceDawnPolls } from './dawn-polling.js';

const listing = `no suitable backends found
Available adapters:
 * backend: 'vulkan', name: 'SwiftShader Device (Subzero)'
 * backend: 'vulkan', name: 'llvmpipe (LLVM 15.0.6, 256 bits)'
 * backend: 'vulkan', name: 'NVIDIA H100'
 * backend: 'null', name: 'Null backend'
`;

describe('choice of the adapter', () => {
  const adapters = parseAdapterList(listing);

  it('puts hardware first, then lavapipe, then SwiftShader', () => {
    expect(adapters.map((adapter) => adapter.name)).toEqual([
      'NVIDIA H100',
      'llvmpipe (LLVM 15.0.6, 256 bits)',
      'SwiftShader Device (Subzero)',
    ]);
  });

  it('takes a part of the name, the name of the driver or an index', () => {
    expect(chooseAdapter(adapters)?.name).toBe('NVIDIA H100');
    expect(chooseAdapter(adapters, 'nvidia')?.name).toBe('NVIDIA H100');
    expect(chooseAdapter(adapters, 'Lavapipe')?.name).toMatch(/^llvmpipe/);
    expect(chooseAdapter(adapters, '2')?.name).toMatch(/^SwiftShader/);
    expect(chooseAdapter(adapters, '3')).toBeUndefined();
    expect(chooseAdapter(adapters, 'radeon')).toBeUndefined();
  });
});

describe('machines without an adapter', () => {
  const before = process.env.VK_DRIVER_FILES;
  afterEach(() => {
    if (before === undefined) delete process.env.VK_DRIVER_FILES;
    else process.env.VK_DRIVER_FILES = before;
  });

  it.runIf(process.platform === 'linux')('gives a reason when there is no driver', async () => {
    process.env.VK_DRIVER_FILES = '/nonexistent/driver.json';
    expect(await listAdapters()).toEqual([]);
    const outcome = await openDawn();
    expect(outcome.adapter).toBeUndefined();
    if (outcome.adapter === undefined) expect(outcome.reason).toMatch(/no Vulkan driver/);
  });
});

describe('spacing of polls', () => {
  it('polls at once at first and near the expected end, and seldom in between', () => {
    expect(pauseBeforePoll(0.1, 0)).toBe(0);
    expect(pauseBeforePoll(1, 0)).toBe(1);
    expect(pauseBeforePoll(500, 0)).toBe(10);
    expect(pauseBeforePoll(60_000, 0)).toBe(16);
    expect(pauseBeforePoll(99, 100)).toBe(0);
    expect(pauseBeforePoll(101, 100)).toBe(0);
    expect(pauseBeforePoll(990, 1000)).toBe(8);
  });

  it('never sleeps past the expected end', () => {
    for (const expected of [1, 3, 10, 77, 1000])
      for (let elapsed = 0.5; elapsed < expected - 2.5; elapsed += 0.37)
        expect(elapsed + pauseBeforePoll(elapsed, expected)).toBeLessThanOrEqual(expected);
  });

  it('leaves other callers of setImmediate alone', async () => {
    spaceDawnPolls();
    const timers = vi.spyOn(globalThis, 'setTimeout');
    for (let index = 0; index < 200; index++) await new Promise<void>((resolve) => void setImmediate(resolve));
    for (let index = 0; index < 200; index++) {
      const bound = (resolve: (value: void) => void): void => void setImmediate(resolve.bind(undefined));
      await new Promise<void>(bound);
    }
    expect(timers).not.toHaveBeenCalled();
    timers.mockRestore();
    expect(await promisify(setImmediate)('value')).toBe('value');
  });
});

it('knows the driver whose code devices share, unless its cache is off', () => {
  const lavapipe = 'llvmpipe (LLVM 15.0.6, 256 bits)';
  expect(sharesCompiledCode(lavapipe, {})).toBe(true);
  expect(sharesCompiledCode(lavapipe, { MESA_SHADER_CACHE_DISABLE: 'true' })).toBe(false);
  expect(sharesCompiledCode(lavapipe, { MESA_SHADER_CACHE_DISABLE: 'false' })).toBe(true);
  expect(sharesCompiledCode('SwiftShader Device (LLVM 10.0.0)', {})).toBe(false);
});

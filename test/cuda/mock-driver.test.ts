import { beforeEach, describe, expect, it } from 'vitest';
import {
  type CudaEvent,
  type CudaFunction,
  type CudaModule,
  type CudaStream,
  type DevicePointer,
  offsetPointer,
  type PinnedMemory,
} from '../../runtime/cuda/driver.js';
import { MockCudaDriver, type MockKernel } from './mock-driver.js';

/** y = 2 x. */
const double: MockKernel = {
  buffers: [{ access: 'read' }, { access: 'write' }],
  parameters: 1,
  blockSize: 4,
  run: ([x, y], parameters) => {
    for (let index = 0; index < parameters[0]!; index++) y![index] = 2 * x![index]!;
  },
};

describe('the mock driver', () => {
  let driver: MockCudaDriver;
  let stream: CudaStream;
  let module: CudaModule;
  let kernel: CudaFunction;

  beforeEach(() => {
    driver = new MockCudaDriver({ totalBytes: 4096, kernelOf: (_, name) => (name === 'double' ? double : undefined) });
    driver.init();
    driver.contextSetCurrent(driver.primaryContextRetain().value);
    stream = driver.streamCreate().value;
    module = driver.moduleLoadData(new Uint8Array(4)).value;
    kernel = driver.moduleGetFunction(module, 'double').value;
  });

  const allocate = (bytes = 16): DevicePointer => driver.memoryAllocate(bytes).value;
  const pin = (values: readonly number[] = [1, 2, 3, 4]): PinnedMemory => {
    const memory = driver.hostAllocate(values.length).value;
    memory.bytes.set(values);
    return memory;
  };
  const launch = (x: DevicePointer, y: DevicePointer, on = stream, more: object = {}): number =>
    driver.launchKernel({ function: kernel, grid: [1, 1, 1], blockSize: 4, sharedBytes: 0, stream: on, pointers: [x, y], spans: [4, 4], tensorMaps: [], parameters: Int32Array.of(4), ...more }); // prettier-ignore
  /** x on the device with 1, 2, 3, 4 in it, and y. */
  const filled = (): readonly [DevicePointer, DevicePointer] => {
    const [x, y] = [allocate(), allocate()];
    driver.copyHostToDevice(x, pin().pointer, 4, stream);
    return [x, y];
  };
  const readBack = (from: DevicePointer): number[] => {
    const target = driver.hostAllocate(4).value;
    driver.copyDeviceToHost(target.pointer, from, 4, stream);
    driver.streamSynchronize(stream);
    return [...target.bytes];
  };
  const event = (timing = false): CudaEvent => driver.eventCreate(timing).value;

  it('computes in the order of a stream, when somebody waits', () => {
    const [x, y] = filled();
    launch(x, y);
    launch(y, x);
    expect(readBack(x)).toEqual([4, 8, 12, 16]);
  });

  it('replays a graph with what memory holds then', () => {
    const [x, y] = filled();
    driver.streamBeginCapture(stream);
    launch(x, y);
    driver.copyDeviceToDevice(x, y, 4, stream);
    const graph = driver.streamEndCapture(stream).value;
    const exec = driver.graphInstantiate(graph).value;
    driver.graphDestroy(graph);
    expect(readBack(x)).toEqual([1, 2, 3, 4]);
    driver.graphLaunch(exec, stream);
    driver.graphLaunch(exec, stream);
    expect(readBack(x)).toEqual([4, 8, 12, 16]);
  });

  it('lists what is not given back', () => {
    const [x] = filled();
    expect(driver.leaks).toHaveLength(6);
    expect(driver.leaks.join()).toMatch(
      /device memory 0.*device memory 1.*pinned memory 0.*stream.*module.*context retained 1/,
    );
    driver.streamSynchronize(stream);
    driver.memoryFree(x);
    expect(driver.leaks.join()).not.toContain('device memory 0');
  });

  it('runs out of memory', () => {
    expect(driver.memoryAllocate(4097).result).toBe(2);
  });

  const broken: readonly (readonly [string, () => unknown, RegExp])[] = [
    ['a launch on freed memory', () => {
      const [x, y] = filled();
      driver.streamSynchronize(stream);
      driver.memoryFree(x);
      launch(x, y);
    }, /device memory 0 .* used after it was freed/],
    ['a graph on freed memory', () => {
      const [x, y] = filled();
      driver.streamBeginCapture(stream);
      launch(x, y);
      const exec = driver.graphInstantiate(driver.streamEndCapture(stream).value).value;
      driver.streamSynchronize(stream);
      driver.memoryFree(y);
      driver.graphLaunch(exec, stream);
    }, /device memory 1 .* used after it was freed/],
    ['a launch that reads what nothing wrote', () => {
      launch(allocate(), allocate());
      driver.streamSynchronize(stream);
    }, /device memory 0 .* read before anything was written/],
    ['a copy of what was written in part', () => {
      const [x, y] = filled();
      driver.copyDeviceToDevice(y, x, 8, stream);
      driver.streamSynchronize(stream);
    }, /device memory 0 .* read before anything was written/],
    ['a copy past the end', () => driver.copyHostToDevice(offsetPointer(allocate(), 13), pin().pointer, 4, stream), /bytes 13 to 17 are out of the 16/],
    ['a copy out of pinned memory past its end', () => driver.copyHostToDevice(allocate(), pin().pointer, 5, stream), /bytes 0 to 5 are out of the 4 of pinned/],
    ['a memset past the end', () => driver.memset(allocate(), 0, 17, stream), /bytes 0 to 17/],
    ['an overlapping copy', () => {
      const [x] = filled();
      driver.copyDeviceToDevice(offsetPointer(x, 2), x, 4, stream);
    }, /overlap/],
    ['pinned memory changed while the copy is on its way', () => {
      const memory = pin();
      driver.copyHostToDevice(allocate(), memory.pointer, 4, stream);
      memory.bytes[0] = 9;
      driver.streamSynchronize(stream);
    }, /pinned memory 0 .* changed before the stream reached/],
    ['pinned memory freed while the copy is on its way', () => {
      const memory = pin();
      driver.copyHostToDevice(allocate(), memory.pointer, 4, stream);
      driver.hostFree(memory);
    }, /hostFree while work that uses it is queued/],
    ['memory freed while a launch is on its way', () => {
      const [x, y] = filled();
      launch(x, y);
      driver.memoryFree(x);
    }, /memoryFree while work/],
    ['a graph destroyed while it runs', () => {
      const [x, y] = filled();
      driver.streamBeginCapture(stream);
      launch(x, y);
      const exec = driver.graphInstantiate(driver.streamEndCapture(stream).value).value;
      driver.graphLaunch(exec, stream);
      driver.graphExecDestroy(exec);
    }, /graphExecDestroy while work/],
    ['a module unloaded while its kernel runs', () => {
      launch(...filled());
      driver.moduleUnload(module);
    }, /moduleUnload while work/],
    ['a kernel of an unloaded module', () => {
      driver.moduleUnload(module);
      launch(...filled());
    }, /a function is used after it was destroyed/],
    ['memory freed twice', () => {
      const x = allocate();
      driver.memoryFree(x);
      driver.memoryFree(x);
    }, /freed twice/],
    ['an event destroyed twice', () => {
      const one = event();
      driver.eventDestroy(one);
      driver.eventDestroy(one);
    }, /an? event is used after it was destroyed/],
    ['a stream destroyed with work on it', () => {
      launch(...filled());
      driver.streamDestroy(stream);
    }, /a stream is destroyed with work/],
    ['an allocation during a capture', () => {
      driver.streamBeginCapture(stream);
      allocate();
    }, /memoryAllocate is called during a capture/],
    ['a wait during a capture', () => {
      driver.streamBeginCapture(stream);
      driver.streamSynchronize(stream);
    }, /streamSynchronize is called during a capture/],
    ['an event of a capture that is waited for', () => {
      const one = event();
      driver.streamBeginCapture(stream);
      driver.eventRecord(one, stream, false);
      driver.streamEndCapture(stream);
      driver.eventQuery(one);
    }, /an event of a capture/],
    ['a capture within a capture', () => {
      driver.streamBeginCapture(stream);
      driver.streamBeginCapture(stream);
    }, /within another/],
    ['the end of a capture that has not begun', () => driver.streamEndCapture(stream), /has not begun/],
    ['a launch with the wrong arguments', () => launch(...filled(), stream, { parameters: Int32Array.of(1, 2) }), /2 pointers and 2 integers/],
    ['a launch with too much shared memory', () => launch(...filled(), stream, { sharedBytes: 50_000 }), /has not asked for them/],
    ['a launch with another block size', () => launch(...filled(), stream, { blockSize: 8 }), /blocks of 8/],
    ['another stream that does not wait', () => {
      const [x, y] = filled();
      launch(x, y, driver.streamCreate().value);
    }, /the launch of double reads device memory 0 .* without waiting for a copy to the device on another stream/],
    ['another stream that overwrites what is read', () => {
      const [x, y] = filled();
      driver.streamSynchronize(stream);
      launch(x, y);
      driver.memset(x, 0, 4, driver.streamCreate().value);
    }, /a memset writes device memory 0 .* without waiting for the launch/],
    ['an event recorded too early', () => {
      const [x, y] = filled();
      const [one, other] = [event(), driver.streamCreate().value];
      driver.streamSynchronize(stream);
      driver.eventRecord(one, stream, false);
      driver.memset(x, 0, 4, stream);
      driver.streamWaitEvent(other, one);
      launch(x, y, other);
    }, /without waiting for a memset/],
    ['an event without timing that is read', () => driver.eventElapsedMilliseconds(event(), event()), /without timing/],
    ['an event that is read too early', () => driver.eventElapsedMilliseconds(event(true), event(true)), /before it was reached/],
    ['a call without a context', () => {
      driver.contextSetCurrent(undefined);
      allocate();
    }, /memoryAllocate without a context/],
    ['a context released twice', () => {
      driver.primaryContextRelease();
      driver.primaryContextRelease();
    }, /more often/],
  ]; // prettier-ignore

  it.each(broken)('refuses %s', (_, act, message) => {
    expect(act).toThrow(message);
  });

  it('lets another stream go on behind an event, and behind this thread', () => {
    const [x, y] = filled();
    const [one, other] = [event(), driver.streamCreate().value];
    driver.eventRecord(one, stream, false);
    driver.streamWaitEvent(other, one);
    launch(x, y, other);
    driver.streamSynchronize(other);
    expect(readBack(y)).toEqual([2, 4, 6, 8]);
  });

  it('is asked twice for an event that work stands before', () => {
    const one = event();
    filled();
    driver.eventRecord(one, stream, false);
    expect([driver.eventQuery(one).value, driver.eventQuery(one).value]).toEqual([false, true]);
  });

  it('fails for good when a launch breaks the context', () => {
    driver.failLaunch('double', 700);
    expect(launch(...filled())).toBe(0);
    expect(driver.streamSynchronize(stream)).toBe(700);
    expect(driver.memoryAllocate(4).result).toBe(700);
  });
});

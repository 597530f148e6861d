/**
 * A CUDA driver without a GPU: keeps the rules that libcuda leaves to its callers, and computes with functions that the
 * test gives. Broken rules throw `CudaViolation`; `leaks` lists what was not given back.
 */
import {
  type CudaDriver,
  type CudaEvent,
  type CudaGraph,
  type CudaGraphExec,
  type CudaLaunch,
  type CudaOutcome,
  type CudaResult,
  type CudaStream,
  type EncodedTensorMap,
  type TensorMapDescription,
} from '../../runtime/cuda/driver.js';
import { MockMemoryDriver } from './mock-driver-memory.js';
import type { MockFunction, MockGraph } from './mock-driver-state.js';
import { bytesOf, CudaViolation, markWritten, requireWritten } from './mock-memory.js';
import { type MockEvent, type MockStream, MockStreams } from './mock-streams.js';

export type { MockDriverOptions, MockKernel } from './mock-driver-state.js';

export class MockCudaDriver extends MockMemoryDriver implements CudaDriver {
  streamCreate(): CudaOutcome<CudaStream> {
    const result = this.enter('streamCreate');
    const stream: MockStream = { kind: 'stream', handle: this.handle(), isLive: true, pending: [], clock: new Map(), queued: 0, done: 0, capture: undefined }; // prettier-ignore
    if (result !== 0) return { result, value: 0n as CudaStream };
    this.streams.add(stream);
    return this.made<CudaStream>(stream);
  }

  streamDestroy(stream: CudaStream): CudaResult {
    this.calls.push('streamDestroy');
    const { pending } = this.destroyObject(stream, 'stream') as MockStream;
    if (pending.length > 0 && this.sticky === 0) throw new CudaViolation('a stream is destroyed with work on it');
    return this.sticky;
  }

  streamSynchronize(stream: CudaStream): CudaResult {
    const result = this.enterOutsideCapture('streamSynchronize');
    const owned = this.object<MockStream>(stream, 'stream');
    this.streams.synchronize(owned, owned.queued, owned.clock);
    return result || this.sticky;
  }

  streamWaitEvent(stream: CudaStream, event: CudaEvent): CudaResult {
    const result = this.enter('streamWaitEvent');
    this.streams.wait(this.object<MockStream>(stream, 'stream'), this.object<MockEvent>(event, 'event'));
    return result;
  }

  eventCreate(timing: boolean): CudaOutcome<CudaEvent> {
    const result = this.enter('eventCreate');
    if (result !== 0) return { result, value: 0n as CudaEvent };
    const event: MockEvent = { kind: 'event', handle: this.handle(), isLive: true, timing, record: undefined, time: undefined, isCaptured: false, queries: 0 }; // prettier-ignore
    return this.made<CudaEvent>(event);
  }

  eventRecord(event: CudaEvent, stream: CudaStream, external: boolean): CudaResult {
    const result = this.enter('eventRecord');
    const owned = this.object<MockEvent>(event, 'event');
    const onto = this.object<MockStream>(stream, 'stream');
    if (onto.capture === undefined) {
      owned.isCaptured = false;
      this.streams.record(owned, onto);
    } else if (external) {
      onto.capture.push({
        name: 'an event',
        accesses: [],
        needs: [owned],
        run: () => (owned.time = MockStreams.now()),
      });
    } else owned.isCaptured = true;
    return result;
  }

  eventQuery(event: CudaEvent): CudaOutcome<boolean> {
    const result = this.enterOutsideCapture('eventQuery');
    const owned = this.object<MockEvent>(event, 'event');
    if (owned.isCaptured) throw new CudaViolation('an event of a capture is asked for');
    // The first time nothing has happened yet, as on a GPU.
    if (owned.record === undefined || owned.queries++ > 0) {
      this.reach(owned);
      return { result: result || this.sticky, value: true };
    }
    return { result, value: false };
  }

  eventSynchronize(event: CudaEvent): CudaResult {
    const result = this.enterOutsideCapture('eventSynchronize');
    const owned = this.object<MockEvent>(event, 'event');
    if (owned.isCaptured) throw new CudaViolation('an event of a capture is waited for');
    this.reach(owned);
    return result || this.sticky;
  }

  eventElapsedMilliseconds(start: CudaEvent, end: CudaEvent): CudaOutcome<number> {
    const result = this.enter('eventElapsedMilliseconds');
    const [first, second] = [this.object<MockEvent>(start, 'event'), this.object<MockEvent>(end, 'event')];
    if (!first.timing || !second.timing) throw new CudaViolation('an event without timing is read');
    if (first.time === undefined || second.time === undefined)
      throw new CudaViolation('an event is read before it was reached');
    return { result, value: (second.time - first.time) / 1000 };
  }

  eventDestroy(event: CudaEvent): CudaResult {
    this.calls.push('eventDestroy');
    this.destroyObject(event, 'event');
    return this.sticky;
  }

  tensorMapEncode(map: TensorMapDescription): CudaOutcome<EncodedTensorMap> {
    const result = this.enter('tensorMapEncode');
    return { result, value: this.tensorMaps.encode(map) };
  }

  launchKernel(launch: CudaLaunch): CudaResult {
    const result = this.enter('launchKernel');
    const called = this.object<MockFunction>(launch.function, 'function');
    const { kernel, name, module, maxSharedBytes } = called;
    const { grid, blockSize, sharedBytes, pointers, spans, parameters, tensorMaps } = launch;
    if (spans.length !== pointers.length) throw new CudaViolation(`${name} is launched with ${spans.length} spans`);
    if (pointers.length !== kernel.buffers.length || parameters.length !== kernel.parameters)
      throw new CudaViolation(`${name} is launched with ${pointers.length} pointers and ${parameters.length} integers`);
    if (tensorMaps.length !== (kernel.tensorMaps ?? 0))
      throw new CudaViolation(`${name} is launched with ${tensorMaps.length} tensor maps`);
    if (grid.some((count) => count < 1) || grid[1] > 65535 || grid[2] > 65535) return result || 1;
    if (blockSize !== kernel.blockSize) throw new CudaViolation(`${name} is launched with blocks of ${blockSize}`);
    if (sharedBytes > maxSharedBytes)
      throw new CudaViolation(
        `${name} is launched with ${sharedBytes} bytes of shared memory and has not asked for them`,
      );
    const accesses = pointers.map((pointer, index) => {
      return this.memory.access(pointer, spans[index]!, kernel.buffers[index]!.access !== 'read');
    });
    const values = parameters.slice();
    const mapped = tensorMaps.map((map) => this.tensorMaps.accessOf(map));
    this.queue(launch.stream, `the launch of ${name}`, [...accesses, ...mapped], [module], () => {
      this.sticky ||= this.failingLaunches.get(name) ?? 0;
      if (this.sticky !== 0) return;
      accesses.forEach((access, index) => {
        if (kernel.buffers[index]!.access !== 'write') requireWritten(access, 'any');
      });
      kernel.run(accesses.map(bytesOf), values, grid);
      for (const access of accesses) if (access.writes) markWritten(access);
    });
    return result;
  }

  streamBeginCapture(stream: CudaStream): CudaResult {
    const result = this.enter('streamBeginCapture');
    const owned = this.object<MockStream>(stream, 'stream');
    if (owned.capture !== undefined) throw new CudaViolation('a capture begins within another one');
    if (result === 0) owned.capture = [];
    return result;
  }

  streamEndCapture(stream: CudaStream): CudaOutcome<CudaGraph> {
    const result = this.enter('streamEndCapture');
    const owned = this.object<MockStream>(stream, 'stream');
    const operations = owned.capture;
    if (operations === undefined) throw new CudaViolation('a capture ends that has not begun');
    owned.capture = undefined;
    if (result !== 0) return { result, value: 0n as CudaGraph };
    return this.made<CudaGraph>({ kind: 'graph', handle: this.handle(), isLive: true, operations });
  }

  graphInstantiate(graph: CudaGraph): CudaOutcome<CudaGraphExec> {
    const result = this.enter('graphInstantiate');
    const { operations } = this.object<MockGraph>(graph, 'graph');
    if (result !== 0) return { result, value: 0n as CudaGraphExec };
    return this.made<CudaGraphExec>({ kind: 'graph exec', handle: this.handle(), isLive: true, operations });
  }

  graphLaunch(exec: CudaGraphExec, stream: CudaStream): CudaResult {
    const result = this.enter('graphLaunch');
    const owned = this.object<MockGraph>(exec, 'graph exec');
    const onto = this.object<MockStream>(stream, 'stream');
    for (const operation of owned.operations)
      this.streams.queue(onto, { ...operation, needs: [...operation.needs, owned] });
    return result;
  }

  graphExecDestroy(exec: CudaGraphExec): CudaResult {
    this.calls.push('graphExecDestroy');
    const owned = this.destroyObject(exec, 'graph exec');
    this.requireIdle('graphExecDestroy', ({ needs }) => needs.includes(owned));
    return this.sticky;
  }

  graphDestroy(graph: CudaGraph): CudaResult {
    this.calls.push('graphDestroy');
    this.destroyObject(graph, 'graph');
    return this.sticky;
  }
}

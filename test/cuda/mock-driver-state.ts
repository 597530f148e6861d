/** What the parts of the mock driver share, and its answers about the device. */
import { type CudaContext, cudaDeviceAttributes, type CudaDeviceId, type CudaDriver, type CudaOutcome, type CudaResult, type CudaStream } from '../../runtime/cuda/driver.js'; // prettier-ignore
import { AddressSpace, type Allocation, CudaViolation, describe } from './mock-memory.js';
import { MockTensorMaps } from './mock-tensor-maps.js';
import { type MockEvent, type MockObject, type MockStream, MockStreams, type Operation } from './mock-streams.js';

/** What a function of a module is. */
export interface MockKernel {
  readonly buffers: readonly { readonly access: 'read' | 'write' | 'read_write' }[];
  readonly parameters: number;
  /** How many it takes; none when left out. */
  readonly tensorMaps?: number;
  readonly blockSize: number;
  /** Gets as much memory from each pointer on as the launch says that it touches. */
  run(buffers: readonly Uint8Array[], parameters: Int32Array, grid: readonly [number, number, number]): void;
}

export interface MockDriverOptions {
  readonly capability?: readonly [number, number];
  readonly totalBytes?: number;
  readonly driverVersion?: number;
  readonly name?: string;
  /** The functions of a module's image. */
  readonly kernelOf?: (image: Uint8Array, name: string) => MockKernel | undefined;
}

export interface MockModule extends MockObject {
  readonly image: Uint8Array;
}
export interface MockFunction extends MockObject {
  readonly module: MockModule;
  readonly name: string;
  readonly kernel: MockKernel;
  maxSharedBytes: number;
}
export interface MockGraph extends MockObject {
  readonly operations: readonly Operation[];
}

/** A thing that `leaks` names. */
type Leaking = MockModule | MockGraph | MockStream | MockEvent;

const device = 3 as CudaDeviceId;

export class MockDriverState {
  /** Names of all calls, in order. */
  readonly calls: string[] = [];
  protected readonly memory = new AddressSpace('device');
  protected readonly pinned = new AddressSpace('pinned');
  readonly tensorMaps = new MockTensorMaps(this.memory);
  protected readonly streams = new MockStreams();
  protected readonly objects = new Map<bigint, Leaking | MockFunction>();
  private readonly failures = new Map<string, CudaResult>();
  protected readonly failingLaunches = new Map<string, CudaResult>();
  protected sticky: CudaResult = 0;
  protected retained = 0;
  protected current: CudaContext | undefined;
  protected nextHandle = 0x1000n;

  constructor(protected readonly options: MockDriverOptions = {}) {}

  /** The next call of this name gives `result`. */
  failNext(name: keyof CudaDriver, result: CudaResult): void {
    this.failures.set(name, result);
  }

  /** When a launch of this function runs, it breaks the context, as an illegal address does. */
  failLaunch(functionName: string, result: CudaResult): void {
    this.failingLaunches.set(functionName, result);
  }

  count(name: keyof CudaDriver): number {
    return this.calls.filter((call) => call === name).length;
  }

  get leaks(): readonly string[] {
    const objects = [...this.objects.values()].filter(({ kind, isLive }) => isLive && kind !== 'function');
    return [
      ...[...this.memory.live, ...this.pinned.live].map(describe),
      ...objects.map(({ kind, handle }) => `${kind} ${handle.toString(16)}`),
      ...(this.retained === 0 ? [] : [`context retained ${this.retained} times`]),
    ];
  }

  get pinnedBytes(): number {
    return this.pinned.liveBytes;
  }

  init(): CudaResult {
    return this.enter('init');
  }

  driverVersion(): CudaOutcome<number> {
    return { result: this.enter('driverVersion'), value: this.options.driverVersion ?? 13000 };
  }

  deviceCount(): CudaOutcome<number> {
    return { result: this.enter('deviceCount'), value: 1 };
  }

  deviceGet(ordinal: number): CudaOutcome<CudaDeviceId> {
    const result = this.enter('deviceGet');
    return { result: ordinal === 0 ? result : 101, value: device };
  }

  deviceName(): CudaOutcome<string> {
    return { result: this.enter('deviceName'), value: this.options.name ?? 'Mock GPU' };
  }

  deviceTotalMemory(): CudaOutcome<number> {
    return { result: this.enter('deviceTotalMemory'), value: this.totalBytes };
  }

  deviceAttribute(_device: CudaDeviceId, attribute: number): CudaOutcome<number> {
    const [major, minor] = this.options.capability ?? [9, 0];
    const values = new Map<number, number>([
      [cudaDeviceAttributes.computeCapabilityMajor, major],
      [cudaDeviceAttributes.computeCapabilityMinor, minor],
      [cudaDeviceAttributes.blockMemory, 227 * 1024],
      [cudaDeviceAttributes.multiprocessors, 132],
    ]);
    const value = values.get(attribute);
    return { result: value === undefined ? 1 : this.enter('deviceAttribute'), value: value ?? 0 };
  }

  primaryContextRetain(): CudaOutcome<CudaContext> {
    const result = this.enter('primaryContextRetain');
    if (result === 0) this.retained++;
    return { result, value: 0xc0n as CudaContext };
  }

  primaryContextRelease(): CudaResult {
    this.calls.push('primaryContextRelease');
    if (this.retained-- === 0) throw new CudaViolation('the context is released more often than retained');
    return 0;
  }

  contextSetCurrent(context: CudaContext | undefined): CudaResult {
    if (context !== undefined && this.retained === 0) throw new CudaViolation('the context is not retained');
    this.current = context;
    return this.enter('contextSetCurrent');
  }

  errorName(result: CudaResult): string {
    const names = new Map([
      [2, 'CUDA_ERROR_OUT_OF_MEMORY'],
      [700, 'CUDA_ERROR_ILLEGAL_ADDRESS'],
    ]);
    return names.get(result) ?? `CUDA_ERROR_MOCK_${result}`;
  }

  errorText(result: CudaResult): string {
    return `what ${result} means`;
  }

  protected get totalBytes(): number {
    return this.options.totalBytes ?? 2 ** 32;
  }

  protected enter(name: keyof CudaDriver): CudaResult {
    this.calls.push(name);
    const free = ['init', 'driver', 'device', 'primary', 'context'].some((prefix) => name.startsWith(prefix));
    if (!free && this.current === undefined) throw new CudaViolation(`${name} without a context`);
    const planned = this.failures.get(name);
    this.failures.delete(name);
    return planned ?? this.sticky;
  }

  protected enterOutsideCapture(name: keyof CudaDriver): CudaResult {
    const result = this.enter(name);
    this.forbidInCapture(name);
    return result;
  }

  protected forbidInCapture(name: keyof CudaDriver): void {
    for (const object of this.objects.values()) {
      if (object.isLive && 'capture' in object && object.capture !== undefined)
        throw new CudaViolation(`${name} is called during a capture`);
    }
  }

  protected queue(
    stream: CudaStream,
    name: string,
    accesses: Operation['accesses'],
    needs: Operation['needs'],
    run: () => void,
  ): void {
    const guarded = (): void => {
      if (this.sticky === 0) run();
    };
    this.streams.queue(this.object<MockStream>(stream, 'stream'), { name, accesses, needs, run: guarded });
  }

  protected reach({ record }: MockEvent): void {
    if (record !== undefined) this.streams.synchronize(record.stream, record.tick, record.clock);
  }

  protected requireUnused(name: string, allocation: Allocation): void {
    this.requireIdle(name, ({ accesses }) => accesses.some((access) => access.allocation === allocation));
  }

  protected requireIdle(name: string, uses: (operation: Operation) => boolean): void {
    if (this.sticky === 0 && this.streams.isPending(uses))
      throw new CudaViolation(`${name} while work that uses it is queued`);
  }

  protected handle(): bigint {
    return this.nextHandle++;
  }

  protected made<T extends bigint>(object: Leaking | MockFunction): CudaOutcome<T> {
    this.objects.set(object.handle, object);
    return { result: 0, value: object.handle as T };
  }

  protected object<T extends MockObject>(handle: bigint, kind: T['kind']): T {
    const object = this.objects.get(handle);
    if (object?.kind !== kind) throw new CudaViolation(`${handle.toString(16)} is no ${kind}`);
    if (!object.isLive) throw new CudaViolation(`a ${kind} is used after it was destroyed`);
    return object as MockObject as T;
  }

  protected destroyObject(handle: bigint, kind: string): MockObject {
    const object = this.object(handle, kind);
    object.isLive = false;
    return object;
  }
}

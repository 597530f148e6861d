/** A kernel's launch on buffers of its own with made-up contents, under any schedule of the kernel. */
import { viewElements, widen } from '../../ir/kernel/thread-interpret-memory.js';
import type { BufferParameter, StorageType } from '../../ir/kernel/thread.js';
import type { BoundLaunch, Device, DeviceBuffer, Sequence } from '../device.js';
import type { LoadableKernel, PlannedBinding, PlannedLaunch } from '../plan/bound-plan.js';
import { roundUp } from '../plan/storage-layout.js';

/** A launch, in pieces where it is cut, of one kernel. */
export interface SampleLaunch {
  readonly kernel: LoadableKernel;
  readonly pieces: readonly PlannedLaunch[];
}

/** What a launch binds at one place of its kernel's buffers, in one buffer of the plan. */
interface Window {
  readonly place: number;
  /** Of the plan's buffers that are bound at this place, which. */
  readonly rank: number;
  readonly buffer: number;
  readonly from: number;
  readonly end: number;
}

/** The largest outputs are compared in three parts of this many bytes: begin, middle, end. */
const comparedBytes = 16 * 2 ** 20;
const pieceBytes = 4 * 2 ** 20;
/** No power of two, so that no address that is off by one sees the same number. */
const patternWords = 262_139;

/** Buffers for a launch, which the same launch under other schedules can use. */
export class LaunchSample {
  private constructor(
    private readonly device: Device,
    private readonly buffers: ReadonlyMap<string, DeviceBuffer>,
    private readonly outputs: readonly { readonly key: string; readonly parameter: BufferParameter }[],
  ) {}

  /** Errors of the device, which has to have room for what the launch binds. */
  static async create(device: Device, launch: SampleLaunch): Promise<LaunchSample> {
    const buffers = new Map<string, DeviceBuffer>();
    const outputs: { readonly key: string; readonly parameter: BufferParameter }[] = [];
    const sample = new LaunchSample(device, buffers, outputs);
    try {
      for (const window of windowsOf(launch.pieces)) {
        const key = keyOf(window);
        const parameter = launch.kernel.thread.buffers[window.place] as BufferParameter;
        const buffer = device.createBuffer(roundUp(window.end - window.from, 16), `sample ${key}`);
        buffers.set(key, buffer);
        if (parameter.access === 'read') await fill(device, buffer, patternOf(parameter.storage, buffers.size));
        else outputs.push({ key, parameter });
      }
    } catch (error) {
      sample.destroy();
      throw error;
    }
    return sample;
  }

  /** The launch so many times in one sequence; undefined where it binds more than there is, so that it is not the same work. */
  record({ kernel, pieces }: SampleLaunch, times: number): Sequence | undefined {
    const windows = new Map(windowsOf(pieces).map((window) => [`${window.place} ${window.buffer}`, window]));
    const bound: BoundLaunch[] = [];
    for (const { label, parameters, workgroups, bindings } of pieces) {
      const own = bindings.map((binding, place) => this.bindingOf(binding, windows.get(`${place} ${binding.buffer}`)));
      const known = own.filter((binding) => binding !== undefined);
      if (known.length < own.length) return undefined;
      bound.push({ kernel: kernel.name, label, parameters, workgroups, bindings: known });
    }
    return this.device.record(Array.from({ length: times }, () => bound).flat(), `tuning of ${kernel.name}`);
  }

  private bindingOf(
    { byteOffset, byteLength }: PlannedBinding,
    window: Window | undefined,
  ): BoundLaunch['bindings'][number] | undefined {
    const buffer = window && this.buffers.get(keyOf(window));
    if (window === undefined || buffer === undefined) return undefined;
    const from = byteOffset - window.from;
    return from + byteLength > buffer.byteLength ? undefined : { buffer, byteOffset: from, byteLength };
  }

  /** Runs a sequence on outputs that hold no numbers, and gives what they hold then. */
  async outputsOf(sequence: Sequence): Promise<readonly Output[]> {
    for (const { key } of this.outputs) {
      await fill(this.device, this.buffers.get(key) as DeviceBuffer, new Uint8Array(4096).fill(0xff));
    }
    this.device.run(sequence);
    const outputs: Output[] = [];
    for (const { key, parameter } of this.outputs) {
      const buffer = this.buffers.get(key) as DeviceBuffer;
      const parts: Uint8Array[] = [];
      for (const [from, end] of comparedParts(buffer.byteLength))
        parts.push(await this.device.read(buffer, from, end - from));
      outputs.push({ storage: parameter.storage, parts });
    }
    return outputs;
  }

  destroy(): void {
    for (const buffer of this.buffers.values()) buffer.destroy();
  }
}

export interface Output {
  readonly storage: StorageType;
  readonly parts: readonly Uint8Array[];
}

/** The largest relative L2 distance of an output; infinite where one has a number and the other none. */
export function distanceOf(got: readonly Output[], want: readonly Output[]): number {
  return Math.max(0, ...want.map((output, place) => distanceOfOutput(got[place], output)));
}

function distanceOfOutput(got: Output | undefined, want: Output): number {
  let [difference, norm] = [0, 0];
  for (const [place, bytes] of want.parts.entries()) {
    const other = got?.parts[place];
    if (other?.byteLength !== bytes.byteLength) return Infinity;
    const [a, b] = [viewElements(want.storage, other), viewElements(want.storage, bytes)];
    for (let at = 0; at < b.length; at++) {
      const [x, y] = [widen(want.storage, a[at] as number), widen(want.storage, b[at] as number)];
      if (Object.is(x, y)) continue;
      if (!Number.isFinite(x) || !Number.isFinite(y)) return Infinity;
      difference += (x - y) ** 2;
      norm += y * y;
    }
  }
  return difference === 0 ? 0 : Math.sqrt(difference / norm);
}

/** How far sums in another order may lie apart: numbers of 16 and 8 bits may be rounded either way. */
export function toleranceOf(outputs: readonly Output[]): number {
  const isNarrow = outputs.some(({ storage }) => storage !== 'f32' && storage !== 'i32' && storage !== 'u32');
  return isNarrow ? 2e-2 : 1e-3;
}

function keyOf({ place, rank }: Window): string {
  return `${place}.${rank}`;
}

function windowsOf(pieces: readonly PlannedLaunch[]): readonly Window[] {
  const places = pieces[0]?.bindings.length ?? 0;
  return Array.from({ length: places }, (_, place) => {
    const bindings = pieces.map((piece) => piece.bindings[place] as PlannedBinding);
    const buffers = [...new Set(bindings.map(({ buffer }) => buffer))].sort((a, b) => a - b);
    return buffers.map((buffer, rank): Window => {
      const own = bindings.filter((binding) => binding.buffer === buffer);
      const from = Math.min(...own.map(({ byteOffset }) => byteOffset));
      const end = Math.max(...own.map(({ byteOffset, byteLength }) => byteOffset + byteLength));
      return { place, rank, buffer, from, end };
    });
  }).flat();
}

function comparedParts(byteLength: number): readonly (readonly [number, number])[] {
  if (byteLength <= 3 * comparedBytes) return [[0, byteLength]];
  const middle = roundUp((byteLength - comparedBytes) / 2, 16);
  return [
    [0, comparedBytes],
    [middle, middle + comparedBytes],
    [byteLength - comparedBytes, byteLength],
  ];
}

/** Repeats a pattern; devices keep copies of what is written until it has arrived, so they are waited for now and then. */
async function fill(device: Device, buffer: DeviceBuffer, pattern: Uint8Array): Promise<void> {
  const repeats = Math.max(1, Math.floor(pieceBytes / pattern.byteLength));
  const piece = new Uint8Array(repeats * pattern.byteLength);
  for (let at = 0; at < repeats; at++) piece.set(pattern, at * pattern.byteLength);
  for (let at = 0, count = 1; at < buffer.byteLength; at += piece.byteLength, count++) {
    device.write(buffer, at, piece.subarray(0, Math.min(piece.byteLength, buffer.byteLength - at)));
    if (count % 32 === 0) await device.finish();
  }
  await device.finish();
}

/**
 * Numbers from 0.25 to 1, each another: nothing that grows, vanishes or is not a number, and whoever reads the wrong one computes
 * something else. Integers are small, flags mostly set.
 */
function patternOf(storage: StorageType, seed: number): Uint8Array {
  const words = new Uint32Array(patternWords);
  let state = Math.imul(seed, 0x9e3779b9) | 1;
  for (let at = 0; at < words.length; at++) {
    // Marsaglia's xorshift32.
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[at] = wordOf(storage, state >>> 0);
  }
  return new Uint8Array(words.buffer);
}

function wordOf(storage: StorageType, bits: number): number {
  switch (storage) {
    case 'f32':
      // Exponents of 1/4 and 1/2.
      return (0x3e800000 + (bits & 0xffffff)) >>> 0;
    case 'bf16':
      return ((bits & 0x00ff00ff) + 0x3e803e80) >>> 0;
    case 'f16':
      return ((bits & 0x07ff07ff) + 0x34003400) >>> 0;
    case 'f8e4m3':
      return ((bits & 0x0f0f0f0f) + 0x28282828) >>> 0;
    case 'i32':
    case 'u32':
      return bits & 7;
    case 'i8':
    case 'u8':
      return bits;
    case 'bool':
      return (bits | (bits >>> 1)) & 0x01010101;
  }
}

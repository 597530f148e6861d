import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16, f32ToF8e4m3, f8e4m3ToF32 } from '../dtype.js';
import { Flux2cError, unreachable } from '../diagnostics.js';
import type { BufferParameter, RegisterType, StorageType } from './thread.js';
import type { Order } from './thread-interpret-order.js';

/** Lane values of all invocations of a workgroup: element `invocation * lanes + lane`. Stores round to the scalar type. */
export type Values = Float32Array | Int32Array | Uint32Array | Uint8Array;

/** Elements of a buffer as they lie there: 16-bit floats are their bits. */
type StoredElements = Values | Uint16Array | Int8Array;

export function createValues(type: RegisterType, invocations: number): Values {
  const length = type.lanes * invocations;
  switch (type.scalar) {
    case 'f32':
    case 'f16':
      return new Float32Array(length);
    case 'i32':
      return new Int32Array(length);
    case 'u32':
      return new Uint32Array(length);
    case 'bool':
      return new Uint8Array(length);
    default:
      return unreachable(type.scalar, 'scalar type');
  }
}

/** Who is running: for masks, and for messages. */
export interface Invocations {
  readonly kernelName: string;
  readonly count: number;
  /** 1 where the invocation takes part in the current statement. */
  active: Uint8Array;
  /** 1 where the invocation runs with the others, in lockstep: in all of the workgroup, or in one role. */
  together: Uint8Array;
  workgroup: readonly [number, number, number];
  /** Of what has happened in this workgroup. */
  readonly order: Order;
}

/** An invocation in a message. */
export function place(invocations: Invocations, invocation: number): string {
  return `invocation ${invocation} of workgroup (${invocations.workgroup.join(', ')})`;
}

/** A buffer while a launch runs. */
export class BoundBuffer {
  private elements: StoredElements = new Uint8Array(0);

  constructor(
    private readonly parameter: BufferParameter,
    private readonly invocations: Invocations,
  ) {}

  /** `view`: little-endian elements. Throws F2C245 when it is missing or does not start at a whole element. */
  bind(view: ArrayBufferView | undefined): void {
    const where = [`kernel @${this.invocations.kernelName}`, `buffer ${this.parameter.name}`];
    if (view === undefined) throw new Flux2cError('F2C245', 'a buffer of the kernel is not bound', { where });
    const size = storageBytes(this.parameter.storage);
    if (view.byteOffset % size !== 0 || view.byteLength % size !== 0) {
      throw new Flux2cError('F2C245', 'a buffer does not hold whole, aligned elements', {
        where,
        expected: `offset and length in multiples of ${size} bytes`,
        found: `offset ${view.byteOffset}, length ${view.byteLength}`,
      });
    }
    this.elements = viewElements(this.parameter.storage, view);
  }

  load(index: Values, out: Values): void {
    const { active, count } = this.invocations;
    const { lanes, storage } = this.parameter;
    const { elements } = this;
    for (let invocation = 0; invocation < count; invocation++) {
      if (active[invocation] === 0) continue;
      const at = index[invocation] as number;
      this.check(at, invocation, 'F2C240', 'read');
      for (let lane = 0; lane < lanes; lane++) {
        out[invocation * lanes + lane] = widen(storage, elements[at * lanes + lane] as number);
      }
    }
    if (storage === 'bool') for (let at = 0; at < out.length; at++) out[at] = out[at] === 0 ? 0 : 1;
  }

  store(index: Values, values: Values): void {
    const { active, count } = this.invocations;
    const { lanes, storage } = this.parameter;
    const { elements } = this;
    for (let invocation = 0; invocation < count; invocation++) {
      if (active[invocation] === 0) continue;
      const at = index[invocation] as number;
      this.check(at, invocation, 'F2C241', 'written');
      for (let lane = 0; lane < lanes; lane++) {
        elements[at * lanes + lane] = narrow(storage, values[invocation * lanes + lane] as number);
      }
    }
  }

  /** 16 bytes at `index`, in units of 16 bytes, as four words. */
  words(index: number, invocation: number): Uint32Array {
    const { buffer, byteOffset, byteLength } = this.elements;
    if (index < 0 || 16 * (index + 1) > byteLength) {
      throw new Flux2cError('F2C240', 'a buffer is read outside of its bounds', {
        where: [`kernel @${this.invocations.kernelName}`, `buffer ${this.parameter.name}`],
        expected: `an index below ${Math.floor(byteLength / 16)} (units of 16 bytes)`,
        found: `${index}, ${place(this.invocations, invocation)}`,
      });
    }
    return new Uint32Array(buffer.slice(byteOffset + 16 * index, byteOffset + 16 * (index + 1)));
  }

  /** `count` elements from `first` on, as bytes. */
  bytes(first: number, count: number, invocation: number): Uint8Array {
    const { buffer, byteOffset, length } = this.elements;
    if (first < 0 || first + count > length) {
      throw new Flux2cError('F2C240', 'a copy of a tensor reads outside of its buffer', {
        where: [`kernel @${this.invocations.kernelName}`, `buffer ${this.parameter.name}`],
        expected: `elements below ${length}`,
        found: `${first} to ${first + count - 1}, ${place(this.invocations, invocation)}`,
      });
    }
    const size = storageBytes(this.parameter.storage);
    return new Uint8Array(buffer, byteOffset + first * size, count * size);
  }

  private check(index: number, invocation: number, code: 'F2C240' | 'F2C241', verb: string): void {
    const { lanes, name } = this.parameter;
    if (index >= 0 && (index + 1) * lanes <= this.elements.length) return;
    throw new Flux2cError(code, `a buffer is ${verb} outside of its bounds`, {
      where: [`kernel @${this.invocations.kernelName}`, `buffer ${name}`],
      expected: `an index below ${Math.floor(this.elements.length / lanes)} (units of ${lanes})`,
      found: `${index}, ${place(this.invocations, invocation)}`,
    });
  }
}

/** What is in a register of an element in memory, and back: narrow floats are their bits there. */
export function widen(storage: StorageType, element: number): number {
  switch (storage) {
    case 'bf16':
      return bf16ToF32(element);
    case 'f16':
      return f16ToF32(element);
    case 'f8e4m3':
      return f8e4m3ToF32(element);
    default:
      return element;
  }
}

function narrow(storage: StorageType, value: number): number {
  switch (storage) {
    case 'bf16':
      return f32ToBf16(value);
    case 'f16':
      return f32ToF16(value);
    case 'f8e4m3':
      return f32ToF8e4m3(value);
    default:
      return value;
  }
}

/** Bytes of an element in a buffer. */
export function storageBytes(storage: StorageType): number {
  switch (storage) {
    case 'f32':
    case 'i32':
    case 'u32':
      return 4;
    case 'f16':
    case 'bf16':
      return 2;
    case 'f8e4m3':
    case 'i8':
    case 'u8':
    case 'bool':
      return 1;
    default:
      return unreachable(storage, 'storage type');
  }
}

export function viewElements(storage: StorageType, view: ArrayBufferView): StoredElements {
  const { buffer, byteOffset, byteLength } = view;
  const length = byteLength / storageBytes(storage);
  switch (storage) {
    case 'f32':
      return new Float32Array(buffer, byteOffset, length);
    case 'i32':
      return new Int32Array(buffer, byteOffset, length);
    case 'u32':
      return new Uint32Array(buffer, byteOffset, length);
    case 'f16':
    case 'bf16':
      return new Uint16Array(buffer, byteOffset, length);
    case 'i8':
      return new Int8Array(buffer, byteOffset, length);
    case 'f8e4m3':
    case 'u8':
    case 'bool':
      return new Uint8Array(buffer, byteOffset, length);
    default:
      return unreachable(storage, 'storage type');
  }
}

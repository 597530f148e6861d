import { opcodes, type Opcode } from './wasm-opcodes.js';

/** Value types of WebAssembly that kernels use. */
export type WasmType = 'i32' | 'f32' | 'v128';

const typeBytes: Readonly<Record<WasmType, number>> = { i32: 0x7f, f32: 0x7d, v128: 0x7b };
const emptyBlock = 0x40;

/** Unsigned LEB128. */
export function encodeUnsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value >>> 0;
  do {
    const byte = rest & 0x7f;
    rest >>>= 7;
    bytes.push(rest === 0 ? byte : byte | 0x80);
  } while (rest !== 0);
  return bytes;
}

/** Signed LEB128 of an i32. */
export function encodeSigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value | 0;
  for (;;) {
    const byte = rest & 0x7f;
    rest >>= 7;
    if ((rest === 0 && (byte & 0x40) === 0) || (rest === -1 && (byte & 0x40) !== 0)) return [...bytes, byte];
    bytes.push(byte | 0x80);
  }
}

function encodeOpcode(name: Opcode): number[] {
  const code = opcodes[name];
  if (code < 0x100) return [code];
  if (code < 0x10000) return [code >> 8, ...encodeUnsigned(code & 0xff)];
  return [code >> 16, ...encodeUnsigned(code & 0xffff)];
}

/** Instructions, with gaps that are filled later (code moved out of loops) and calls by name. */
export type Code = (number | { readonly call: string } | Code)[];

/** Writes the body of one function. */
export class FunctionWriter {
  private readonly root: Code = [];
  private code: Code = this.root;
  private readonly locals: WasmType[] = [];

  constructor(
    readonly parameters: readonly WasmType[],
    readonly results: readonly WasmType[],
  ) {}

  /** A new local, zero at first. */
  local(type: WasmType): number {
    return this.parameters.length + this.locals.push(type) - 1;
  }

  /** An instruction with immediate bytes (indices are LEB128 already where below 128). */
  op(name: Opcode, ...immediates: readonly number[]): this {
    this.code.push(...encodeOpcode(name), ...immediates);
    return this;
  }

  ops(...names: readonly Opcode[]): this {
    for (const name of names) this.op(name);
    return this;
  }

  get(local: number): this {
    return this.op('local.get', ...encodeUnsigned(local));
  }

  set(local: number): this {
    return this.op('local.set', ...encodeUnsigned(local));
  }

  tee(local: number): this {
    return this.op('local.tee', ...encodeUnsigned(local));
  }

  i32(value: number): this {
    return this.op('i32.const', ...encodeSigned(value));
  }

  f32(value: number): this {
    return this.op('f32.const', ...new Uint8Array(Float32Array.of(value).buffer));
  }

  /** The same f32 in four lanes. */
  f32x4(value: number): this {
    return this.op('v128.const', ...new Uint8Array(new Float32Array(4).fill(value).buffer));
  }

  /** The same i32 in four lanes. */
  i32x4(value: number): this {
    return this.op('v128.const', ...new Uint8Array(new Int32Array(4).fill(value).buffer));
  }

  /** All 16 bytes of a vector. */
  v128({ buffer }: Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>): this {
    return this.op('v128.const', ...new Uint8Array(buffer));
  }

  /** A load or store at the address on the stack plus `offset` bytes; alignment is a hint only. */
  memory(name: Opcode, offset: number, ...immediates: readonly number[]): this {
    return this.op(name, 0, ...encodeUnsigned(offset), ...immediates);
  }

  call(name: string): this {
    this.code.push({ call: name });
    return this;
  }

  begin(kind: 'block' | 'loop' | 'if', result?: WasmType): this {
    return this.op(kind, result === undefined ? emptyBlock : typeBytes[result]);
  }

  end(): this {
    return this.op('end');
  }

  /** A place here into which `within` writes later. */
  gap(): Code {
    const gap: Code = [];
    this.code.push(gap);
    return gap;
  }

  within(gap: Code, write: () => void): void {
    const outer = this.code;
    this.code = gap;
    write();
    this.code = outer;
  }

  /** Locals and instructions, with the indices of called functions. */
  encode(functionIndex: (name: string) => number): number[] {
    const bytes = encodeUnsigned(this.locals.length);
    for (const type of this.locals) bytes.push(1, typeBytes[type]);
    const flatten = (code: Code): void => {
      for (const item of code) {
        if (typeof item === 'number') bytes.push(item);
        else if (Array.isArray(item)) flatten(item);
        else bytes.push(opcodes.call, ...encodeUnsigned(functionIndex(item.call)));
      }
    };
    flatten(this.root);
    bytes.push(opcodes.end);
    return [...encodeUnsigned(bytes.length), ...bytes];
  }
}

/** A function that JavaScript gives: f32 numbers in, one out. */
export interface ImportedFunction {
  readonly name: string;
  readonly parameters: number;
}

/**
 * A module that imports `env.memory` (shared, up to 4 GiB) and the functions of `imports` from `env`, and exports the
 * function `exported`.
 */
export function encodeModule(
  imports: readonly ImportedFunction[],
  functions: ReadonlyMap<string, FunctionWriter>,
  exported: string,
): Uint8Array<ArrayBuffer> {
  const signatures: string[] = [];
  const typeIndex = (parameters: readonly WasmType[], results: readonly WasmType[]): number => {
    const signature = [parameters, results]
      .flatMap((types) => [...encodeUnsigned(types.length), ...types.map((type) => typeBytes[type])])
      .join();
    const known = signatures.indexOf(signature);
    return known >= 0 ? known : signatures.push(signature) - 1;
  };
  const importEntries = imports.map(({ name, parameters }) => [
    ...encodeName('env'),
    ...encodeName(name),
    0x00,
    ...encodeUnsigned(typeIndex(new Array<WasmType>(parameters).fill('f32'), ['f32'])),
  ]);
  // Limits with a maximum and shared: flags 3, one page at least, 65536 at most.
  const memoryEntry = [...encodeName('env'), ...encodeName('memory'), 0x02, 0x03, 1, ...encodeUnsigned(65536)];
  const writers = [...functions.values()];
  const typeIndices = writers.map((writer) => encodeUnsigned(typeIndex(writer.parameters, writer.results)));
  const names = [...imports.map(({ name }) => name), ...functions.keys()];
  const functionIndex = (name: string): number => {
    const index = names.indexOf(name);
    if (index < 0) throw new Error(`internal: no WebAssembly function ${name}`);
    return index;
  };
  const types = signatures.map((signature) => [0x60, ...signature.split(',').map(Number)]);
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...encodeSection(1, types),
    ...encodeSection(2, [...importEntries, memoryEntry]),
    ...encodeSection(3, typeIndices),
    ...encodeSection(7, [[...encodeName(exported), 0x00, ...encodeUnsigned(functionIndex(exported))]]),
    ...encodeSection(
      10,
      writers.map((writer) => writer.encode(functionIndex)),
    ),
  ]);
}

function encodeName(name: string): number[] {
  const bytes = new TextEncoder().encode(name);
  return [...encodeUnsigned(bytes.length), ...bytes];
}

function encodeSection(id: number, entries: readonly (readonly number[])[]): number[] {
  const body = [...encodeUnsigned(entries.length), ...entries.flat()];
  return [id, ...encodeUnsigned(body.length), ...body];
}

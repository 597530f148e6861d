import { Flux2cError } from '../../ir/diagnostics.js';
import type { ByteSource } from './byte-source.js';

/** Bytes that are read at once: headers have megabytes of vocabulary that is passed over. */
const WINDOW = 2 ** 18;
// Names of tensors have at most 64 bytes in ggml, templates of chats some 10,000.
const LONGEST_TEXT = 65536;

/** Reads a header front to back. What it claims to hold is compared with what is left of the file before anything is allocated. */
export class GgufReader {
  private window = new DataView(new ArrayBuffer(0));
  private windowStart = 0;
  private at = 0;

  constructor(readonly source: ByteSource) {}

  /** Of the next byte. */
  get position(): number {
    return this.at;
  }

  async u8(): Promise<number> {
    return (await this.take(1)).getUint8(0);
  }

  async u32(): Promise<number> {
    return (await this.take(4)).getUint32(0, true);
  }

  /** @throws F2C418 beyond 2^53 */
  async u64(what: string): Promise<number> {
    const value = (await this.take(8)).getBigUint64(0, true);
    if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
    throw this.malformed(`${what} below 2^53`, `${value}`);
  }

  async number(type: NumberType): Promise<number> {
    const view = await this.take(numberBytes[type]);
    switch (type) {
      case 'u8':
      case 'bool':
        return view.getUint8(0);
      case 'i8':
        return view.getInt8(0);
      case 'u16':
        return view.getUint16(0, true);
      case 'i16':
        return view.getInt16(0, true);
      case 'u32':
        return view.getUint32(0, true);
      case 'i32':
        return view.getInt32(0, true);
      case 'f32':
        return view.getFloat32(0, true);
      case 'u64':
        return Number(view.getBigUint64(0, true));
      case 'i64':
        return Number(view.getBigInt64(0, true));
      case 'f64':
        return view.getFloat64(0, true);
    }
  }

  /** A text of a length that stands before it. Undefined, and passed over, when it is longer than anybody wants to know. */
  async text(): Promise<string | undefined> {
    const length = await this.u64('a length');
    if (length > LONGEST_TEXT) {
      this.skip(length);
      return undefined;
    }
    const { buffer, byteOffset } = await this.take(length);
    return new TextDecoder().decode(new Uint8Array(buffer, byteOffset, length));
  }

  skip(bytes: number): void {
    this.requireLeft(bytes);
    this.at += bytes;
  }

  malformed(expected: string, found: string): Flux2cError {
    return new Flux2cError('F2C418', 'the header of the GGUF file is malformed', {
      where: [this.source.name, `byte ${this.at}`],
      expected,
      found,
      hint: 'The file may have been cut short or damaged: fetch it again.',
    });
  }

  private async take(bytes: number): Promise<DataView> {
    this.requireLeft(bytes);
    const end = this.at + bytes;
    if (this.at < this.windowStart || end > this.windowStart + this.window.byteLength) {
      const length = Math.min(Math.max(WINDOW, bytes), this.source.size - this.at);
      this.window = new DataView((await this.source.read(this.at, length)).buffer);
      this.windowStart = this.at;
    }
    const view = new DataView(this.window.buffer, this.at - this.windowStart, bytes);
    this.at = end;
    return view;
  }

  private requireLeft(bytes: number): void {
    const left = this.source.size - this.at;
    if (bytes > left) throw this.malformed(`at most ${left} bytes more, as many as the file has`, `${bytes}`);
  }
}

export type NumberType = 'u8' | 'i8' | 'u16' | 'i16' | 'u32' | 'i32' | 'f32' | 'bool' | 'u64' | 'i64' | 'f64';

export const numberBytes: Readonly<Record<NumberType, number>> = {
  u8: 1,
  i8: 1,
  u16: 2,
  i16: 2,
  u32: 4,
  i32: 4,
  f32: 4,
  bool: 1,
  u64: 8,
  i64: 8,
  f64: 8,
};

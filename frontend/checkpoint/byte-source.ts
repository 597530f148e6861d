import { Flux2cError } from '../../ir/diagnostics.js';

/** Random access to the bytes of a file, a download or a buffer. Offsets and sizes are in bytes. */
export interface ByteSource {
  /** What errors call it: the path of a file, an address, a made-up name of a buffer. */
  readonly name: string;
  readonly size: number;
  /**
   * Exactly `length` bytes from `offset` on, in a buffer of their own that the caller may keep and change.
   * @throws Flux2cError F2C402 when the range is not inside the source, F2C401 when reading fails.
   */
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
  close(): Promise<void>;
}

/** A source over bytes in memory. The bytes are not copied: do not change them while the source is in use. */
export function memorySource(name: string, bytes: Uint8Array): ByteSource {
  return {
    name,
    size: bytes.byteLength,
    read: async (offset, length) => {
      checkRange(name, bytes.byteLength, offset, length);
      return new Uint8Array(bytes.subarray(offset, offset + length));
    },
    close: async () => undefined,
  };
}

/**
 * Refuses ranges that are not inside a source of `size` bytes, before anything of that length is allocated.
 * @throws Flux2cError F2C402
 */
export function checkRange(name: string, size: number, offset: number, length: number): void {
  const isInside =
    Number.isSafeInteger(offset) &&
    Number.isSafeInteger(length) &&
    offset >= 0 &&
    length >= 0 &&
    offset <= size - length;
  if (isInside) return;
  throw new Flux2cError('F2C402', 'the bytes asked for are not inside the file', {
    where: [name],
    expected: `a range within 0 .. ${size}`,
    found: `${length} bytes from offset ${offset}`,
    hint: 'The file may have been cut short: compare its size with the published one and fetch it again.',
  });
}

/** Pieces one after another; a single one is not copied. */
export function joinPieces(pieces: readonly Uint8Array[]): Uint8Array {
  const [only] = pieces;
  if (only !== undefined && pieces.length === 1) return only;
  const whole = new Uint8Array(pieces.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let end = 0;
  for (const piece of pieces) {
    whole.set(piece, end);
    end += piece.byteLength;
  }
  return whole;
}

/** Text chunks of PNG files: settings travel with the picture. */
import { Flux2cError } from '../../ir/diagnostics.js';

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const encoder = new TextEncoder();

/**
 * A copy of `png` with `entries` as `iTXt` chunks (UTF-8, not compressed) after the header. Keywords are 1 to 79 Latin
 * letters. F2C633 when `png` is not a PNG file.
 */
export function addPngText(png: Uint8Array, entries: Readonly<Record<string, string>>): Uint8Array {
  const header = [...readChunks(png)][0];
  if (header === undefined) throw notPng();
  const chunks = Object.entries(entries).map(([keyword, text]) =>
    // After the keyword: end, not compressed, no compression method, no language, no translated keyword.
    buildChunk('iTXt', joinBytes([encoder.encode(keyword), new Uint8Array(5), encoder.encode(text)])),
  );
  return joinBytes([png.subarray(0, header.end), ...chunks, png.subarray(header.end)]);
}

/**
 * The texts of `png` by keyword, from `tEXt` chunks and uncompressed `iTXt` chunks; others are passed over. F2C633
 * when `png` is not a PNG file or is cut off.
 */
export function readPngText(png: Uint8Array): ReadonlyMap<string, string> {
  const texts = new Map<string, string>();
  for (const { type, data } of readChunks(png)) {
    if (type !== 'tEXt' && type !== 'iTXt') continue;
    const keywordEnd = data.indexOf(0);
    if (keywordEnd < 1) continue;
    const keyword = latin1(data.subarray(0, keywordEnd));
    const text = type === 'tEXt' ? latin1(data.subarray(keywordEnd + 1)) : readInternationalText(data, keywordEnd + 1);
    if (text !== undefined) texts.set(keyword, text);
  }
  return texts;
}

interface Chunk {
  readonly type: string;
  readonly data: Uint8Array;
  /** Offset after the chunk's checksum. */
  readonly end: number;
}

function* readChunks(png: Uint8Array): Generator<Chunk> {
  if (SIGNATURE.some((byte, i) => png[i] !== byte)) throw notPng();
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  let offset = SIGNATURE.length;
  while (offset < png.length) {
    if (offset + 12 > png.length) throw notPng();
    const end = offset + 12 + view.getUint32(offset);
    if (end > png.length) throw notPng();
    const type = latin1(png.subarray(offset + 4, offset + 8));
    yield { type, data: png.subarray(offset + 8, end - 4), end };
    offset = end;
  }
}

/** Text of an `iTXt` chunk from its compression flag on; nothing when it is compressed or broken. */
function readInternationalText(data: Uint8Array, offset: number): string | undefined {
  if (data[offset] !== 0) return undefined;
  const languageEnd = data.indexOf(0, offset + 2);
  const translatedEnd = languageEnd < 0 ? -1 : data.indexOf(0, languageEnd + 1);
  return translatedEnd < 0 ? undefined : new TextDecoder().decode(data.subarray(translatedEnd + 1));
}

function buildChunk(type: string, data: Uint8Array): Uint8Array {
  const chunk = new Uint8Array(data.length + 12);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, data.length);
  chunk.set(encoder.encode(type), 4);
  chunk.set(data, 8);
  view.setUint32(data.length + 8, crc32(chunk.subarray(4, data.length + 8)));
  return chunk;
}

const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

function crc32(bytes: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of bytes) value = crcTable[(value ^ byte) & 0xff]! ^ (value >>> 8);
  return ~value >>> 0;
}

function latin1(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
}

function joinBytes(parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}

function notPng(): Flux2cError {
  return new Flux2cError('F2C633', 'not a whole PNG file', { hint: 'The file may be cut off or of another kind.' });
}

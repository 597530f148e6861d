import { describe, expect, it } from 'vitest';
import { byteDots, byteDotsGroups, byteDotsInputs, byteDotsResult } from '../../test/byte-dots.js';
import { printCuda } from '../../backends/cuda/cuda.js';
import { compileWasm } from '../../backends/cpu/wasm.js';
import { printWgsl } from '../../backends/webgpu/wgsl.js';
import { runWasm } from '../../test/run-wasm.js';
import { mostProductsOfBytes } from './bytes.js';
import { runThreadKernel } from './thread-interpret.js';
import { parseThreadKernel } from './thread-parse.js';
import { printThreadKernel } from './thread-print.js';
import { verifyThreadKernel } from './thread-verify.js';
import { parseTileKernel } from './tile-parse.js';
import { printTileKernel } from './tile-print.js';
import { verifyTileKernel } from './tile-verify.js';

const limits = { workgroupMemory: 0, maxWorkgroupInvocations: 64, packedDots: true };

describe('products of packed bytes', () => {
  it('are read as they are printed, and need a target that has them', () => {
    expect(parseThreadKernel(printThreadKernel(byteDots))).toEqual(byteDots);
    verifyThreadKernel(byteDots, limits);
    expect(() => verifyThreadKernel(byteDots, { ...limits, packedDots: false })).toThrow(
      expect.objectContaining({ code: 'F2C231' }),
    );
    expect(() => printCuda(byteDots)).toThrow(expect.objectContaining({ code: 'F2C231' }));
  });

  it.each([
    ['dot_bytes(left.xy, right.xy)', 'F2C223'],
    ['dot_bytes(left, right.x)', 'F2C223'],
    ['dot_bytes(bits_as_i32(left), bits_as_i32(right))', 'F2C222'],
  ])('are of words, all or one: not %s', (text, code) => {
    const source = printThreadKernel(byteDots).replace('dot_bytes(left, right)', text);
    expect(source).toContain(text);
    expect(() => verifyThreadKernel(parseThreadKernel(source), limits)).toThrow(expect.objectContaining({ code }));
  });

  it('are added up by the interpreter and by WebAssembly', () => {
    const { a, b } = byteDotsInputs();
    const want = byteDotsResult();
    const bytes = (array: Int8Array): Uint8Array => new Uint8Array(array.slice().buffer);
    const out = new Int32Array(want.length);
    runThreadKernel(byteDots, { a: bytes(a), b: bytes(b), out }, { origin_x: 0 }, [byteDotsGroups, 1, 1]);
    expect([...out]).toEqual([...want]);
    const got = new Uint8Array(4 * want.length);
    runWasm(byteDots, [bytes(a), bytes(b), got], Int32Array.of(0), [byteDotsGroups, 1, 1]);
    expect([...new Int32Array(got.buffer)]).toEqual([...want]);
    expect(compileWasm(byteDots).byteLength).toBeGreaterThan(0);
  });

  it('say in WGSL what they need of the language', () => {
    expect(printWgsl(byteDots)).toContain('\nrequires packed_4x8_integer_dot_product;\n');
    const copies = printThreadKernel(byteDots).replaceAll(/dot_bytes\((.*?), .*?\)/g, 'bits_as_i32($1)');
    expect(printWgsl(parseThreadKernel(copies))).not.toContain('requires');
  });
});

describe('contractions in bytes', () => {
  const text = (storage: string, alignment: number, depth: number, factor = 'a[m*256+k]'): string => `
kernel @product
  buffer a: read ${storage} align ${alignment}
  buffer w: read i8 align 16
  buffer out: write f32 align 4
  axis m = grid x, extent 8, tile 2
  axis n = grid y, extent 8, tile 4
  axis k = loop, extent ${depth}, tile 16
{
  tile acc[m, n] = 0
  contract acc over k in bytes: ${factor} * w[n*256+k]
  store out[m*8+n] for [m, n] = acc
}
`;

  it('are read as they are printed', () => {
    const kernel = parseTileKernel(text('i8', 16, 256));
    verifyTileKernel(kernel);
    expect(kernel.body[1]).toMatchObject({ kind: 'contract', inBytes: true });
    expect(parseTileKernel(printTileKernel(kernel))).toEqual(kernel);
  });

  it.each([
    ['of words', text('i32', 16, 256)],
    ['of vectors that memory has not', text('i8', 4, 256)],
    ['of what is computed', text('i8', 16, 256, 'abs(a[m*256+k])')],
    ['that end within a vector', text('i8', 16, 250)],
    ['of more than 32 bits hold', text('i8', 16, mostProductsOfBytes + 16)],
  ])('are refused %s', (_, kernel) => {
    expect(() => verifyTileKernel(parseTileKernel(kernel))).toThrow(expect.objectContaining({ code: 'F2C255' }));
  });

  it('may be as long as sums of 32 bits hold, and no longer', () => {
    verifyTileKernel(parseTileKernel(text('i8', 16, mostProductsOfBytes)));
    expect(mostProductsOfBytes * 128 ** 2).toBeLessThan(2 ** 31);
    expect((mostProductsOfBytes + 16) * 128 ** 2).toBeGreaterThanOrEqual(2 ** 31);
  });
});

/**
 * Matrix fragments and asynchronous copies of the prelude, by texts written by hand: the emulator's lane maps against the PTX ISA's
 * figures for `ldmatrix` and `mma.m16n8k16`, and what goes wrong when a wait or a barrier is left out.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { printCuda } from '../backends/cuda/cuda.js';
import { cudaPrelude, cudaPreludeName } from '../backends/cuda/prelude/prelude.js';
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16, f32ToF8e4m3, f8e4m3ToF32 } from '../ir/dtype.js';
import { vectorOf } from '../ir/kernel/expressions.js';
import { numbersOfWord, productDepth } from '../ir/kernel/matrix-types.js';
import type { MatrixType, ThreadKernel } from '../ir/kernel/thread.js';
import { emulate, hasProgram, openEmulator } from './cuda-tools.js';
import { asF32, buffer, bytesOf, pseudoRandom } from './device-cases.js';

function shell(name: string, buffers: ThreadKernel['buffers'], rows: number, workgroupSize = 32): ThreadKernel {
  const shared = rows === 0 ? [] : [{ name: 'tile', type: vectorOf('u32', 4), length: rows }];
  return { phase: 'thread', name, buffers, parameters: [], workgroupSize, subgroupSize: 32, shared, body: [] };
}

/** The kernel's text with these lines as its body. */
function withBody(kernel: ThreadKernel, body: string): string {
  const text = printCuda(kernel);
  return `${text.slice(0, text.lastIndexOf('}'))}  const int lane = int(threadIdx.x);\n${body}}\n`;
}

const words = (bytes: Uint8Array | undefined): Uint32Array => new Uint32Array((bytes as Uint8Array).buffer);

/** Lane l fills row l of 32 rows with the numbers 8 l ... 8 l + 7. */
const fillRows = `  const unsigned first = 8u * unsigned(lane);
  f2c::store(tile, lane, f2c::vector(first | (first + 1) << 16, (first + 2) | (first + 3) << 16,
                                     (first + 4) | (first + 5) << 16, (first + 6) | (first + 7) << 16));
  __syncthreads();
`;
const loadRows = (name: string): string => `${fillRows}  f2c::store(y, lane, f2c::${name}(tile, lane));\n`;

const loads = shell('loads', [buffer('y', 'u32', 4, 'write')], 32);
const multiply = shell(
  'multiply',
  [buffer('a', 'u32', 4), buffer('b', 'u32', 2), buffer('upper', 'f32', 2, 'read_write'), buffer('lower', 'f32', 2, 'read_write')],
  0,
); // prettier-ignore
const multiplyBody = (type: MatrixType): string => `  f2c::f32x2 c0 = f2c::load(upper, lane);
  f2c::f32x2 c1 = f2c::load(lower, lane);
  f2c::mma_m16n8k${productDepth(type)}_${type}(c0, c1, f2c::load(a, lane), f2c::load(b, lane));
  f2c::store(upper, lane, c0);
  f2c::store(lower, lane, c1);
`;

/** y (16 x 16) = x (16 x 64) wᵀ (16 x 64), 16 columns at a time, the next ones on their way while these are multiplied. */
const product = shell('product', [buffer('x', 'bf16', 4), buffer('w', 'bf16', 4), buffer('y', 'f32', 2, 'write')], 128);
const productBody = `  f2c::f32x2 sums[4] = {};
  const int row = lane / 2;
  const int half = lane % 2;
  for (int step = 0; step < 5; step++) {
    if (step < 4) {
      const int slot = step % 2 * 64;
      f2c::copy_async_16(tile, slot + lane, x, row * 8 + step * 2 + half, true);
      f2c::copy_async_16(tile, slot + 32 + lane, w, row * 8 + step * 2 + half, row < 15);
    }
    f2c::copy_async_commit();
    if (step == 0) continue;
    f2c::copy_async_wait<1>();
    __syncthreads();
    const int slot = (step + 1) % 2 * 64;
    const f2c::u32x4 left = f2c::load_matrix_x4(tile, slot + lane % 16 * 2 + lane / 16);
    const f2c::u32x4 right = f2c::load_matrix_x4(tile, slot + 32 + (lane / 16 * 8 + lane % 8) * 2 + lane / 8 % 2);
    f2c::mma_m16n8k16_bf16(sums[0], sums[1], left, f2c::vector(right.x, right.y));
    f2c::mma_m16n8k16_bf16(sums[2], sums[3], left, f2c::vector(right.z, right.w));
    __syncthreads();
  }
  for (int part = 0; part < 4; part++) {
    f2c::store(y, (lane / 4 + part % 2 * 8) * 8 + part / 2 * 4 + lane % 4, sums[part]);
  }
`;
const exchange = shell('exchange', [buffer('y', 'u32', 1, 'write')], 0);
const exchangeBody = `  const unsigned own = unsigned(lane);
  const f2c::u32x2 pair = f2c::shuffle_xor(f2c::vector(own, own * 2u), 5);
  f2c::store(y, lane, pair.x * 1000u + pair.y);
`;
const packing = shell('packing', [buffer('x', 'f32', 2), buffer('y', 'u32', 2, 'write')], 0);
const packingBody = `  const f2c::f32x2 pair = f2c::load(x, lane);
  f2c::store(y, lane, f2c::vector(f2c::pack_bf16(pair), f2c::pack_f16(pair)));
`;

/** Everything above under names of its own, for nvcc. */
const texts: readonly string[] = [
  withBody(loads, loadRows('load_matrix_x4')),
  withBody({ ...loads, name: 'loads_transposed' }, loadRows('load_matrix_x4_transposed')),
  withBody(multiply, multiplyBody('bf16')),
  withBody({ ...multiply, name: 'multiply_f16' }, multiplyBody('f16')),
  withBody(product, productBody),
  withBody(exchange, exchangeBody),
  withBody(packing, packingBody),
];

const device = await openEmulator('matrix fragments on the CUDA emulator');
if (device !== undefined) {
  describe('matrix fragments on the CUDA emulator', () => {
    afterAll(() => device.destroy());

    it.each([
      ['load_matrix_x4', false],
      ['load_matrix_x4_transposed', true],
    ] as const)('%s has the lane map of ldmatrix', async (name, isTransposed) => {
      const source = withBody(loads, loadRows(name));
      const [y] = await emulate(device, { kernel: loads, source, buffers: [new Uint8Array(512)] });
      const got = words(y);
      for (let lane = 0; lane < 32; lane++) {
        for (let matrix = 0; matrix < 4; matrix++) {
          const [far, near] = [Math.floor(lane / 4), 2 * (lane % 4)];
          const number = (row: number, column: number): number => 64 * matrix + 8 * row + column;
          const pair = isTransposed
            ? [number(near, far), number(near + 1, far)]
            : [number(far, near), number(far, near + 1)];
          const word = got[lane * 4 + matrix] as number;
          expect([word & 0xffff, word >>> 16], `lane ${lane}, matrix ${matrix}`).toEqual(pair);
        }
      }
    });

    it.each([
      ['bf16', f32ToBf16, bf16ToF32],
      ['f16', f32ToF16, f16ToF32],
      ['f8e4m3', f32ToF8e4m3, f8e4m3ToF32],
    ] as const)('products of %s have the fragments of mma.sync', async (type, narrow, widen) => {
      const [n, depth] = [numbersOfWord[type], productDepth(type)];
      const [a, b] = [16, 8].map((count, seed) => Array.from(pseudoRandom(count * depth, seed + 20), narrow)) as [
        number[],
        number[],
      ];
      const packed = (codes: readonly number[]): Uint8Array =>
        n === 4 ? Uint8Array.from(codes) : bytesOf(Uint16Array.from(codes));
      const c = pseudoRandom(128, 22);
      // PTX ISA, figures of "Matrix Fragments for mma.m16n8k16 with floating point type", "for mma.m16n8k32": element i of a lane.
      const aOf = (lane: number, i: number): number => {
        const row = (lane >> 2) + (i < n || (i >= 2 * n && i < 3 * n) ? 0 : 8);
        const column = (lane % 4) * n + (i % n) + (i >= 2 * n ? 4 * n : 0);
        return a[row * depth + column] as number;
      };
      const bOf = (lane: number, i: number): number => {
        const row = (lane % 4) * n + (i % n) + (i >= n ? 4 * n : 0);
        return b[row * 8 + (lane >> 2)] as number;
      };
      const place = (lane: number, i: number): number => ((lane >> 2) + (i < 2 ? 0 : 8)) * 8 + (lane % 4) * 2 + (i & 1);
      const fragments = (count: number, of: (lane: number, i: number) => number): Uint8Array =>
        packed(Array.from({ length: 32 * count }, (_, at) => of(Math.floor(at / count), at % count)));
      const sums = (part: number): Uint8Array =>
        bytesOf(Float32Array.from({ length: 64 }, (_, at) => c[place(at >> 1, 2 * part + (at & 1))] as number));
      const source = withBody(multiply, multiplyBody(type));
      const buffers = [fragments(4 * n, aOf), fragments(2 * n, bOf), sums(0), sums(1)];
      const [, , upper, lower] = await emulate(device, { kernel: multiply, source, buffers });
      for (let lane = 0; lane < 32; lane++) {
        for (let i = 0; i < 4; i++) {
          const at = place(lane, i);
          const [row, column] = [at >> 3, at & 7];
          let want = c[at] as number;
          for (let k = 0; k < depth; k++)
            want += widen(a[row * depth + k] as number) * widen(b[k * 8 + column] as number);
          const got = asF32((i < 2 ? upper : lower) as Uint8Array)[lane * 2 + (i & 1)];
          expect(got, `lane ${lane}, element ${i}`).toBeCloseTo(want, 5);
        }
      }
    });

    const x = Uint16Array.from(pseudoRandom(16 * 64, 30), f32ToBf16);
    const w = Uint16Array.from(pseudoRandom(16 * 64, 31), f32ToBf16);
    const run = (source: string): Promise<readonly Uint8Array[]> =>
      emulate(device, { kernel: product, source, buffers: [bytesOf(x), bytesOf(w), new Uint8Array(16 * 16 * 4)] });
    const text = withBody(product, productBody);

    it('multiplies with operands that are copied beside the computation', async () => {
      const [, , y] = await run(text);
      const got = asF32(y as Uint8Array);
      for (let m = 0; m < 16; m++) {
        for (let n = 0; n < 16; n++) {
          let want = 0;
          for (let k = 0; k < 64; k++) want += bf16ToF32(x[m * 64 + k] as number) * bf16ToF32(w[n * 64 + k] as number);
          // Row 15 of w is not valid: zeros.
          expect(got[m * 16 + n], `${m}, ${n}`).toBeCloseTo(n < 15 ? want : 0, 4);
        }
      }
    });

    it.each([
      ['a wait that is too short', 'copy_async_wait<1>', 'copy_async_wait<2>', 'F2C249', /invocation \d+ started the copy at line \d+: f2c::copy_async_16/],
      ['no wait', '    f2c::copy_async_wait<1>();\n', '', 'F2C249', /started the copy/],
      ['no commit', '    f2c::copy_async_commit();\n', '', 'F2C249', /started the copy/],
      ['no barrier behind the wait', '<1>();\n    __syncthreads();\n', '<1>();\n', 'F2C244', /after invocation/],
      ['no barrier before the next copy', '    __syncthreads();\n  }\n', '  }\n', 'F2C244', /after invocation/],
      ['a copy from outside of a buffer', 'x, row * 8', 'x, row * 9', 'F2C240', /128, invocation 28/],
      ['a copy to outside of shared memory', 'tile, slot + 32 + lane, w', 'tile, slot + 97 + lane, w', 'F2C242', /161, invocation 0/],
    ] as const)('reports %s', async (_, from, to, code, found) => {
      expect(text).toContain(from);
      await expect(run(text.replace(from, to))).rejects.toMatchObject({
        code,
        detail: { found: expect.stringMatching(found) as unknown },
      });
    }); // prettier-ignore

    it('lets lanes of a warp use what they wrote after they have met', async () => {
      const body = fillRows.replace('__syncthreads', 'f2c::subgroup_barrier');
      const source = withBody(loads, `${body}  f2c::store(y, lane, f2c::load(tile, lane ^ 1));\n`);
      const [y] = await emulate(device, { kernel: loads, source, buffers: [new Uint8Array(512)] });
      expect(words(y)[0]).toBe(8 | (9 << 16));
      const missing = source.replace('  f2c::subgroup_barrier();\n', '');
      await expect(emulate(device, { kernel: loads, source: missing, buffers: [new Uint8Array(512)] })).rejects.toMatchObject({ code: expect.stringMatching(/F2C24[48]/) as unknown }); // prettier-ignore
    });

    it('exchanges words and packs halves', async () => {
      const source = withBody(exchange, exchangeBody);
      const [y] = await emulate(device, { kernel: exchange, source, buffers: [new Uint8Array(128)] });
      expect([...words(y)]).toEqual(Array.from({ length: 32 }, (_, lane) => (lane ^ 5) * 1002));
      const pairs = pseudoRandom(64, 40);
      const [, packed] = await emulate(device, {
        kernel: packing,
        source: withBody(packing, packingBody),
        buffers: [bytesOf(pairs), new Uint8Array(256)],
      });
      const halves = new Uint16Array((packed as Uint8Array).buffer);
      for (let at = 0; at < 64; at++) {
        const first = (at >> 1) * 4 + (at & 1);
        expect([halves[first], halves[first + 2]]).toEqual([f32ToBf16(pairs[at] as number), f32ToF16(pairs[at] as number)]); // prettier-ignore
      }
    });
  });
}

if (await hasProgram('nvcc', 'matrix fragments compiled by nvcc')) {
  it('the same texts compile with nvcc', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'flux2c-nvcc-'));
    await writeFile(join(folder, cudaPreludeName), cudaPrelude);
    await writeFile(join(folder, 'matrices.cu'), texts.join('\n'));
    const options = ['-arch=sm_80', '-cubin', '-Werror', 'all-warnings', '-o', join(folder, 'matrices.cubin')];
    await promisify(execFile)('nvcc', [...options, join(folder, 'matrices.cu')]);
    await rm(folder, { recursive: true });
  });
}

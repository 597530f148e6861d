/** Tensor copies of the prelude by texts written by hand: where each number of a box lies, what is zero, and which order is needed. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { printCuda } from '../backends/cuda/cuda.js';
import { cudaPrelude, cudaPreludeName } from '../backends/cuda/prelude/prelude.js';
import { Dim } from '../ir/dim.js';
import { vectorOf } from '../ir/kernel/expressions.js';
import type { ThreadKernel } from '../ir/kernel/thread.js';
import { emulate, hasProgram, openEmulator } from './cuda-tools.js';
import { buffer } from './device-cases.js';
import { pipelinedProduct } from './pipelined-product.js';

interface Box {
  /** Innermost first, as are the others; the first box is 64 numbers of 16 bits. */
  readonly extents: readonly number[];
  readonly boxes: readonly number[];
  readonly from: readonly number[];
}

/** 16-bit numbers before the tensor, and between the end of a row and the next one. */
const [lead, gap] = [16, 8];
const rowOf = ({ extents }: Box): number => Math.ceil((extents[0] as number) / 8) * 8 + gap;
const piecesOf = ({ boxes }: Box): number => boxes.slice(1).reduce((product, box) => product * box, 8);

/** One block copies a box of x into its memory, and from there to y as it lies. */
function copyBox(name: string, box: Box): ThreadKernel {
  const strides = box.extents.map((_, at) =>
    box.extents.slice(1, at).reduce((product, extent) => product * extent, at === 0 ? 1 : rowOf(box)),
  );
  return {
    phase: 'thread',
    name,
    buffers: [buffer('x', 'bf16', 4), buffer('y', 'u32', 4, 'write')],
    parameters: [],
    tensorMaps: [
      {
        name: 'map',
        buffer: 'x',
        offset: Dim.of(lead),
        dimensions: box.extents.map((extent, at) => ({
          extent: Dim.of(extent),
          stride: Dim.of(strides[at] as number),
          box: box.boxes[at] as number,
        })),
      },
    ],
    barriers: [
      { name: 'filled', length: 1, arrivals: 1 },
      { name: 'emptied', length: 1, arrivals: 64 },
    ],
    workgroupSize: 64,
    shared: [{ name: 'tile', type: vectorOf('u32', 4), length: piecesOf(box) }],
    body: [],
  };
}

function withBody(kernel: ThreadKernel, body: string): string {
  const text = printCuda(kernel);
  return `${text.slice(0, text.lastIndexOf('}'))}${body}}\n`;
}

const copyBody = (box: Box): string => `  const int pieces = ${piecesOf(box)};
  const int thread = int(threadIdx.x);
  if (thread == 0) {
    f2c::expect_copies(filled, 0, 16 * pieces);
    f2c::copy_tensor(tile, 0, map, f2c::coordinates(${box.from.join(', ')}), filled, 0);
  }
  f2c::wait_barrier(filled, 0, 0);
  for (int at = thread; at < pieces; at += 64) f2c::store(y, at, f2c::load(tile, at));
`;
const refill = `  f2c::arrive(emptied, 0);
  if (thread == 0) {
    f2c::wait_barrier(emptied, 0, 0);
    f2c::expect_copies(filled, 0, 16 * pieces);
    f2c::copy_tensor(tile, 0, map, f2c::coordinates(0, 0), filled, 0);
  }
  f2c::wait_barrier(filled, 0, 1);
`;

/** The box as the PTX ISA's figures of the 128-byte swizzle lay it out; number p of the tensor is p + 1. */
function expectedPieces(box: Box): Uint16Array {
  const { extents, boxes, from } = box;
  const result = new Uint16Array(piecesOf(box) * 8);
  for (let row = 0; row < piecesOf(box) / 8; row++) {
    let rest = row;
    let outer = 0;
    let isInside = true;
    let factor = rowOf(box);
    for (let at = 1; at < extents.length; at++) {
      const place = (from[at] as number) + (rest % (boxes[at] as number));
      rest = Math.floor(rest / (boxes[at] as number));
      isInside &&= place >= 0 && place < (extents[at] as number);
      outer += place * factor;
      factor *= extents[at] as number;
    }
    for (let column = 0; column < 64; column++) {
      const place = (from[0] as number) + column;
      if (!isInside || place < 0 || place >= (extents[0] as number)) continue;
      const piece = row * 8 + ((column >> 3) ^ (row % 8));
      result[piece * 8 + (column & 7)] = lead + outer + place + 1;
    }
  }
  return result;
}

const cases: readonly (readonly [string, Box])[] = [
  ['a matrix', { extents: [128, 40], boxes: [64, 24], from: [64, 8] }],
  ['a matrix across its edges', { extents: [100, 21], boxes: [64, 16], from: [60, 13] }],
  ['a matrix before its beginning', { extents: [100, 21], boxes: [64, 16], from: [-9, -3] }],
  ['three dimensions', { extents: [72, 7, 5], boxes: [64, 4, 2], from: [8, 4, 4] }],
  ['four dimensions', { extents: [64, 3, 4, 5], boxes: [64, 2, 2, 2], from: [0, -1, 3, 2] }],
  ['five dimensions', { extents: [65, 2, 3, 2, 4], boxes: [64, 2, 1, 2, 2], from: [1, 0, 2, 1, 2] }],
];
const matrix = cases[0]![1];

const device = await openEmulator('tensor copies on the CUDA emulator');
if (device !== undefined) {
  const run = async (name: string, box: Box, source = (kernel: ThreadKernel) => withBody(kernel, copyBody(box))) => {
    const kernel = copyBox(name, box);
    const rows = box.extents.slice(1).reduce((product, extent) => product * extent, 1);
    const x = Uint16Array.from({ length: lead + rows * rowOf(box) }, (_, at) => at + 1);
    const buffers = [new Uint8Array(x.buffer), new Uint8Array(piecesOf(box) * 16)];
    const [, y] = await emulate(device, { kernel, source: source(kernel), buffers });
    return new Uint16Array((y as Uint8Array).buffer);
  };

  describe('tensor copies on the CUDA emulator', () => {
    afterAll(() => device.destroy());

    it.each(cases)('lay out %s as the PTX ISA says', async (what, box) => {
      expect(await run(`copy_${what.replaceAll(' ', '_')}`, box)).toEqual(expectedPieces(box));
    });

    it('give other numbers where a read forgets how pieces are exchanged', async () => {
      const straight = await run('straight', matrix, (kernel) =>
        withBody(kernel, copyBody(matrix)).replace('f2c::load(tile, at)', 'f2c::load(tile, at ^ (at >> 3 & 7))'),
      );
      for (let row = 0; row < 24; row++) {
        const numbers = Array.from({ length: 64 }, (_, at) => lead + (row + 8) * rowOf(matrix) + 64 + at + 1);
        expect([...straight.subarray(row * 64, row * 64 + 64)]).toEqual(numbers);
      }
      expect(straight).not.toEqual(expectedPieces(matrix));
    });

    it.each([
      ['no wait', 'f2c::wait_barrier(filled, 0, 0);', '', 'F2C249', /invocation 0 started the copy at line \d+: f2c::copy_tensor/],
      ['another rank', 'f2c::coordinates(64, 8)', 'f2c::coordinates(64, 8, 0)', 'F2C234', /^3, invocation 0/],
      ['a box that the array has no room for', 'copy_tensor(tile, 0', 'copy_tensor(tile, 64', 'F2C242', /^64, invocation 0/],
      ['a barrier that the array does not have', 'filled, 0);\n  }', 'filled, 1);\n  }', 'F2C242', /^1, invocation 0/],
    ] as const)('report %s', async (_, from, to, code, found) => {
      const planted = (kernel: ThreadKernel): string => {
        const text = withBody(kernel, copyBody(matrix));
        expect(text).toContain(from);
        return text.replace(from, to);
      };
      await expect(run('planted', matrix, planted)).rejects.toMatchObject({
        code,
        detail: { found: expect.stringMatching(found) as unknown },
      });
    }); // prettier-ignore

    it.each([
      ['that others have read', '', undefined],
      ['that others are reading', 'f2c::arrive(emptied, 0);\n  for (int at = thread; at < pieces; at += 64) f2c::store(y, at, f2c::load(tile, at));', 'F2C244'],
      ['that one has written without a fence', 'if (thread == 9) f2c::store(tile, thread, f2c::splat<4>(1u));\n  f2c::arrive(emptied, 0);', 'F2C238'],
      ['that one has written and fenced', 'if (thread == 9) f2c::store(tile, thread, f2c::splat<4>(1u));\n  f2c::fence_proxy_async();\n  f2c::arrive(emptied, 0);', undefined],
    ] as const)('order a copy into memory %s', async (_, instead, code) => {
      const again = instead === '' ? refill : refill.replace('f2c::arrive(emptied, 0);', instead);
      const outcome = run('refilled', matrix, (kernel) => withBody(kernel, copyBody(matrix) + again));
      if (code === undefined) expect(await outcome).toEqual(expectedPieces(matrix));
      else await expect(outcome).rejects.toMatchObject({ code });
    }); // prettier-ignore
  });
}

if (await hasProgram('nvcc', 'tensor copies compiled by nvcc')) {
  it('the same texts, and pipelined products without spills, compile with nvcc', { timeout: 120_000 }, async () => {
    const products = [64, 128, 256].map((tileColumns) => {
      return printCuda(pipelinedProduct({ name: `product_${tileColumns}`, tileColumns, stages: 4 }));
    });
    const texts = cases.map(([, box], at) => withBody(copyBox(`copy_${at}`, box), copyBody(box)));
    const folder = await mkdtemp(join(tmpdir(), 'flux2c-nvcc-'));
    await writeFile(join(folder, cudaPreludeName), cudaPrelude);
    await writeFile(join(folder, 'copies.cu'), [...texts, ...products].join('\n'));
    // Maps stand for buffers, which their kernels do not read otherwise.
    const options = ['-arch=sm_90a', '-cubin', '-diag-suppress', '177', '-Werror', 'all-warnings', '-Xptxas', '-v'];
    const place = [join(folder, 'copies.cu'), '-o', join(folder, 'copies.cubin')];
    const { stderr } = await promisify(execFile)('nvcc', [...options, ...place]);
    await rm(folder, { recursive: true });
    expect(stderr).not.toMatch(/warning|setmaxnreg|serialized/);
    const spills = stderr.match(/\d+ bytes spill stores/g);
    expect(spills).toEqual(Array.from({ length: texts.length + products.length }, () => '0 bytes spill stores'));
  });
}

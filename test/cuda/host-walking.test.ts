/** A host program whose kernel copies by tensor maps and walks over tiles. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { printCuda } from '../../backends/cuda/cuda.js';
import { cudaPrelude } from '../../backends/cuda/prelude/prelude.js';
import { hostBuildLines, printHostFiles } from '../../cli/compile-host.js';
import { Dim } from '../../ir/dim.js';
import { parseThreadKernel } from '../../ir/kernel/thread-parse.js';
import type { HostStep, Plan } from '../../ir/plan.js';
import { findNvcc } from '../../runtime/cuda/node/cuda-toolkit.js';
import { findWorkingNvcc } from '../../runtime/cuda/node/open-compiler.js';
import { hasProgram } from '../cuda-tools.js';
import { binding, launch, storage } from '../plan-samples.js';
import { readSafetensors } from '../read-safetensors.js';
import { walkingProduct, walkingTile } from '../walking-product.js';
import { buildForEmulator, runProgram, writeTensors } from './host-program.js';

const root = mkdtempSync(join(tmpdir(), 'flux2c-host-walking-'));
afterAll(() => rmSync(root, { recursive: true }));
const artifact = join(root, 'artifact');
const isPossible = await hasProgram('g++', 'a host program that walks over tiles, on the emulator');
const nvcc = await findWorkingNvcc();

/** The product, which can also begin in the middle of its tiles. */
const kernel = parseThreadKernel(
  walkingProduct
    .replace('params(', 'params(origin_x, origin_y, ')
    .replaceAll('tile % tiles_x * 64', '(tile % tiles_x + origin_x) * 64')
    .replaceAll('tile / tiles_x * 64', '(tile / tiles_x + origin_y) * 64'),
);
const [m, n, k] = ['m', 'n', 'k'].map((name) => Dim.symbol(name)) as [Dim, Dim, Dim];

/** Keeps an input in bf16. */
function round(input: number, shape: readonly Dim[], to: number): HostStep {
  const operand = { kind: 'storage', storage: input, dtype: 'f32', shape } as const;
  return { kind: 'host', operation: 'reshape', attributes: { shape }, operands: [operand], results: [{ storage: to, dtype: 'f32', shape }] }; // prettier-ignore
}

/** y = x · wᵀ without the first row of x, whose view so begins in the middle of a binding. */
const plan: Plan = {
  name: 'main',
  inputs: [
    { name: 'x', dtype: 'f32', shape: [m.add(1), k], storage: 0 },
    { name: 'w', dtype: 'f32', shape: [n, k], storage: 1 },
  ],
  results: [{ name: 'y', dtype: 'f32', shape: [m, n], storage: 4 }],
  storages: [
    storage(0, 'input', m.add(1).mul(k)),
    storage(1, 'input', n.mul(k)),
    storage(2, 'host', m.add(1).mul(k), 'bf16'),
    storage(3, 'host', n.mul(k), 'bf16'),
    storage(4, 'result', m.mul(n)),
  ],
  weights: [],
  steps: [
    round(0, [m.add(1), k], 2),
    round(1, [n, k], 3),
    launch(
      'product',
      kernel.name,
      [binding(2, 'read', m.mul(k), k), binding(3, 'read', n.mul(k)), binding(4, 'write', m.mul(n))],
      [
        [m, walkingTile],
        [n, walkingTile],
      ],
      { p0: k, p1: m, p2: n },
    ),
  ],
};

const build = {
  name: 'wgmma',
  functions: new Map([['main', { component: 'none', plan }]]),
  kernels: new Map([[kernel.name, { thread: kernel }]]),
  architectures: ['sm_90a'] as const,
};

beforeAll(() => {
  const files = printHostFiles({ name: 'a product', builds: [build], weights: null });
  mkdirSync(join(artifact, 'kernels'), { recursive: true });
  for (const [name, content] of files) writeFileSync(join(artifact, name), content);
  writeFileSync(join(artifact, `kernels/${kernel.name}.cu`), printCuda(kernel));
  writeFileSync(join(artifact, 'kernels/flux2c.cuh'), cudaPrelude);
});

describe.skipIf(!isPossible)('a host program that walks over tiles', () => {
  /** 3 by 3 tiles and 4 chunks, the last of each in part. */
  const [rows, columns, depth] = [150, 130, 200];
  const x = Float32Array.from({ length: (rows + 1) * depth }, (_, at) => ((at * 7) % 11) - 5);
  const w = Float32Array.from({ length: columns * depth }, (_, at) => ((at * 5) % 13) - 6);
  const inputs = join(root, 'in.safetensors');
  const outputs = join(root, 'out.safetensors');

  async function run(program: string): Promise<readonly number[]> {
    const { exitCode, stderr } = await runProgram(program, ['main', '--inputs', inputs, '--outputs', outputs]);
    expect([exitCode, stderr]).toEqual([0, expect.stringContaining('out.y [150, 130] on the CUDA emulator')]);
    return [...readSafetensors(outputs).tensor('out.y').values];
  }

  it('gives the product, whole and in pieces', async () => {
    writeTensors(inputs, {
      x: { dtype: 'f32', shape: [rows + 1, depth], values: x },
      w: { dtype: 'f32', shape: [columns, depth], values: w },
    });
    const expected = Array.from({ length: rows * columns }, (_, at) => {
      const [row, column] = [Math.floor(at / columns) + 1, at % columns];
      let sum = 0;
      for (let place = 0; place < depth; place++) sum += x[row * depth + place]! * w[column * depth + place]!;
      return sum;
    });
    expect(await run(await buildForEmulator(artifact, join(root, 'whole')))).toEqual(expected);
    const pieces = await buildForEmulator(artifact, join(root, 'pieces'), '-DFLUX2C_MOST_BLOCKS={2,2,1}');
    expect(await run(pieces)).toEqual(expected);
  }, 300_000);

  it('refuses rows that 16 bytes do not divide, with launch, kernel and map', async () => {
    const narrow = writeTensors(join(root, 'narrow.safetensors'), {
      x: { dtype: 'f32', shape: [3, 12], values: x.slice(0, 36) },
      w: { dtype: 'f32', shape: [2, 12], values: w.slice(0, 24) },
    });
    const line = ['main', '--inputs', narrow, '--outputs', join(root, 'never.safetensors')];
    const { exitCode, stderr } = await runProgram(join(root, 'whole/host'), line);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(
      /F2C540[^]*launch product › kernel walk › tensor map [xw]_map › cuTensorMapEncodeTiled[^]*CUresult 1 for \[12, 2\], strides \[1, 12\]/,
    );
  });

  it('says when the driver is too old', async () => {
    const line = ['main', '--inputs', inputs, '--outputs', join(root, 'never.safetensors')];
    const { exitCode, stderr } = await runProgram(join(root, 'whole/host'), line, { FLUX2C_EMULATED_DRIVER: '11080' });
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/F2C543: the NVIDIA driver is too old[^]*launch product › kernel walk › tensor map/);
    expect(stderr).toContain('  found    one that knows CUDA 11.8\n');
  });
});

describe.skipIf(typeof nvcc === 'string')('with nvcc', () => {
  it('it builds with the line it names, without a library of the driver', async () => {
    const [command, ...options] = hostBuildLines([build])[0]!.split(' ');
    expect(command).toBe('nvcc');
    const { stderr } = await promisify(execFile)(findNvcc()!, options, { cwd: artifact });
    expect(stderr).toBe('');
    const { exitCode, stdout } = await runProgram(join(artifact, 'host'), ['--help']);
    expect([exitCode, stdout]).toEqual([0, expect.stringContaining('usage: host FUNCTION')]);
  }, 300_000);
});

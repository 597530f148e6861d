/** Printing host programs from plans: what is refused, and a plan that no model has. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { printCuda } from '../../backends/cuda/cuda.js';
import { printHostFiles } from '../../cli/compile-host.js';
import { Dim } from '../../ir/dim.js';
import { add, builtin, f32, i32, integer, multiply, parameter, register } from '../../ir/kernel/expressions.js';
import type { ThreadKernel } from '../../ir/kernel/thread.js';
import type { HostStep, Plan } from '../../ir/plan.js';
import { runCommandLine } from '../cli-harness.js';
import { hasProgram } from '../cuda-tools.js';
import { readSafetensors } from '../read-safetensors.js';
import { buildForEmulator, runProgram, writeTensors } from './host-program.js';

const root = mkdtempSync(join(tmpdir(), 'flux2c-host-print-'));
afterAll(() => rmSync(root, { recursive: true }));
const isPossible = await hasProgram('g++', 'a host program on the emulator');

/** r[i] = x[i ^ 1] by way of 64 KiB of workgroup memory, 16 elements a workgroup. */
const large: ThreadKernel = {
  phase: 'thread',
  name: 'exchange',
  buffers: [
    { name: 'x', storage: 'f32', lanes: 1, access: 'read' },
    { name: 'r', storage: 'f32', lanes: 1, access: 'write' },
  ],
  parameters: ['x_base', 'origin_x'],
  workgroupSize: 32,
  shared: [{ name: 'tile', type: f32, length: 2 ** 14 }],
  body: [
    { kind: 'let', name: 'i', type: i32, value: add(multiply(builtin('workgroup_x'), integer(32)), builtin('local_index')) },
    {
      kind: 'store_shared',
      array: 'tile',
      index: add(builtin('local_index'), integer(2 ** 14 - 32)),
      value: { kind: 'load', buffer: 'x', index: add(register('i', i32), parameter('x_base')), type: f32 },
    },
    { kind: 'barrier' },
    {
      kind: 'store',
      buffer: 'r',
      index: register('i', i32),
      value: {
        kind: 'load_shared',
        array: 'tile',
        index: add({ kind: 'binary', operator: 'xor', left: builtin('local_index'), right: integer(1) }, integer(2 ** 14 - 32)),
        type: f32,
      },
    },
  ],
}; // prettier-ignore

it.skipIf(!isPossible)(
  'runs a plan written by hand: much workgroup memory, a view, a copy, a result of the host',
  async () => {
    const n = Dim.symbol('n');
    const double = n.mul(2);
    const plan: Plan = {
    name: 'main',
    inputs: [{ name: 'x', dtype: 'f32', shape: [double], storage: 0 }],
    results: [
      { name: 'y', dtype: 'f32', shape: [n], storage: 2 },
      { name: 'count', dtype: 'i32', shape: [n], storage: 3 },
      { name: 'x', dtype: 'f32', shape: [2, n].map((size) => Dim.of(size)), storage: 0 },
    ],
    storages: [
      { id: 0, kind: 'input', storage: 'f32', size: double, label: 'x' },
      { id: 1, kind: 'temporary', storage: 'f32', size: n, label: 'exchanged' },
      { id: 2, kind: 'result', storage: 'f32', size: n, label: 'y' },
      { id: 3, kind: 'host', storage: 'i32', size: n, label: 'count' },
    ],
    weights: [],
    steps: [
      { kind: 'host', operation: 'iota', attributes: { size: n }, operands: [], results: [{ storage: 3, dtype: 'i32', shape: [n] }] },
      {
        kind: 'launch',
        kernel: 'exchange',
        label: 'exchanged',
        bindings: [
          { storage: 0, offset: n, access: 'read', span: n },
          { storage: 1, offset: Dim.of(0), access: 'write', span: n },
        ],
        parameters: [],
        grid: [{ extent: n, tile: 32 }, { extent: Dim.of(1), tile: 1 }, { extent: Dim.of(1), tile: 1 }],
        flop: Dim.of(0),
        bytes: Dim.of(0),
      },
      { kind: 'copy', from: { storage: 1, offset: Dim.of(0) }, to: { storage: 2, offset: Dim.of(0) }, size: n, label: 'y' },
    ],
  }; // prettier-ignore
    const files = printHostFiles({
      name: 'a plan',
      builds: [
        {
          name: 'mma',
          functions: new Map([['main', { component: 'none', plan }]]),
          kernels: new Map([['exchange', { thread: large }]]),
          architectures: ['sm_80'],
        },
      ],
      weights: null,
    });
    const folder = join(root, 'by-hand');
    mkdirSync(join(folder, 'kernels'), { recursive: true });
    for (const [name, content] of files) writeFileSync(join(folder, name), content);
    writeFileSync(join(folder, 'kernels/exchange.cu'), printCuda(large));
    const program = await buildForEmulator(folder, join(root, 'by-hand-program'));
    const size = 96;
    const values = Float32Array.from({ length: 2 * size }, (_, at) => at / 3);
    const given = writeTensors(join(root, 'x.safetensors'), { x: { dtype: 'f32', shape: [2 * size], values } });
    const outputs = join(root, 'y.safetensors');
    const { exitCode, stderr } = await runProgram(program, ['main', '--inputs', given, '--outputs', outputs]);
    expect([exitCode, stderr]).toEqual([
      0,
      expect.stringMatching(/^out.count \[96\], out.x \[2, 96\], out.y \[96\] on/),
    ]);
    const file = readSafetensors(outputs);
    expect([...file.tensor('out.y').values]).toEqual(Array.from({ length: size }, (_, at) => values[size + (at ^ 1)]));
    expect([...file.tensor('out.count').values]).toEqual(Array.from({ length: size }, (_, at) => at));
    expect([...file.tensor('out.x').values]).toEqual([...values]);
  },
  300_000,
);

describe('printing a host program', () => {
  const size = Dim.symbol('n');
  const input = { name: 'x', dtype: 'f32', shape: [size], storage: 0 } as const;
  const plan: Plan = {
    name: 'main',
    inputs: [input],
    results: [input],
    storages: [{ id: 0, kind: 'input', storage: 'f32', size, label: 'x' }],
    weights: [],
    steps: [],
  };
  const mma = { name: 'mma', architectures: ['sm_80', 'sm_120'] } as const;
  const wgmma = { name: 'wgmma', architectures: ['sm_90a'] } as const;
  const print = (changed: Partial<Plan>, families: readonly (typeof mma | typeof wgmma)[] = [mma]) => {
    const functions = new Map([['main', { component: 'vae', plan: { ...plan, ...changed } }]]);
    const builds = families.map((family) => ({ ...family, functions, kernels: new Map<string, never>() }));
    return printHostFiles({ name: 'a model', builds, weights: null });
  };

  it('leaves the choice among several architectures to nvcc', () => {
    expect([...print({}).keys()]).toEqual(['host.cu', 'flux2c-host.h']);
    expect(print({}).get('host.cu')).toContain('nvcc -std=c++17 -O2 -arch=native host.cu -o host');
    expect(print({}, [wgmma]).get('host.cu')).toContain(' -gencode arch=compute_90a,code=sm_90a host.cu ');
  });

  it('gives a program for each build', () => {
    const files = print({}, [mma, wgmma]);
    expect([...files.keys()]).toEqual(['host.mma.cu', 'host.wgmma.cu', 'flux2c-host.h']);
    expect(files.get('host.mma.cu')).toContain(' -arch=native host.mma.cu -o host');
    expect(files.get('host.wgmma.cu')).toContain(' -gencode arch=compute_90a,code=sm_90a host.wgmma.cu -o host');
  });

  it('refuses an operation of the host that has no C++', () => {
    const operand = { kind: 'storage', ...input } as const;
    const step: HostStep = { kind: 'host', operation: 'erf', attributes: {}, operands: [operand], results: [input] };
    expect(() => print({ steps: [step] })).toThrow(
      expect.objectContaining({
        code: 'F2C232',
        message: "a host program cannot compute 'erf' on the processor",
      }) as Error,
    );
  });

  it('refuses sizes that no input determines, and types that no file of inputs has', () => {
    const square = { ...input, shape: [size.mul(Dim.symbol('m'))] };
    expect(() => print({ inputs: [square] })).toThrow(expect.objectContaining({ code: 'F2C163' }) as Error);
    expect(() => print({ results: [{ ...input, dtype: 'bool' }] })).toThrow(
      expect.objectContaining({ code: 'F2C232' }) as Error,
    );
  });

  it('belongs to --target cuda', async () => {
    const { exitCode, stderr } = await runCommandLine(['compile', '-o', join(root, 'never'), '--host', 'cpp']);
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining('error F2C703')]);
  });
});

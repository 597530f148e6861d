import { describe, expect, it } from 'vitest';
import { cudaTarget } from '../../backends/cuda/cuda-target.js';
import { printWgsl } from '../../backends/webgpu/wgsl.js';
import { compileWasm } from '../../backends/cpu/wasm.js';
import { randomThreadKernel } from '../../test/random-kernel.js';
import { walkingProduct, walkingProductOf } from '../../test/walking-product.js';
import { codeOf } from '../../test/code-of.js';
import { Dim } from '../dim.js';
import { integer, parameter } from './expressions.js';
import type { BarrierPlace, Statement, TensorMap, ThreadKernel } from './thread.js';
import { registersAtLaunch } from './registers.js';
import { parseThreadKernel } from './thread-parse.js';
import { printThreadKernel } from './thread-print.js';
import { verifyThreadKernel } from './thread-verify.js';

const hopper = cudaTarget(['sm_90a']);

function verified(text: string, target = hopper): string {
  return codeOf(() => verifyThreadKernel(parseThreadKernel(text), target), 'accepted');
}

/** The random kernel with what copies and barriers add to a kernel, chosen by the seed. */
function withBarriers(seed: number): ThreadKernel {
  const kernel = randomThreadKernel(seed);
  const symbols = ['count', 'shift'];
  const polynomial = (at: number): Dim =>
    symbols.reduce(
      (sum, symbol, index) =>
        sum.add(
          Dim.symbol(symbol)
            .mul(Dim.of(symbols[(at + index) % 2] ?? 1))
            .mul((at % 7) - 3),
        ),
      Dim.of(((seed + at) % 5) - 2),
    );
  const map = (name: string, rank: number): TensorMap => ({
    name,
    buffer: 'numbers',
    offset: polynomial(seed),
    dimensions: Array.from({ length: rank }, (_, at) => ({
      extent: polynomial(seed + at),
      stride: polynomial(seed + 2 * at + 1),
      box: 1 + ((seed + at) % 256),
    })),
  });
  const barrier: BarrierPlace = { array: 'filled', index: parameter('shift') };
  const copies: readonly Statement[] = [
    { kind: 'expect_copies', barrier, bytes: 128 * (1 + (seed % 9)) },
    {
      kind: 'copy_tensor',
      array: 'exchange',
      index: integer(64),
      map: 'boxes',
      at: [integer(0), parameter('count')],
      barrier,
    },
    { kind: 'arrive', barrier },
    { kind: 'wait_barrier', barrier, parity: parameter('count') },
  ];
  return {
    ...kernel,
    ...(seed % 2 === 0 ? { walksTiles: true } : {}),
    tensorMaps: [map('boxes', 2), map('more', 2 + (seed % 4))],
    barriers: [
      { name: 'filled', length: 1 + (seed % 4), arrivals: 1 },
      { name: 'emptied', length: 2, arrivals: 1 + (seed % 8) },
    ],
    body: [
      {
        kind: 'roles',
        roles: [
          { name: 'multiply', invocations: 128, registers: 232, body: kernel.body },
          { name: 'copy', invocations: 128 * (seed % 3), registers: 24, body: seed % 3 === 0 ? [] : copies },
        ],
      },
    ],
  };
}

describe('text form of copies and barriers', () => {
  it('prints what it parsed', () => {
    expect(printThreadKernel(parseThreadKernel(walkingProduct))).toBe(walkingProduct);
  });

  it('reads back every generated kernel as the same kernel', () => {
    for (let seed = 0; seed < 100; seed++) {
      const kernel = withBarriers(seed);
      const read = parseThreadKernel(printThreadKernel(kernel));
      expect(read, `seed ${seed}`).toEqual(kernel);
      expect(Object.keys(read).sort()).toEqual(Object.keys(kernel).sort());
    }
  });

  it.each([
    ['extent p0 stride 1 box 64, ', 'extent p0 / 2 stride 1 box 64, '],
    ['stride p0 box', 'stride -- p0 box'],
    ['copy invocations(128)', 'copy'],
    ['to filled[stage]', 'filled[stage]'],
    ['bytes 16384', '16384'],
    ['arrivals(1)', ''],
  ])('refuses %s as %s', (text, broken) => {
    expect(codeOf(() => parseThreadKernel(walkingProduct.replace(text, broken)))).toBe('F2C210');
  });
});

describe('verification of copies and barriers', () => {
  it('accepts the walking product, for a target that has what it uses', () => {
    expect(verified(walkingProduct)).toBe('accepted');
    expect(verified(walkingProductOf(2))).toBe('accepted');
    const { tensorCopies, ...without } = hopper;
    expect(tensorCopies).toBe(true);
    expect(verified(walkingProduct, without)).toBe('F2C231');
    expect(cudaTarget(['sm_90a', 'sm_120']).tensorCopies).toBeUndefined();
    expect(verified(walkingProduct, { ...hopper, tileWalks: false })).toBe('F2C231');
  });

  it.each([
    // Names.
    ['F2C226', 'x_map of x', 'x_map of v'],
    ['F2C226', 'extent p1', 'extent p3'],
    ['F2C226', 'from 0', 'from p3'],
    ['F2C226', '= x_map[', '= y_map['],
    ['F2C226', 'wait_barrier filled', 'wait_barrier full'],
    ['F2C226', 'copy_tensor stage_x', 'copy_tensor stage_y'],
    ['F2C228', 'barriers emptied', 'barriers filled'],
    ['F2C228', 'tensor w_map', 'tensor x_map'],
    ['F2C228', 'copy invocations', 'multiply invocations'],
    ['F2C228', 'buffer y', 'buffer arrive'],
    ['F2C229', 'x_map of x', 'x_map of y'],
    // Tensor maps.
    ['F2C230', 'stride 1 box 64', 'stride 2 box 64'],
    ['F2C230', 'stride 1 box 64', 'stride 1 box 32'],
    ['F2C230', 'stride p0 box 64', 'stride p0 box 257'],
    ['F2C230', 'stride p0 box 64', 'stride p0 box 0'],
    ['F2C230', 'stride p0 box 64', 'stride 12 box 64'],
    ['F2C230', 'extent p1', 'extent 0'],
    ['F2C230', 'from 0', 'from 4'],
    ['F2C230', 'from 0', 'from -8'],
    ['F2C230', ', extent p1 stride p0 box 64', ''],
    ['F2C230', 'extent p1 stride p0 box 64', new Array<string>(5).fill('extent p1 stride p0 box 1').join(', ')],
    // Barriers.
    ['F2C230', 'filled[2] arr', 'filled[0] arr'],
    ['F2C230', 'arrivals(1)', 'arrivals(0)'],
    ['F2C230', 'arrivals(1)', 'arrivals(1048576)'],
    ['F2C222', 'wait_barrier filled[stage]', 'wait_barrier filled[1.0]'],
    ['F2C230', 'wait_barrier filled[stage]', 'wait_barrier filled[2]'],
    ['F2C222', 'parity filling / 2 % 2', 'parity true'],
    ['F2C230', 'parity filling / 2 % 2', 'parity 2'],
    ['F2C230', 'bytes 16384', 'bytes 0'],
    ['F2C230', 'bytes 16384', 'bytes 8192'],
    ['F2C230', 'bytes 16384', 'bytes 16400'],
    ['F2C230', 'bytes 16384', 'bytes 1048576'],
    ['F2C230', 'expect_copies filled[stage] bytes 16384', 'arrive filled[stage]'],
    ['F2C230', 'arrive emptied[(filling - 1) % 2]', 'expect_copies emptied[0] bytes 128'],
    // Copies.
    ['F2C230', 'x_map[chunk * 64, tile % tiles_x * 64]', 'x_map[chunk * 64]'],
    ['F2C222', 'x_map[chunk * 64, ', 'x_map[1.0, '],
    ['F2C222', 'stage_x[stage * 512] = ', 'stage_x[1.0] = '],
    ['F2C230', 'stage_x[stage * 512] = ', 'stage_x[32] = '],
    ['F2C230', 'stage_x[stage * 512] = ', 'stage_x[576] = '],
    ['F2C230', 'stage_x: u32x4[1024]', 'stage_x: u32x4[448]'],
    ['F2C222', 'stage_x: u32x4[1024]', 'stage_x: f32x4[1024]'],
    ['F2C223', 'stage_x: u32x4[1024]', 'stage_x: u32x2[1024]'],
    // Roles.
    ['F2C230', 'copy invocations(128)', 'copy invocations(64)'],
    ['F2C230', 'copy invocations(128)', 'copy invocations(256)'],
    ['F2C230', 'copy invocations(128)', 'copy invocations(0)'],
    ['F2C230', 'registers(40)', 'registers(16)'],
    ['F2C230', 'registers(40)', 'registers(42)'],
    ['F2C230', 'registers(40)', 'registers(264)'],
    ['F2C233', 'begin_products', 'barrier'],
    ['F2C233', 'if local_index == 128 {', 'roles { copy invocations(256) registers(24) { } } if local_index == 128 {'],
    ['F2C233', '  roles {', '  roles { all invocations(256) registers(24) { } }\n  roles {'],
    ['F2C233', 'group_index + round', 'workgroup_x + round'],
    ['F2C233', ' walks_tiles', ''],
    // Control flow.
    ['F2C225', 'begin_products', 'if subgroup_lane == 0 { begin_products }'],
    ['F2C225', 'for chunk = 0 to chunks', 'for chunk = 0 to chunks + local_index'],
    ['F2C220', 'if local_index == 128 {', 'if row == 128 {'],
  ])('%s: %s as %s', (code, text, broken) => {
    expect(walkingProduct).toContain(text);
    expect(verified(walkingProduct.replace(text, broken))).toBe(code);
  });

  it('counts registers and barriers among what a workgroup has', () => {
    const roles = '  roles {\n    multiply invocations(128) registers(232)';
    expect(verified(walkingProduct.replace('registers(40)', 'registers(256)'))).toBe('accepted');
    const wide = walkingProduct
      .replace('workgroup(256)', 'workgroup(384)')
      .replace(roles, `  roles {\n    idle invocations(128) registers(232) { }${roles.slice(9)}`);
    // Of 65536 registers, 384 invocations begin with 168 each; the other 1024 are nobody's.
    expect(registersAtLaunch(384)).toBe(168);
    expect(verified(wide)).toBe('accepted');
    expect(verified(wide.replace('registers(40)', 'registers(48)'))).toBe('F2C227');
    expect(verified(walkingProduct, { ...hopper, workgroupMemory: 32 * 1024 + 32 })).toBe('accepted');
    expect(verified(walkingProduct, { ...hopper, workgroupMemory: 32 * 1024 + 31 })).toBe('F2C227');
  });

  it('wants the numbers of tiles of a kernel that walks over them', () => {
    const walk = (parameters: string): string => `kernel @walk workgroup(1) walks_tiles params(${parameters}) { }`;
    expect(verified(walk('tiles_z, tiles_y, tiles_x'))).toBe('accepted');
    expect(verified(walk('tiles_x, tiles_y'))).toBe('F2C226');
    // Other GPUs walk, too.
    expect(verified(walk('tiles_x, tiles_y, tiles_z'), cudaTarget(['sm_80']))).toBe('accepted');
  });

  it('takes what a role assigned as different afterwards', () => {
    const after = (assigned: string): string => `kernel @after workgroup(256) subgroup(32)
      shared tile: f32[1]
    {
      var a: i32 = 0
      roles {
        first invocations(128) registers(24) { ${assigned} }
        second invocations(128) registers(24) { if a < 1 { let b: i32 = subgroup_add(a) } }
      }
      if a < 1 { barrier }
    }`;
    expect(verified(after(''))).toBe('accepted');
    expect(verified(after('a = 1'))).toBe('F2C225');
  });

  it('is refused by backends that have nothing of it', () => {
    const kernel = parseThreadKernel(walkingProduct);
    expect(codeOf(() => printWgsl(kernel))).toBe('F2C231');
    expect(codeOf(() => compileWasm(kernel))).toBe('F2C215');
    const roles = parseThreadKernel(`kernel @roles workgroup(128) {
      roles { all invocations(128) registers(24) { } }
    }`);
    expect(codeOf(() => printWgsl(roles))).toBe('F2C231');
    expect(codeOf(() => compileWasm(roles))).toBe('F2C215');
  });
});

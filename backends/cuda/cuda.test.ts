import { describe, expect, it } from 'vitest';
import {
  add,
  binary,
  builtin,
  constant,
  convert,
  float,
  i32,
  integer,
  lane,
  lessThan,
  modulo,
  multiply,
  parameter,
  register,
  subtract,
  unary,
  vectorOf,
} from '../../ir/kernel/expressions.js';
import type { Expression, ThreadKernel } from '../../ir/kernel/thread.js';
import { Dim } from '../../ir/dim.js';
import { cudaEntryPoint, cudaSharedBytes, printCuda } from './cuda.js';

const f32x4 = vectorOf('f32', 4);
const i = register('i', i32);

const kernel: ThreadKernel = {
  phase: 'thread',
  name: 'scale-rows',
  buffers: [
    { name: 'x', storage: 'bf16', lanes: 4, access: 'read' },
    { name: 'template', storage: 'f32', lanes: 4, access: 'write' },
  ],
  parameters: ['origin_x', 'count'],
  workgroupSize: 8,
  shared: [
    { name: 'flags', type: vectorOf('bool', 1), length: 3 },
    { name: 'tile', type: f32x4, length: 8 },
  ],
  body: [
    {
      kind: 'let',
      name: 'i',
      type: i32,
      value: add(multiply(builtin('workgroup_x'), integer(8)), builtin('local_index')),
    },
    { kind: 'var', name: 'sum', type: f32x4, value: float(-Infinity, 4) },
    {
      kind: 'for',
      variable: 'k',
      start: integer(0),
      end: i,
      step: 2,
      body: [
        {
          kind: 'assign',
          name: 'sum',
          value: {
            kind: 'fma',
            a: { kind: 'load', buffer: 'x', index: register('k', i32), type: f32x4 },
            b: float(0.1, 4),
            c: register('sum', f32x4),
          },
        },
      ],
    },
    { kind: 'store_shared', array: 'tile', index: builtin('local_index'), value: register('sum', f32x4) },
    { kind: 'barrier' },
    {
      kind: 'if',
      condition: lessThan(i, parameter('count')),
      then: [
        {
          kind: 'store',
          buffer: 'template',
          index: i,
          value: {
            kind: 'load_shared',
            array: 'tile',
            index: subtract(integer(7), builtin('local_index')),
            type: f32x4,
          },
        },
      ],
    },
  ],
};

describe('printCuda', () => {
  it('prints a kernel', () => {
    expect(`\n${printCuda(kernel)}`).toBe(`
// @scale-rows: 8 invocations a workgroup, 1152 bytes of shared memory
//   0 x: read bf16 x4
//   1 template: write f32 x4
//   parameters origin_x, count
#include "flux2c.cuh"

struct scale_rows_parameters {
  int origin_x;
  int count;
};

extern "C" __global__ void __launch_bounds__(8)
scale_rows(
    f2c::Read<f2c::bf16, 4> x,
    f2c::Write<float, 4> template_,
    const scale_rows_parameters parameters) {
  const int workgroup_x = int(blockIdx.x) + parameters.origin_x;
  const int local_index = int(threadIdx.x);
  const auto flags = f2c::shared_array<bool>(0, 3);
  const auto tile = f2c::shared_array<f2c::f32x4>(1024, 8);
  const int i = workgroup_x * 8 + local_index;
  f2c::f32x4 sum = f2c::splat<4>(-f2c::infinity());
  const int k_end = i;
  for (int k = 0; k < k_end; k += 2) {
    sum = f2c::fma(f2c::load(x, k), f2c::splat<4>(0.1f), sum);
  }
  f2c::store(tile, local_index, sum);
  __syncthreads();
  if (i < parameters.count) {
    f2c::store(template_, i, f2c::load(tile, 7 - local_index));
  }
}
`);
  });

  it('prints tensor maps, barriers and roles', () => {
    const text = printCuda({
      ...kernel,
      name: 'walk',
      buffers: kernel.buffers.slice(0, 1),
      parameters: ['count'],
      tensorMaps: [
        {
          name: 'x_map',
          buffer: 'x',
          offset: Dim.of(0),
          dimensions: [
            { extent: Dim.symbol('count'), stride: Dim.of(1), box: 64 },
            { extent: Dim.of(9), stride: Dim.symbol('count'), box: 16 },
          ],
        },
      ],
      barriers: [
        { name: 'filled', length: 2, arrivals: 1 },
        { name: 'emptied', length: 2, arrivals: 4 },
      ],
      walksTiles: true,
      workgroupSize: 384,
      shared: [
        { name: 'tile', type: vectorOf('u32', 4), length: 256 },
        { name: 'flags', type: vectorOf('bool', 1), length: 3 },
      ],
      body: [
        {
          kind: 'roles',
          roles: [
            { name: 'use', invocations: 128, registers: 240, body: [{ kind: 'wait_barrier', barrier: { array: 'filled', index: integer(1) }, parity: integer(0) }] },
            { name: 'rest', invocations: 128, registers: 168, body: [{ kind: 'arrive', barrier: { array: 'emptied', index: builtin('group_index') } }] },
            {
              name: 'copy',
              invocations: 128,
              registers: 24,
              body: [
                { kind: 'expect_copies', barrier: { array: 'filled', index: integer(1) }, bytes: 2048 },
                { kind: 'copy_tensor', array: 'tile', index: integer(128), map: 'x_map', at: [integer(64), builtin('group_count')], barrier: { array: 'filled', index: integer(1) } },
              ],
            },
          ],
        },
      ],
    }); // prettier-ignore
    expect(`\n${text}`).toBe(`
// @walk: 384 invocations a workgroup, 4136 bytes of shared memory
//   0 x: read bf16 x4
//   x_map: map of x, box 64x16, 2048 bytes
//   filled: barriers of 1 arrivals x2
//   emptied: barriers of 4 arrivals x2
//   parameters count
#include "flux2c.cuh"

struct walk_parameters {
  int count;
};

extern "C" __global__ void __launch_bounds__(384, 1)
walk(
    f2c::Read<f2c::bf16, 4> x,
    const __grid_constant__ f2c::TensorMap x_map,
    const walk_parameters parameters) {
  const int group_index = int(blockIdx.x);
  const int group_count = int(gridDim.x);
  const auto tile = f2c::shared_array<f2c::u32x4>(0, 256);
  const auto flags = f2c::shared_array<bool>(4096, 3);
  const auto filled = f2c::barrier_array(4104, 2);
  const auto emptied = f2c::barrier_array(4120, 2);
  if (threadIdx.x == 0) {
    f2c::prefetch_tensor_map(x_map);
    f2c::set_up_barriers(filled, 1);
    f2c::set_up_barriers(emptied, 4);
    f2c::fence_barriers();
  }
  __syncthreads();
  if (threadIdx.x < 128) {
    // use
    f2c::take_registers<240>();
    f2c::wait_barrier(filled, 1, 0);
  } else if (threadIdx.x < 256) {
    // rest
    f2c::take_registers<168>();
    f2c::arrive(emptied, group_index);
  } else {
    // copy
    f2c::give_registers<24>();
    f2c::expect_copies(filled, 1, 2048);
    f2c::copy_tensor(tile, 128, x_map, f2c::coordinates(64, group_count), filled, 1);
  }
}
`);
  });

  it('asks for the shared memory that its arrays take', () => {
    expect(cudaSharedBytes(kernel)).toBe(1152);
    expect(cudaSharedBytes({ shared: [] })).toBe(0);
    expect(cudaSharedBytes({ shared: [{ name: 'halves', type: vectorOf('f16', 2), length: 1000 }] })).toBe(4000);
  });

  it('names functions so that C, C++ and their libraries have no say in it', () => {
    const names = ['matmul_5236a3ed', 'a.b-c', '3d', '_x', 'exp', 'double', 'main', 'f2c'];
    expect(names.map((name) => cudaEntryPoint({ name }))).toEqual([
      'matmul_5236a3ed',
      'a_b_c',
      'v3d',
      'v_x',
      'exp_',
      'double_',
      'main_',
      'f2c_',
    ]);
  });

  it('keeps names of registers apart from words of C++, the function and the other names', () => {
    const body = ['int', 'int_', 'threadIdx', 'scale_rows', 'k_end', '__x'].map(
      (name) => ({ kind: 'let', name, type: i32, value: integer(1) }) as const,
    );
    const loop = {
      kind: 'for',
      variable: 'k',
      start: integer(0),
      end: register('int', i32),
      step: 1,
      body: [],
    } as const;
    const text = printCuda({ ...kernel, buffers: [], parameters: [], shared: [], body: [...body, loop] });
    expect([...text.matchAll(/const int (\w+) =/g)].map(([, name]) => name)).toEqual([
      'int_',
      'int__',
      'threadIdx_',
      'scale_rows_',
      'k_end',
      'v__x',
      'k_end_',
    ]);
  });

  it('keeps the tree with as few parentheses as C++ allows', () => {
    const a = register('a', i32);
    const b = register('b', i32);
    const text = (value: Expression): string => {
      const printed = printCuda({
        ...kernel,
        buffers: [],
        parameters: [],
        shared: [],
        body: [{ kind: 'let', name: 'r', type: i32, value }],
      });
      return /= (.*);\n}\n$/.exec(printed)?.[1] ?? printed;
    };
    expect(text(subtract(a, subtract(a, b)))).toBe('a - (a - b)');
    expect(text(subtract(subtract(a, b), a))).toBe('a - b - a');
    expect(text(multiply(add(a, b), modulo(a, integer(4))))).toBe('(a + b) * (a % 4)');
    expect(text(binary('div', add(a, b), b))).toBe('f2c::divide(a + b, b)');
    expect(text(binary('mod', a, b))).toBe('f2c::remainder(a, b)');
    expect(text(unary('neg', integer(-3)))).toBe('-(-3)');
    expect(text(subtract(a, integer(-3)))).toBe('a - -3');
    expect(text(binary('shift_left', add(a, b), integer(3)))).toBe('(a + b) << 3');
    expect(text(binary('shift_right', a, b))).toBe('a >> (b & 31)');
    expect(text(binary('and', lessThan(a, b), lessThan(b, add(a, b))))).toBe('(a < b) && (b < a + b)');
    expect(text(binary('xor', binary('and', a, b), b))).toBe('(a & b) ^ b');
    expect(text(integer(-(2 ** 31)))).toBe('(-2147483647 - 1)');
    expect(text(constant(2 ** 32 - 1, vectorOf('u32', 1)))).toBe('4294967295u');
    expect(text(lane(register('v', f32x4), 2))).toBe('v.z');
    expect(text({ kind: 'shuffle', operand: register('v', f32x4), lanes: [3, 0] })).toBe('f2c::shuffle<3, 0>(v)');
    expect(text(convert(float(NaN), 'i32'))).toBe('f2c::convert<int>(f2c::not_a_number())');
    expect(text(constant(0.1, vectorOf('f16', 2)))).toBe('f2c::splat<2>(f2c::f16(0.1f))');
    expect(text(float(1e-45))).toBe('1e-45f');
  });

  it('skips no operation of a warp', () => {
    const any = lessThan({ kind: 'subgroup_reduce', operator: 'max', operand: i }, integer(3));
    const condition = binary('and', lessThan(i, integer(1)), any);
    const body = [{ kind: 'if', condition, then: [] } as const];
    const text = printCuda({ ...kernel, workgroupSize: 32, subgroupSize: 32, body });
    expect(text).toContain('if ((i < 1) & (f2c::subgroup_max(i) < 3)) {');
    expect(() => printCuda({ ...kernel, subgroupSize: 8, body })).toThrowError(
      expect.objectContaining({ code: 'F2C230' }) as Error,
    );
  });
});

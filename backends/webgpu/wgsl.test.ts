import { describe, expect, it } from 'vitest';
import {
  add,
  binary,
  builtin,
  float,
  i32,
  integer,
  lane,
  lessThan,
  modulo,
  multiply,
  multiplyAdd,
  parameter,
  register,
  splat,
  subtract,
  unary,
  vectorOf,
} from '../../ir/kernel/expressions.js';
import type { Expression, Statement, ThreadKernel } from '../../ir/kernel/thread.js';
import { printWgsl } from './wgsl.js';

const f32x4 = vectorOf('f32', 4);
const index = register('i', i32);
const defineIndex: Statement = {
  kind: 'let',
  name: 'i',
  type: i32,
  value: add(multiply(builtin('workgroup_x'), integer(8)), builtin('local_index')),
};

describe('printWgsl', () => {
  const kernel: ThreadKernel = {
    phase: 'thread',
    name: 'scale_rows',
    buffers: [
      { name: 'x', storage: 'bf16', lanes: 4, access: 'read' },
      { name: 'target', storage: 'f32', lanes: 4, access: 'write' },
    ],
    parameters: ['origin_x', 'count'],
    workgroupSize: 8,
    shared: [{ name: 'tile', type: f32x4, length: 8 }],
    body: [
      defineIndex,
      { kind: 'var', name: 'sum', type: f32x4, value: float(-Infinity, 4) },
      {
        kind: 'for',
        variable: 'k',
        start: integer(0),
        end: index,
        step: 2,
        body: [
          {
            kind: 'assign',
            name: 'sum',
            value: multiplyAdd(
              { kind: 'load', buffer: 'x', index: register('k', i32), type: f32x4 },
              splat(float(0.1), 4),
              register('sum', f32x4),
            ),
          },
        ],
      },
      { kind: 'store_shared', array: 'tile', index: builtin('local_index'), value: register('sum', f32x4) },
      { kind: 'barrier' },
      {
        kind: 'if',
        condition: lessThan(index, parameter('count')),
        then: [
          {
            kind: 'store',
            buffer: 'target',
            index,
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

  it('prints a module that reads like the kernel', () => {
    expect(printWgsl(kernel, 'block.0.scale')).toBe(`// @scale_rows: 8 invocations a workgroup
// block.0.scale
//   0 x: read bf16 x4
//   1 target: write f32 x4
//   parameters origin_x, count

@group(0) @binding(0) var<storage, read> x: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read_write> target_: array<vec4<f32>>;
struct Parameters {
  origin_x: i32,
  count: i32,
}
@group(1) @binding(0) var<uniform> parameters: Parameters;
var<workgroup> tile: array<vec4<f32>, 8>;

fn infinity() -> f32 {
  let bits = 0x7f800000u;
  return bitcast<f32>(bits);
}

fn widen_bf16x4(words: vec2<u32>) -> vec4<f32> {
  let low = words << vec2<u32>(16u);
  let high = words & vec2<u32>(0xffff0000u);
  return bitcast<vec4<f32>>(vec4<u32>(low.x, high.x, low.y, high.y));
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) workgroup_id: vec3<u32>, @builtin(local_invocation_index) local_invocation_index: u32) {
  let workgroup_x = i32(workgroup_id.x) + parameters.origin_x;
  let local_index = i32(local_invocation_index);
  let i: i32 = workgroup_x * 8 + local_index;
  var sum: vec4<f32> = vec4<f32>(-infinity());
  let k_end = i;
  for (var k: i32 = 0; k < k_end; k += 2) {
    sum = fma(widen_bf16x4(x[k]), vec4<f32>(0.1f), sum);
  }
  tile[local_index] = sum;
  workgroupBarrier();
  if (i < parameters.count) {
    target_[i] = tile[7 - local_index];
  }
}
`);
  });

  it('hides how often a loop runs from drivers that would unroll it', () => {
    const loop: Statement = { kind: 'for', variable: 'k', start: integer(0), end: integer(96), step: 4, body: [] };
    const counted: ThreadKernel = { ...kernel, shared: [], body: [loop] };
    expect(printWgsl(counted, '', { hideLoopCounts: true })).toContain(`  let k_end = 96 + min(parameters.origin_x, 0);
  for (var k: i32 = 0; k < k_end; k += 4) {
`);
    expect(printWgsl(counted)).toContain('k < 96;');
    // Without a parameter to do it by.
    expect(printWgsl({ ...counted, parameters: ['count'] }, '', { hideLoopCounts: true })).toContain('k < 96;');
  });

  it('keeps the tree with as few parentheses as WGSL allows', () => {
    const a = register('a', i32);
    const b = register('b', i32);
    const text = (value: Expression): string => {
      const printed = printWgsl({
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
    expect(text(unary('neg', integer(-3)))).toBe('-(-3)');
    expect(text(subtract(a, integer(-3)))).toBe('a - -3');
    expect(text(binary('shift_left', add(a, b), integer(3)))).toBe('(a + b) << 3u');
    expect(text(binary('shift_right', a, b))).toBe('a >> u32(b)');
    expect(text(binary('and', lessThan(a, b), lessThan(b, add(a, b))))).toBe('(a < b) && (b < a + b)');
    expect(text(integer(-(2 ** 31)))).toBe('i32(-2147483648)');
    expect(text(lane(register('v', f32x4), 2))).toBe('v.z');
  });
});

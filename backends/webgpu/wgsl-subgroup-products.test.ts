import { describe, expect, it } from 'vitest';
import { codeOf } from '../../test/code-of.js';
import { largeCase, smallCase, subgroupProductKernel } from '../../test/subgroup-products.js';
import { parseThreadKernel } from '../../ir/kernel/thread-parse.js';
import { printWgsl } from './wgsl.js';

describe('printWgsl of products of subgroups', () => {
  it('prints matrices of the extension, and counts invocations by subgroups', () => {
    const kernel = parseThreadKernel(subgroupProductKernel({ ...smallCase, steps: 1 }));
    expect(printWgsl(kernel))
      .toBe(`// @subgroup_product: 16 invocations a workgroup, subgroups of 8, which multiply 8x8 by 8x8
//   0 x: read u32 x1
//   1 w: read u32 x1
//   2 y: write f32 x4
enable f16;
enable chromium_experimental_subgroup_matrix;
enable subgroups;

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> w: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;
var<workgroup> stage_x: array<u32, 128>;
var<workgroup> stage_w: array<u32, 64>;
var<workgroup> slab: array<vec4<f32>, 48>;

@compute @workgroup_size(16)
fn main(@builtin(subgroup_id) subgroup_id: u32, @builtin(subgroup_invocation_id) subgroup_invocation_id: u32) {
  let local_index = i32(subgroup_id * 8u + subgroup_invocation_id);
  let subgroup_index = i32(subgroup_id);
  var c_0 = subgroup_matrix_result<f32, 8, 8>();
  for (var k: i32 = 0; k < 1; k++) {
    for (var i: i32 = local_index; i < 64; i += 16) {
      stage_x[i / 4 * 8 + i % 4] = x[i / 4 * 4 + k * 4 + i % 4];
    }
    for (var i: i32 = local_index; i < 32; i += 16) {
      stage_w[i / 4 * 8 + i % 4] = w[i / 4 * 4 + k * 4 + i % 4];
    }
    workgroupBarrier();
    let a_0 = subgroupMatrixLoad<subgroup_matrix_left<f16, 8, 8>, row_major>(&stage_x, u32(subgroup_index * 64), 8u);
    let b_0 = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&stage_w, u32(0), 8u);
    c_0 = subgroupMatrixMultiplyAccumulate(a_0, b_0, c_0);
    workgroupBarrier();
  }
  subgroupMatrixStore<row_major>(&slab, u32(subgroup_index * 24), c_0, 3u);
  workgroupBarrier();
  for (var i: i32 = local_index; i < 32; i += 16) {
    y[i] = slab[i / 2 * 3 + i % 2];
  }
}
`);
  });

  it('gives types their columns first', () => {
    const product = { rows: 16, columns: 8, depth: 32 };
    const text = printWgsl(parseThreadKernel(subgroupProductKernel({ ...largeCase, product })));
    expect(text).toContain('subgroups of 64, which multiply 16x32 by 32x8');
    expect(text).toContain('var c_0 = subgroup_matrix_result<f32, 8, 16>();');
    expect(text).toContain('subgroupMatrixLoad<subgroup_matrix_left<f16, 32, 16>, row_major>(&stage_x,');
    expect(text).toContain('subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 32>, row_major>(&stage_w,');
  });

  it('enables subgroups only for what needs them', () => {
    const head = 'kernel @tested workgroup(16) subgroup(8)';
    const text = (body: string, product = ''): string =>
      printWgsl(parseThreadKernel(`${head}${product} buffer y: write i32 x1 shared s: f32x4[64] { ${body} }`));
    const store = 'declare_sums c store_sums s[subgroup_index * 16] pitch 2 = c';
    expect(text(store, ' product(8, 8, 8)')).not.toContain('enable subgroups;');
    expect(text(`${store} y[local_index] = 0`, ' product(8, 8, 8)')).toContain('enable subgroups;');
    expect(text('y[subgroup_index] = 0')).toContain('enable subgroups;');
    expect(text('y[local_index] = 0')).toContain('let local_index = i32(local_invocation_index);');
    expect(codeOf(() => text(store))).toBe('F2C230');
  });

  it('keeps names clear of the words of the extension', () => {
    const renamed = subgroupProductKernel(smallCase)
      .replaceAll('a_0', 'subgroupMatrixLoad')
      .replaceAll('b_0', 'row_major')
      .replaceAll('c_0', 'subgroup_id');
    const text = printWgsl(parseThreadKernel(renamed));
    expect(text).toContain('let subgroupMatrixLoad_ = subgroupMatrixLoad<');
    expect(text).toContain(
      'subgroup_id_ = subgroupMatrixMultiplyAccumulate(subgroupMatrixLoad_, row_major_, subgroup_id_);',
    );
  });
});

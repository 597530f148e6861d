import { KernelNames } from '../kernel-names.js';

/**
 * Keywords, reserved words, predeclared types and the builtin functions that the printer calls: a kernel's own names must
 * not shadow them. From the WGSL specification, sections "Keyword Summary" and "Reserved Words".
 */
const reserved = new Set(
  `alias break case const const_assert continue continuing default diagnostic discard else enable false fn for if let loop
  override requires return struct switch true var while
  NULL Self abstract active alignas alignof as asm asm_fragment async attribute auto await become cast catch class co_await
  co_return co_yield coherent column_major common compile compile_fragment concept const_cast consteval constexpr constinit
  crate debugger decltype delete demote demote_to_helper do dynamic_cast enum explicit export extends extern external
  fallthrough filter final finally friend from fxgroup get goto groupshared highp impl implements import inline instanceof
  interface layout lowp macro macro_rules match mediump meta mod module move mut mutable namespace new nil noexcept noinline
  nointerpolation non_coherent noncoherent noperspective null nullptr of operator package packoffset partial pass patch
  pixelfragment precise precision premerge priv protected pub public readonly ref regardless register reinterpret_cast
  require resource restrict self set shared sizeof smooth snorm static static_assert static_cast std subroutine super target
  template this thread_local throw trait try type typedef typeid typename typeof union unless unorm unsafe unsized use using
  varying virtual volatile wgsl where with writeonly yield
  array atomic bool f16 f32 i32 u32 vec2 vec3 vec4 ptr sampler texture_2d storage uniform workgroup private function read
  write read_write main parameters Parameters
  abs bitcast clamp cos dot exp floor fma inverseSqrt log max min pack2x16float pow select sign sin sqrt subgroupAdd
  exp2 subgroupBroadcast subgroupMax subgroupShuffleXor tanh unpack2x16float workgroupBarrier infinity not_a_number
  workgroup_x workgroup_y workgroup_z local_index subgroup_lane subgroup_index workgroup_id local_invocation_index
  subgroup_invocation_id subgroup_id
  subgroup_matrix_left subgroup_matrix_right subgroup_matrix_result row_major col_major
  subgroupMatrixLoad subgroupMatrixMultiplyAccumulate subgroupMatrixStore`
    .split(/\s+/)
    .filter((word) => word !== ''),
);

function identifier(wish: string): string {
  return wish.replace(/[^A-Za-z0-9_]/g, '_').replace(/^(?=[0-9]|__|_$)/, 'v');
}

/** The names of a kernel in its text; `helperNames`: functions that the printer may add. */
export function wgslNames(ownNames: Iterable<string>, helperNames: Iterable<string>): KernelNames {
  return new KernelNames(identifier, [...reserved, ...helperNames], ownNames);
}

import { Flux2cError } from '../../ir/diagnostics.js';
import { isSubgroupOperation } from '../../ir/kernel/expressions.js';
import { forEachExpression, forEachStatement, namesOf } from '../../ir/kernel/statements.js';
import { tensorBoxBytes } from '../../ir/kernel/tensor-box.js';
import type { BufferParameter, Builtin, StorageType, ThreadKernel } from '../../ir/kernel/thread.js';
import { cudaType } from './cuda-expressions.js';
import { cudaEntryPoint, cudaNames } from './cuda-names.js';
import { cudaSharedBytes, placeBarriers, placeSharedArrays } from './cuda-shared.js';
import { printBlock } from './cuda-statements.js';
import type { CudaStatementScope } from './cuda-statements.js';

export { cudaEntryPoint } from './cuda-names.js';
export { cudaSharedBytes } from './cuda-shared.js';

/** Lanes of a warp. */
const warpSize = 32;

/**
 * The CUDA C++ of a kernel, for nvcc and NVRTC with `cudaPrelude` as `flux2c.cuh`, and for g++ with the emulator's header of
 * that name.
 *
 * - Function `cudaEntryPoint(kernel)`. Grid: the workgroups; block: (workgroupSize, 1, 1); dynamic shared memory:
 *   `cudaSharedBytes(kernel)`.
 * - Arguments: a pointer for each buffer, in order, to the first byte of its binding; then for each tensor map its 128 bytes, as
 *   `cuTensorMapEncodeTiled` makes them; then, when there are parameters, a structure of i32 by value, in the order of
 *   `kernel.parameters`. What one binding writes no other binding may touch.
 * - `workgroup_x|y|z` are the block's numbers plus the parameter `origin_x|y|z` where the kernel has one; `group_index` and
 *   `group_count` are the block's number and the number of blocks in a grid of one dimension.
 *
 * i32 sums and products must not overflow (indices never do; u32 wraps). Kernels whose subgroups are not warps throw F2C230.
 * The kernel must have passed the verifier.
 */
export function printCuda(kernel: ThreadKernel, comment = ''): string {
  checkSubgroups(kernel);
  const entryPoint = cudaEntryPoint(kernel);
  const scope: CudaStatementScope = {
    names: cudaNames(namesOf(kernel), entryPoint),
    builtins: new Set(),
    running: new Set(),
    kernel,
  };
  const body = printBlock(kernel.body, scope, '  ');
  const parameters = `${entryPoint}_parameters`;
  const hasParameters = kernel.parameters.length > 0;
  const argumentTexts = [
    ...kernel.buffers.map((buffer) => `${bufferType(buffer)} ${scope.names.legal(buffer.name)}`),
    ...(kernel.tensorMaps ?? []).map(({ name }) => `const __grid_constant__ f2c::TensorMap ${scope.names.legal(name)}`),
    ...(hasParameters ? [`const ${parameters} parameters`] : []),
  ];
  return [
    ...header(kernel, comment),
    '#include "flux2c.cuh"',
    '',
    ...(hasParameters
      ? [`struct ${parameters} {`, ...kernel.parameters.map((name) => `  int ${scope.names.legal(name)};`), '};', '']
      : []),
    `extern "C" __global__ void __launch_bounds__(${launchBounds(kernel)})`,
    `${entryPoint}(${argumentTexts.map((text) => `\n    ${text}`).join(',')}) {`,
    ...builtinTexts(kernel, scope.builtins),
    ...placeSharedArrays(kernel).map(
      ({ array: { name, type, length }, byteOffset }) =>
        `  const auto ${scope.names.legal(name)} = f2c::shared_array<${cudaType(type)}>(${byteOffset}, ${length});`,
    ),
    ...barrierTexts(kernel, scope),
    ...body,
    '}',
    '',
  ].join('\n');
}

/** Roles change the registers of their threads, which needs a number to begin with: that of one block a multiprocessor. */
function launchBounds(kernel: ThreadKernel): string {
  let hasRoles = false;
  forEachStatement(kernel.body, ({ kind }) => {
    if (kind === 'roles') hasRoles = true;
  });
  return `${kernel.workgroupSize}${hasRoles ? ', 1' : ''}`;
}

/** One thread sets the barriers up, for all and for the copies, which see memory by another way. */
function barrierTexts(kernel: ThreadKernel, { names }: CudaStatementScope): readonly string[] {
  const placed = placeBarriers(kernel);
  if (placed.length === 0) return [];
  return [
    ...placed.map(
      ({ barriers: { name, length }, byteOffset }) =>
        `  const auto ${names.legal(name)} = f2c::barrier_array(${byteOffset}, ${length});`,
    ),
    '  if (threadIdx.x == 0) {',
    ...(kernel.tensorMaps ?? []).map(({ name }) => `    f2c::prefetch_tensor_map(${names.legal(name)});`),
    ...placed.map(({ barriers: { name, arrivals } }) => `    f2c::set_up_barriers(${names.legal(name)}, ${arrivals});`),
    '    f2c::fence_barriers();',
    '  }',
    '  __syncthreads();',
  ];
}

function header(kernel: ThreadKernel, comment: string): readonly string[] {
  const shared = cudaSharedBytes(kernel);
  return [
    `// @${kernel.name}: ${kernel.workgroupSize} invocations a workgroup${shared === 0 ? '' : `, ${shared} bytes of shared memory`}`,
    ...(comment === '' ? [] : comment.split('\n').map((line) => `// ${line}`)),
    ...kernel.buffers.map(
      ({ name, storage, lanes, access }, at) => `//   ${at} ${name}: ${access} ${storage} x${lanes}`,
    ),
    ...(kernel.tensorMaps ?? []).map((map) => {
      const box = map.dimensions.map((dimension) => dimension.box).join('x');
      return `//   ${map.name}: map of ${map.buffer}, box ${box}, ${tensorBoxBytes(kernel, map)} bytes`;
    }),
    ...(kernel.barriers ?? []).map(
      ({ name, length, arrivals }) => `//   ${name}: barriers of ${arrivals} arrivals x${length}`,
    ),
    ...(kernel.parameters.length === 0 ? [] : [`//   parameters ${kernel.parameters.join(', ')}`]),
  ];
}

const storageNames: Readonly<Record<Exclude<StorageType, 'i8'>, string>> = {
  f32: 'float',
  f16: 'f2c::f16',
  bf16: 'f2c::bf16',
  f8e4m3: 'f2c::f8e4m3',
  i32: 'int',
  u32: 'unsigned',
  u8: 'f2c::u8',
  bool: 'f2c::byte_bool',
};

function bufferType({ name: buffer, storage, lanes, access }: BufferParameter): string {
  if (storage === 'i8') throw new Flux2cError('F2C231', 'kernels for CUDA have no buffers of i8', { where: [`buffer ${buffer}`] }); // prettier-ignore
  const name = access === 'read' ? 'Read' : access === 'write' ? 'Write' : 'ReadWrite';
  return `f2c::${name}<${storageNames[storage]}, ${lanes}>`;
}

function builtinTexts(kernel: ThreadKernel, used: ReadonlySet<Builtin>): readonly string[] {
  const axes = (['x', 'y', 'z'] as const).filter((axis) => used.has(`workgroup_${axis}`));
  return [
    ...axes.map((axis) => {
      const origin = kernel.parameters.includes(`origin_${axis}`) ? ` + parameters.origin_${axis}` : '';
      return `  const int workgroup_${axis} = int(blockIdx.${axis})${origin};`;
    }),
    ...(used.has('group_index') ? ['  const int group_index = int(blockIdx.x);'] : []),
    ...(used.has('group_count') ? ['  const int group_count = int(gridDim.x);'] : []),
    ...(used.has('local_index') ? ['  const int local_index = int(threadIdx.x);'] : []),
    ...(used.has('subgroup_lane') ? [`  const int subgroup_lane = int(threadIdx.x) % ${warpSize};`] : []),
    ...(used.has('subgroup_index') ? [`  const int subgroup_index = int(threadIdx.x) / ${warpSize};`] : []),
  ];
}

function checkSubgroups(kernel: ThreadKernel): void {
  if (kernel.subgroupSize === undefined || kernel.subgroupSize === warpSize) return;
  let used = false;
  forEachExpression(kernel.body, (part) => {
    if (isSubgroupOperation(part)) used = true;
    if (part.kind === 'builtin' && part.name.startsWith('subgroup_')) used = true;
  });
  if (!used) return;
  throw new Flux2cError('F2C230', 'subgroups of CUDA are warps', {
    where: [`kernel @${kernel.name}`],
    expected: `a subgroup size of ${warpSize}`,
    found: `${kernel.subgroupSize}`,
  });
}

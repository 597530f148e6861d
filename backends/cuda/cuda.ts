import { Flux2cError, unreachable } from '../../ir/diagnostics.js';
import { isSubgroupOperation } from '../../ir/kernel/expressions.js';
import { forEachExpression, namesOf } from '../../ir/kernel/statements.js';
import type {
  BufferParameter,
  Builtin,
  Expression,
  SharedMatrix,
  Statement,
  StorageType,
  ThreadKernel,
} from '../../ir/kernel/thread.js';
import { cudaType, printExpression } from './cuda-expressions.js';
import type { CudaScope } from './cuda-expressions.js';
import { cudaEntryPoint, cudaNames } from './cuda-names.js';
import { cudaSharedBytes, placeSharedArrays } from './cuda-shared.js';

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
 * - Arguments: a pointer for each buffer, in order, to the first byte of its binding; then, when there are parameters, a
 *   structure of i32 by value, in the order of `kernel.parameters`. What one binding writes no other binding may touch.
 * - `workgroup_x|y|z` are the block's numbers plus the parameter `origin_x|y|z` where the kernel has one.
 *
 * i32 sums and products must not overflow (indices never do; u32 wraps). Kernels whose subgroups are not warps throw F2C230.
 * The kernel must have passed the verifier.
 */
export function printCuda(kernel: ThreadKernel, comment = ''): string {
  checkSubgroups(kernel);
  const entryPoint = cudaEntryPoint(kernel);
  const scope: CudaScope = {
    names: cudaNames(namesOf(kernel), entryPoint),
    builtins: new Set(),
  };
  const body = kernel.body.flatMap((statement) => printStatement(statement, scope, '  '));
  const parameters = `${entryPoint}_parameters`;
  const hasParameters = kernel.parameters.length > 0;
  const argumentTexts = [
    ...kernel.buffers.map((buffer) => `${bufferType(buffer)} ${scope.names.legal(buffer.name)}`),
    ...(hasParameters ? [`const ${parameters} parameters`] : []),
  ];
  return [
    ...header(kernel, comment),
    '#include "flux2c.cuh"',
    '',
    ...(hasParameters
      ? [`struct ${parameters} {`, ...kernel.parameters.map((name) => `  int ${scope.names.legal(name)};`), '};', '']
      : []),
    `extern "C" __global__ void __launch_bounds__(${kernel.workgroupSize})`,
    `${entryPoint}(${argumentTexts.map((text) => `\n    ${text}`).join(',')}) {`,
    ...builtinTexts(kernel, scope.builtins),
    ...placeSharedArrays(kernel).map(
      ({ array: { name, type, length }, byteOffset }) =>
        `  const auto ${scope.names.legal(name)} = f2c::shared_array<${cudaType(type)}>(${byteOffset}, ${length});`,
    ),
    ...body,
    '}',
    '',
  ].join('\n');
}

function header(kernel: ThreadKernel, comment: string): readonly string[] {
  const shared = cudaSharedBytes(kernel);
  return [
    `// @${kernel.name}: ${kernel.workgroupSize} invocations a workgroup${shared === 0 ? '' : `, ${shared} bytes of shared memory`}`,
    ...(comment === '' ? [] : comment.split('\n').map((line) => `// ${line}`)),
    ...kernel.buffers.map(
      ({ name, storage, lanes, access }, at) => `//   ${at} ${name}: ${access} ${storage} x${lanes}`,
    ),
    ...(kernel.parameters.length === 0 ? [] : [`//   parameters ${kernel.parameters.join(', ')}`]),
  ];
}

const storageNames: Readonly<Record<StorageType, string>> = {
  f32: 'float',
  f16: 'f2c::f16',
  bf16: 'f2c::bf16',
  f8e4m3: 'f2c::f8e4m3',
  i32: 'int',
  u32: 'unsigned',
  u8: 'f2c::u8',
  bool: 'f2c::byte_bool',
};

function bufferType({ storage, lanes, access }: BufferParameter): string {
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
    ...(used.has('local_index') ? ['  const int local_index = int(threadIdx.x);'] : []),
    ...(used.has('subgroup_lane') ? [`  const int subgroup_lane = int(threadIdx.x) % ${warpSize};`] : []),
  ];
}

function printStatement(statement: Statement, scope: CudaScope, indent: string): readonly string[] {
  const text = (expression: Expression): string => printExpression(expression, scope);
  const block = (statements: readonly Statement[]): readonly string[] =>
    statements.flatMap((inner) => printStatement(inner, scope, `${indent}  `));
  switch (statement.kind) {
    case 'let':
    case 'var': {
      const type = `${statement.kind === 'let' ? 'const ' : ''}${cudaType(statement.type)}`;
      return [`${indent}${type} ${scope.names.legal(statement.name)} = ${text(statement.value)};`];
    }
    case 'assign':
      return [`${indent}${scope.names.legal(statement.name)} = ${text(statement.value)};`];
    case 'store':
    case 'store_shared': {
      const memory = scope.names.legal(statement.kind === 'store' ? statement.buffer : statement.array);
      return [`${indent}f2c::store(${memory}, ${text(statement.index)}, ${text(statement.value)});`];
    }
    case 'for': {
      const variable = scope.names.legal(statement.variable);
      const lines: string[] = [];
      let end = text(statement.end);
      if (statement.end.kind !== 'constant' && statement.end.kind !== 'parameter') {
        const name = scope.names.invent(`${statement.variable}_end`);
        lines.push(`${indent}const int ${name} = ${end};`);
        end = name;
      }
      const step = statement.step === 1 ? `${variable}++` : `${variable} += ${statement.step}`;
      lines.push(`${indent}for (int ${variable} = ${text(statement.start)}; ${variable} < ${end}; ${step}) {`);
      return [...lines, ...block(statement.body), `${indent}}`];
    }
    case 'if': {
      const lines = [`${indent}if (${text(statement.condition)}) {`, ...block(statement.then)];
      if (statement.otherwise === undefined) return [...lines, `${indent}}`];
      return [...lines, `${indent}} else {`, ...block(statement.otherwise), `${indent}}`];
    }
    case 'barrier':
      return [`${indent}__syncthreads();`];
    case 'copy_async': {
      const [array, buffer] = [statement.array, statement.buffer].map((name) => scope.names.legal(name));
      const [index, from, valid] = [statement.index, statement.from, statement.valid].map(text);
      return [`${indent}f2c::copy_async_16(${[array, index, buffer, from, valid].join(', ')});`];
    }
    case 'commit_copies':
      return [`${indent}f2c::copy_async_commit();`];
    case 'wait_copies':
      return [`${indent}f2c::copy_async_wait<${statement.pending}>();`];
    case 'multiply_shared': {
      const { accumulators, columns, operands } = statement;
      const matrix = ({ array, index, byDepth, blockLength }: SharedMatrix): string =>
        `f2c::shared_matrix<${byDepth}, ${blockLength}>(${scope.names.legal(array)}, ${text(index)})`;
      const left = statement.a.kind === 'shared_matrix' ? matrix(statement.a) : text(statement.a);
      const sums = accumulators.map((name) => scope.names.legal(name)).join(', ');
      return [`${indent}f2c::wgmma_m64n${columns}k16_${operands}(${left}, ${matrix(statement.b)}, ${sums});`];
    }
    case 'share_writes':
      return [`${indent}f2c::fence_proxy_async();`];
    case 'begin_products':
      return [`${indent}f2c::wgmma_fence();`];
    case 'commit_products':
      return [`${indent}f2c::wgmma_commit();`];
    case 'wait_products':
      return [`${indent}f2c::wgmma_wait<${statement.pending}>();`];
    case 'multiply_matrices': {
      const [upper, lower] = statement.accumulators.map((name) => scope.names.legal(name));
      const operands = [upper, lower, text(statement.a), text(statement.b)].join(', ');
      return [`${indent}f2c::mma_m16n8k16_${statement.operands}(${operands});`];
    }
    default:
      return unreachable(statement, 'statement');
  }
}

function checkSubgroups(kernel: ThreadKernel): void {
  if (kernel.subgroupSize === undefined || kernel.subgroupSize === warpSize) return;
  let used = false;
  forEachExpression(kernel.body, (part) => {
    if (isSubgroupOperation(part)) used = true;
    if (part.kind === 'builtin' && part.name === 'subgroup_lane') used = true;
  });
  if (!used) return;
  throw new Flux2cError('F2C230', 'subgroups of CUDA are warps', {
    where: [`kernel @${kernel.name}`],
    expected: `a subgroup size of ${warpSize}`,
    found: `${kernel.subgroupSize}`,
  });
}

import { Flux2cError, unreachable } from '../../ir/diagnostics.js';
import { isSubgroupOperation, walkExpression } from '../../ir/kernel/expressions.js';
import { forEachExpression, namesOf } from '../../ir/kernel/statements.js';
import type {
  BufferParameter,
  Builtin,
  Expression,
  Statement,
  SubgroupProduct,
  ThreadKernel,
} from '../../ir/kernel/thread.js';
import { printExpression, wgslType } from './wgsl-expressions.js';
import type { WgslScope } from './wgsl-expressions.js';
import { wgslNames } from './wgsl-names.js';
import { subgroupProductText } from './wgsl-subgroup-products.js';
import { helperTexts, storageElement, storeText } from './wgsl-storage.js';

export interface WgslOptions {
  /**
   * Loops whose counts are numbers end at numbers that the driver cannot know, so that it does not unroll them: what is to
   * be unrolled, schedules have unrolled. lavapipe takes 0.46 s for an RMS norm of 24 iterations unrolled, less than 0.14 s for the loop.
   */
  readonly hideLoopCounts?: boolean;
}

/** What printing a kernel needs to know of it. */
interface PrintScope extends WgslScope {
  /** Of the kernel. */
  readonly subgroupProduct: SubgroupProduct | undefined;
  /** An expression that is always 0. */
  readonly zero: string | undefined;
}

/**
 * The WGSL module of a kernel, entry point `main`.
 *
 * - `@group(0) @binding(i)`: buffer i of the kernel, in order
 * - `@group(1) @binding(0)`: a uniform block of i32, four bytes each, in the order of `kernel.parameters`; absent when there
 *   are none. Bind it with a dynamic offset.
 * - `workgroup_x|y|z` are the hardware's numbers plus the parameter `origin_x|y|z` where the kernel has one.
 *
 * `comment`: lines for the head, what the kernel computes and how. The module needs `subgroups` where the kernel uses subgroup
 * operations and `shader-f16` where a register is f16, both and `chromium-experimental-subgroup-matrix` where it has products of
 * subgroups, and the language feature `packed_4x8_integer_dot_product` where bytes are multiplied, nothing else. The kernel must
 * have passed the verifier.
 */
export function printWgsl(kernel: ThreadKernel, comment = '', options: WgslOptions = {}): string {
  const { hideLoopCounts = false } = options;
  if (kernel.walksTiles === true) throw new Flux2cError('F2C231', 'WGSL has no walks over tiles');
  const origin = hideLoopCounts ? kernel.parameters.find((name) => name.startsWith('origin_')) : undefined;
  const scope: PrintScope = {
    names: wgslNames(namesOf(kernel), Object.keys(helperTexts)),
    subgroupProduct: kernel.subgroupProduct,
    buffers: new Map(kernel.buffers.map((buffer) => [buffer.name, buffer])),
    helpers: new Set(),
    builtins: new Set(),
    // Never negative, which the driver does not know.
    zero: origin === undefined ? undefined : `min(parameters.${origin}, 0)`,
  };
  const body = kernel.body.flatMap((statement) => printStatement(statement, scope, '  '));
  const hasProducts = kernel.subgroupProduct !== undefined;
  return [
    ...header(kernel, comment),
    ...(hasProducts || usesHalf(kernel) ? ['enable f16;'] : []),
    ...(hasProducts ? ['enable chromium_experimental_subgroup_matrix;'] : []),
    ...(usesSubgroups(kernel, scope.builtins) ? ['enable subgroups;'] : []),
    ...(usesPackedDots(kernel) ? ['requires packed_4x8_integer_dot_product;'] : []),
    '',
    ...kernel.buffers.map((buffer, binding) => bindingText(buffer, binding, scope)),
    ...parameterBlock(kernel, scope),
    ...kernel.shared.map(
      ({ name, type, length }) => `var<workgroup> ${scope.names.legal(name)}: array<${wgslType(type)}, ${length}>;`,
    ),
    ...[...scope.helpers].sort().flatMap((name) => ['', helperText(name)]),
    '',
    `@compute @workgroup_size(${kernel.workgroupSize})`,
    ...entryPoint(kernel, scope.builtins),
    ...body,
    '}',
    '',
  ].join('\n');
}

function header(kernel: ThreadKernel, comment: string): readonly string[] {
  const subgroup = kernel.subgroupSize === undefined ? '' : `, subgroups of ${kernel.subgroupSize}`;
  const { rows, columns, depth } = kernel.subgroupProduct ?? {};
  const product = rows === undefined ? '' : `, which multiply ${rows}x${depth} by ${depth}x${columns}`;
  return [
    `// @${kernel.name}: ${kernel.workgroupSize} invocations a workgroup${subgroup}${product}`,
    ...(comment === '' ? [] : comment.split('\n').map((line) => `// ${line}`)),
    ...kernel.buffers.map(
      ({ name, storage, lanes, access }, binding) => `//   ${binding} ${name}: ${access} ${storage} x${lanes}`,
    ),
    ...(kernel.parameters.length === 0 ? [] : [`//   parameters ${kernel.parameters.join(', ')}`]),
  ];
}

function bindingText(buffer: BufferParameter, binding: number, scope: WgslScope): string {
  // WGSL has no write-only storage buffers.
  const access = buffer.access === 'read' ? 'read' : 'read_write';
  const name = scope.names.legal(buffer.name);
  return `@group(0) @binding(${binding}) var<storage, ${access}> ${name}: array<${storageElement(buffer)}>;`;
}

function parameterBlock(kernel: ThreadKernel, scope: WgslScope): readonly string[] {
  if (kernel.parameters.length === 0) return [];
  return [
    'struct Parameters {',
    ...kernel.parameters.map((name) => `  ${scope.names.legal(name)}: i32,`),
    '}',
    '@group(1) @binding(0) var<uniform> parameters: Parameters;',
  ];
}

function usesPackedDots(kernel: ThreadKernel): boolean {
  let isUsed = false;
  forEachExpression(kernel.body, ({ kind }) => (isUsed ||= kind === 'dot_bytes'));
  return isUsed;
}

function helperText(name: string): string {
  const text = helperTexts[name];
  if (text === undefined) throw new Error(`internal: no WGSL helper ${name}`);
  return text;
}

function entryPoint(kernel: ThreadKernel, used: ReadonlySet<Builtin>): readonly string[] {
  const workgroup = (['x', 'y', 'z'] as const).filter((axis) => used.has(`workgroup_${axis}`));
  // The language promises no order of the invocations in subgroups, so a kernel that counts subgroups counts invocations by them.
  const isBySubgroup = used.has('subgroup_index');
  const needsLane = used.has('subgroup_lane') || (isBySubgroup && used.has('local_index'));
  const inputs = [
    ...(workgroup.length > 0 ? ['@builtin(workgroup_id) workgroup_id: vec3<u32>'] : []),
    ...(used.has('local_index') && !isBySubgroup
      ? ['@builtin(local_invocation_index) local_invocation_index: u32']
      : []),
    ...(isBySubgroup ? ['@builtin(subgroup_id) subgroup_id: u32'] : []),
    ...(needsLane ? ['@builtin(subgroup_invocation_id) subgroup_invocation_id: u32'] : []),
  ];
  const localIndex = isBySubgroup
    ? `subgroup_id * ${kernel.subgroupSize}u + subgroup_invocation_id`
    : 'local_invocation_index';
  return [
    `fn main(${inputs.join(', ')}) {`,
    ...workgroup.map((axis) => {
      const origin = kernel.parameters.includes(`origin_${axis}`) ? ` + parameters.origin_${axis}` : '';
      return `  let workgroup_${axis} = i32(workgroup_id.${axis})${origin};`;
    }),
    ...(used.has('local_index') ? [`  let local_index = i32(${localIndex});`] : []),
    ...(isBySubgroup ? ['  let subgroup_index = i32(subgroup_id);'] : []),
    ...(used.has('subgroup_lane') ? ['  let subgroup_lane = i32(subgroup_invocation_id);'] : []),
  ];
}

function printStatement(statement: Statement, scope: PrintScope, indent: string): readonly string[] {
  const text = (expression: Expression): string => printExpression(expression, scope);
  const block = (statements: readonly Statement[]): readonly string[] =>
    statements.flatMap((inner) => printStatement(inner, scope, `${indent}  `));
  switch (statement.kind) {
    case 'let':
    case 'var': {
      const name = scope.names.legal(statement.name);
      return [`${indent}${statement.kind} ${name}: ${wgslType(statement.type)} = ${text(statement.value)};`];
    }
    case 'assign':
      return [`${indent}${scope.names.legal(statement.name)} = ${text(statement.value)};`];
    case 'store': {
      const buffer = scope.buffers.get(statement.buffer);
      if (buffer === undefined) throw new Flux2cError('F2C226', `the kernel has no buffer '${statement.buffer}'`);
      const value = storeText(buffer, text(statement.value), (helper) => {
        scope.helpers.add(helper);
        return helper;
      });
      return [`${indent}${scope.names.legal(statement.buffer)}[${text(statement.index)}] = ${value};`];
    }
    case 'store_shared':
      return [`${indent}${scope.names.legal(statement.array)}[${text(statement.index)}] = ${text(statement.value)};`];
    case 'for': {
      const variable = scope.names.legal(statement.variable);
      const lines: string[] = [];
      const hidden = wouldUnroll(statement) ? scope.zero : undefined;
      let end = hidden === undefined ? text(statement.end) : `${text(statement.end)} + ${hidden}`;
      if (hidden !== undefined || !isFixed(statement.end)) {
        const name = scope.names.invent(`${statement.variable}_end`);
        lines.push(`${indent}let ${name} = ${end};`);
        end = name;
      }
      const step = statement.step === 1 ? `${variable}++` : `${variable} += ${statement.step}`;
      lines.push(`${indent}for (var ${variable}: i32 = ${text(statement.start)}; ${variable} < ${end}; ${step}) {`);
      return [...lines, ...block(statement.body), `${indent}}`];
    }
    case 'if': {
      const lines = [`${indent}if (${text(statement.condition)}) {`, ...block(statement.then)];
      if (statement.otherwise === undefined) return [...lines, `${indent}}`];
      return [...lines, `${indent}} else {`, ...block(statement.otherwise), `${indent}}`];
    }
    case 'barrier':
      return [`${indent}workgroupBarrier();`];
    case 'declare_sums':
    case 'load_factor':
    case 'multiply_factors':
    case 'store_sums':
      return [`${indent}${subgroupProductText(statement, scope)}`];
    case 'copy_async':
    case 'commit_copies':
    case 'wait_copies':
    case 'multiply_matrices':
    case 'multiply_shared':
    case 'share_writes':
    case 'begin_products':
    case 'commit_products':
    case 'wait_products':
    case 'roles':
    case 'copy_tensor':
    case 'expect_copies':
    case 'arrive':
    case 'wait_barrier':
      throw new Flux2cError('F2C231', `WGSL has no ${statement.kind}`);
    default:
      return unreachable(statement, 'statement');
  }
}

/** Rounds of a loop that Mesa writes out at most. */
const unrolledRounds = 32;

/**
 * Whether a driver may write a loop out. One of more rounds keeps its number: knowing that it runs at all saved lavapipe a third of a
 * product's time.
 */
function wouldUnroll({ start, end, step }: Extract<Statement, { kind: 'for' }>): boolean {
  if (end.kind !== 'constant') return false;
  return (end.value - (start.kind === 'constant' ? start.value : 0)) / step <= unrolledRounds;
}

/** Keeps its value while the loop runs, so it may stand in the loop's condition. */
function isFixed(end: Expression): boolean {
  let fixed = true;
  walkExpression(end, (part) => {
    if (part.kind === 'register' || part.kind === 'load' || part.kind === 'load_shared') fixed = false;
  });
  return fixed;
}

function usesSubgroups({ subgroupProduct, body }: ThreadKernel, builtins: ReadonlySet<Builtin>): boolean {
  // Products of subgroups bring the subgroup's number, not that of an invocation in it.
  const countsSubgroups = builtins.has('subgroup_index');
  let used =
    builtins.has('subgroup_lane') ||
    (countsSubgroups && (builtins.has('local_index') || subgroupProduct === undefined));
  forEachExpression(body, (part) => {
    if (isSubgroupOperation(part)) used = true;
  });
  return used;
}

function usesHalf(kernel: ThreadKernel): boolean {
  let used = kernel.shared.some(({ type }) => type.scalar === 'f16');
  forEachExpression(kernel.body, (part) => {
    if ('type' in part && part.type.scalar === 'f16') used = true;
    if (part.kind === 'convert' && part.to === 'f16') used = true;
  });
  return used;
}

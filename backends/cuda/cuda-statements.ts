import { Flux2cError, unreachable } from '../../ir/diagnostics.js';
import { productDepth } from '../../ir/kernel/matrix-types.js';
import { registersAtLaunch } from '../../ir/kernel/registers.js';
import type { BarrierPlace, Expression, Role, SharedMatrix, Statement, ThreadKernel } from '../../ir/kernel/thread.js';
import { cudaType, printExpression } from './cuda-expressions.js';
import type { CudaScope } from './cuda-expressions.js';

/** What the statements of one kernel share. */
export interface CudaStatementScope extends CudaScope {
  readonly kernel: Pick<ThreadKernel, 'workgroupSize'>;
  /** Accumulators of products that nothing has waited for. */
  readonly running: Set<string>;
}

/** The lines of C++ of the statements of a block. */
export function printBlock(
  statements: readonly Statement[],
  scope: CudaStatementScope,
  indent: string,
): readonly string[] {
  return statements.flatMap((statement, at) => {
    if (statement.kind !== 'begin_products') return printStatement(statement, scope, indent);
    const registers = registersOfGroup(statements.slice(at + 1));
    return [`${indent}f2c::wgmma_fence(${registers.map((name) => scope.names.legal(name)).join(', ')});`];
  });
}

/**
 * What products read in registers up to the end of their group: it must be there before the fence, and to the compiler the fence has
 * nothing to do with it unless it is said.
 */
function registersOfGroup(statements: readonly Statement[]): readonly string[] {
  const names = new Set<string>();
  for (const statement of statements) {
    if (statement.kind === 'commit_products') break;
    if (statement.kind !== 'multiply_shared') continue;
    if (statement.fresh !== true) statement.accumulators.forEach((name) => names.add(name));
    if (statement.a.kind === 'register') names.add(statement.a.name);
  }
  return [...names];
}

function printStatement(statement: Statement, scope: CudaStatementScope, indent: string): readonly string[] {
  const text = (expression: Expression): string => printExpression(expression, scope);
  const block = (statements: readonly Statement[]): readonly string[] => printBlock(statements, scope, `${indent}  `);
  const place = ({ array, index }: BarrierPlace): string => `${scope.names.legal(array)}, ${text(index)}`;
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
      const { accumulators, columns, operands, fresh } = statement;
      accumulators.forEach((name) => scope.running.add(name));
      const matrix = ({ array, index, byDepth, blockLength }: SharedMatrix): string =>
        `f2c::shared_matrix<${byDepth}, ${blockLength}>(${scope.names.legal(array)}, ${text(index)})`;
      const left = statement.a.kind === 'shared_matrix' ? matrix(statement.a) : text(statement.a);
      const sums = accumulators.map((name) => scope.names.legal(name)).join(', ');
      const name = `wgmma_m64n${columns}k${productDepth(operands)}_${operands}`;
      const start = fresh === true ? 'f2c::FromZero(), ' : '';
      return [`${indent}f2c::${name}(${start}${left}, ${matrix(statement.b)}, ${sums});`];
    }
    case 'share_writes':
      return [`${indent}f2c::fence_proxy_async();`];
    case 'begin_products':
      throw new Error('internal: products begin in a block');
    case 'commit_products':
      return [`${indent}f2c::wgmma_commit();`];
    case 'wait_products':
      return [`${indent}f2c::wgmma_wait<${statement.pending}>(${takeSums(statement.pending, scope)});`];
    case 'multiply_matrices': {
      const { accumulators, operands, a, b } = statement;
      const [upper, lower] = accumulators.map((name) => scope.names.legal(name));
      const name = `mma_m16n8k${productDepth(operands)}_${operands}`;
      return [`${indent}f2c::${name}(${[upper, lower, text(a), text(b)].join(', ')});`];
    }
    case 'declare_sums':
    case 'load_factor':
    case 'multiply_factors':
    case 'store_sums':
      throw new Flux2cError('F2C231', `CUDA has no ${statement.kind}`);
    case 'roles':
      return printRoles(statement.roles, scope, indent, block);
    case 'copy_tensor': {
      const [array, map] = [statement.array, statement.map].map((name) => scope.names.legal(name));
      const coordinates = `f2c::coordinates(${statement.at.map(text).join(', ')})`;
      const operands = [array, text(statement.index), map, coordinates, place(statement.barrier)];
      return [`${indent}f2c::copy_tensor(${operands.join(', ')});`];
    }
    case 'expect_copies':
      return [`${indent}f2c::expect_copies(${place(statement.barrier)}, ${statement.bytes});`];
    case 'arrive':
      return [`${indent}f2c::arrive(${place(statement.barrier)});`];
    case 'wait_barrier':
      return [`${indent}f2c::wait_barrier(${place(statement.barrier)}, ${text(statement.parity)});`];
    default:
      return unreachable(statement, 'statement');
  }
}

/** Sums are there when nothing is left running: before that wait the compiler must not touch them. */
function takeSums(stillRunning: number, { running, names }: CudaStatementScope): string {
  if (stillRunning > 0) return '';
  const sums = [...running].map((name) => names.legal(name));
  running.clear();
  return sums.join(', ');
}

/**
 * One chain of conditions on the index itself: so ptxas sees that all of a warp take the same way, as `setmaxnreg` needs. A
 * block has a multiprocessor to itself (`__launch_bounds__(threads, 1)`), and each thread begins with its share of the registers.
 */
function printRoles(
  roles: readonly Role[],
  scope: CudaStatementScope,
  indent: string,
  block: (statements: readonly Statement[]) => readonly string[],
): readonly string[] {
  const share = registersAtLaunch(scope.kernel.workgroupSize);
  let end = 0;
  const lines = roles.flatMap(({ name, invocations, registers, body }, at) => {
    end += invocations;
    const condition = at === roles.length - 1 ? '' : `if (threadIdx.x < ${end}) `;
    const change = registers < share ? 'give_registers' : 'take_registers';
    return [
      `${indent}${at === 0 ? '' : '} else '}${condition}{`,
      `${indent}  // ${name}`,
      `${indent}  f2c::${change}<${registers}>();`,
      ...block(body),
    ];
  });
  return [...lines, `${indent}}`];
}

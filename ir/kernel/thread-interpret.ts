import { Flux2cError, unreachable } from '../diagnostics.js';
import { i32 } from './expressions.js';
import type { Builtin, Statement, ThreadKernel } from './thread.js';
import { compileExpression } from './thread-interpret-expressions.js';
import type { InterpretScope } from './thread-interpret-expressions.js';
import {
  compileCopy,
  compileProduct,
  compileSharedProduct,
  CopyQueue,
  expectTogether,
} from './thread-interpret-matrix.js';
import { BoundBuffer, SharedMemory, createValues } from './thread-interpret-memory.js';
import type { Invocations, Values } from './thread-interpret-memory.js';

export interface InterpretOptions {
  /** Invocations of a subgroup where the kernel does not fix it. Default 32. */
  readonly subgroupSize?: number;
}

/** Bytes of every buffer by name (any typed array), parameters by name, workgroups in x, y, z. */
export type RunThreadKernel = (
  buffers: Readonly<Record<string, ArrayBufferView>>,
  parameters: Readonly<Record<string, number>>,
  workgroups: readonly [number, number, number],
) => void;

/**
 * Runs a launch and writes into `buffers`. All invocations of a workgroup go in lockstep, with f32 rounded after every
 * operation. What a device leaves undefined is an error: F2C240 and F2C241 reads and writes outside a buffer, F2C242 outside
 * workgroup memory, F2C243 a barrier that not all invocations reach, F2C244 a race in workgroup memory, F2C245 a missing
 * buffer or parameter, F2C246 integer division by zero, F2C247 a subgroup operation in a part of a subgroup.
 */
export function runThreadKernel(
  kernel: ThreadKernel,
  buffers: Readonly<Record<string, ArrayBufferView>>,
  parameters: Readonly<Record<string, number>>,
  workgroups: readonly [number, number, number],
  options: InterpretOptions = {},
): void {
  compileThreadKernel(kernel, options)(buffers, parameters, workgroups);
}

/** The same for many launches of one kernel. */
export function compileThreadKernel(kernel: ThreadKernel, options: InterpretOptions = {}): RunThreadKernel {
  const count = kernel.workgroupSize;
  const everyone = new Uint8Array(count).fill(1);
  const invocations: Invocations = {
    kernelName: kernel.name,
    count,
    active: everyone,
    workgroup: [0, 0, 0],
    epoch: 0,
  };
  const subgroupSize = kernel.subgroupSize ?? options.subgroupSize ?? 32;
  const buffers = new Map(kernel.buffers.map((buffer) => [buffer.name, new BoundBuffer(buffer, invocations)]));
  const shared = new Map(kernel.shared.map((array) => [array.name, new SharedMemory(array, invocations)]));
  const parameters = new Map(kernel.parameters.map((name) => [name, createValues(i32, count)]));
  const builtins: Record<Builtin, Values> = {
    workgroup_x: createValues(i32, count),
    workgroup_y: createValues(i32, count),
    workgroup_z: createValues(i32, count),
    local_index: Int32Array.from(everyone, (_, invocation) => invocation),
    subgroup_lane: Int32Array.from(everyone, (_, invocation) => invocation % subgroupSize),
  };
  const scope: InterpretScope = {
    invocations,
    subgroupSize,
    registers: new Map(),
    parameters,
    builtins,
    buffers,
    shared,
    copies: new CopyQueue(),
  };
  const body = compileBlock(kernel.body, scope);

  return (contents, values, workgroups) => {
    for (const [name, buffer] of buffers) buffer.bind(contents[name]);
    for (const [name, target] of parameters) {
      const value = values[name];
      if (value === undefined) {
        throw new Flux2cError('F2C245', `the kernel's parameter '${name}' has no value`, {
          where: [`kernel @${kernel.name}`],
        });
      }
      target.fill(value);
    }
    const origin = (['x', 'y', 'z'] as const).map((axis) => values[`origin_${axis}`] ?? 0);
    for (let z = 0; z < workgroups[2]; z++) {
      for (let y = 0; y < workgroups[1]; y++) {
        for (let x = 0; x < workgroups[0]; x++) {
          const workgroup = [x + (origin[0] ?? 0), y + (origin[1] ?? 0), z + (origin[2] ?? 0)] as const;
          builtins.workgroup_x.fill(workgroup[0]);
          builtins.workgroup_y.fill(workgroup[1]);
          builtins.workgroup_z.fill(workgroup[2]);
          invocations.workgroup = workgroup;
          invocations.active = everyone;
          invocations.epoch = 0;
          for (const array of shared.values()) array.reset();
          scope.copies.reset();
          body();
        }
      }
    }
  };
}

function compileBlock(body: readonly Statement[], scope: InterpretScope): () => void {
  const steps = body.map((statement) => compileStatement(statement, scope));
  return () => {
    for (const step of steps) step();
  };
}

function compileStatement(statement: Statement, scope: InterpretScope): () => void {
  const { invocations } = scope;
  switch (statement.kind) {
    case 'let':
    case 'var':
    case 'assign': {
      const value = compileExpression(statement.value, scope);
      let register = scope.registers.get(statement.name);
      if (statement.kind !== 'assign') {
        register = createValues(statement.type, invocations.count);
        scope.registers.set(statement.name, register);
      }
      if (register === undefined) {
        throw new Flux2cError('F2C220', `'${statement.name}' is not defined where the kernel assigns it`);
      }
      const target = register;
      return () => {
        value.run();
        copyActive(value.values, target, invocations);
      };
    }
    case 'store':
    case 'store_shared': {
      const index = compileExpression(statement.index, scope);
      const value = compileExpression(statement.value, scope);
      const target =
        statement.kind === 'store' ? scope.buffers.get(statement.buffer) : scope.shared.get(statement.array);
      if (target === undefined) throw new Flux2cError('F2C226', 'the kernel stores to memory that it does not declare');
      return () => {
        index.run();
        value.run();
        target.store(index.values, value.values);
      };
    }
    case 'for':
      return compileFor(statement, scope);
    case 'if':
      return compileIf(statement, scope);
    case 'barrier':
      return () => {
        if (invocations.active.includes(0)) {
          throw new Flux2cError('F2C243', 'not all invocations of the workgroup reach a barrier', {
            where: [`kernel @${invocations.kernelName}`],
            found: `invocation ${invocations.active.indexOf(0)} of workgroup (${invocations.workgroup.join(', ')}) does not`,
          });
        }
        invocations.epoch++;
      };
    case 'copy_async':
      return compileCopy(statement, scope);
    case 'commit_copies':
      return () => {
        expectTogether(scope);
        scope.copies.commit();
      };
    case 'wait_copies':
      return () => {
        expectTogether(scope);
        scope.copies.wait(statement.pending);
      };
    case 'multiply_matrices':
      return compileProduct(statement, scope);
    case 'multiply_shared':
      return compileSharedProduct(statement, scope);
    case 'share_writes':
    case 'begin_products':
    case 'commit_products':
    case 'wait_products':
      return () => expectTogether(scope);
    default:
      return unreachable(statement, 'statement');
  }
}

function copyActive(from: Values, to: Values, { active, count }: Invocations): void {
  const lanes = to.length / count;
  for (let invocation = 0; invocation < count; invocation++) {
    if (active[invocation] === 0) continue;
    for (let at = invocation * lanes; at < (invocation + 1) * lanes; at++) to[at] = from[at] as number;
  }
}

function compileIf(statement: Extract<Statement, { kind: 'if' }>, scope: InterpretScope): () => void {
  const { invocations } = scope;
  const condition = compileExpression(statement.condition, scope);
  const blocks = [
    { holds: 1, run: compileBlock(statement.then, scope), mask: new Uint8Array(invocations.count) },
    { holds: 0, run: compileBlock(statement.otherwise ?? [], scope), mask: new Uint8Array(invocations.count) },
  ];
  return () => {
    condition.run();
    const outer = invocations.active;
    // Both masks before either block runs: the condition's registers may change inside.
    for (const { holds, mask } of blocks) {
      for (let at = 0; at < mask.length; at++) mask[at] = outer[at] === 1 && condition.values[at] === holds ? 1 : 0;
    }
    for (const { mask, run } of blocks) {
      if (!mask.includes(1)) continue;
      invocations.active = mask;
      run();
    }
    invocations.active = outer;
  };
}

function compileFor(statement: Extract<Statement, { kind: 'for' }>, scope: InterpretScope): () => void {
  const { invocations } = scope;
  const start = compileExpression(statement.start, scope);
  const end = compileExpression(statement.end, scope);
  const variable = createValues(i32, invocations.count);
  const limit = createValues(i32, invocations.count);
  const mask = new Uint8Array(invocations.count);
  scope.registers.set(statement.variable, variable);
  const body = compileBlock(statement.body, scope);
  return () => {
    start.run();
    end.run();
    const outer = invocations.active;
    variable.set(start.values);
    limit.set(end.values);
    for (;;) {
      for (let at = 0; at < mask.length; at++) {
        mask[at] = outer[at] === 1 && (variable[at] as number) < (limit[at] as number) ? 1 : 0;
      }
      if (!mask.includes(1)) break;
      invocations.active = mask;
      body();
      for (let at = 0; at < mask.length; at++) variable[at] = (variable[at] as number) + statement.step;
    }
    invocations.active = outer;
  };
}

import { Flux2cError } from '../diagnostics.js';
import { i32 } from './expressions.js';
import { bindTensorMaps } from './launch.js';
import type { Builtin, ThreadKernel } from './thread.js';
import { PhaseBarriers } from './thread-interpret-barriers.js';
import type { InterpretScope } from './thread-interpret-expressions.js';
import { CopyQueue } from './thread-interpret-copies.js';
import { BoundBuffer, createValues } from './thread-interpret-memory.js';
import type { Invocations, Values } from './thread-interpret-memory.js';
import { Order } from './thread-interpret-order.js';
import { SharedMemory } from './thread-interpret-shared.js';
import { compileBlock } from './thread-interpret-statements.js';
import { checkTensorMap } from './tensor-map-rules.js';

export interface InterpretOptions {
  /** Invocations of a subgroup where the kernel does not fix it. Default 32. */
  readonly subgroupSize?: number;
}

/**
 * Bytes of every buffer by name (any typed array), parameters by name, workgroups in x, y, z: of a kernel that walks over tiles, what
 * `launchedGroups` gives.
 */
export type RunThreadKernel = (
  buffers: Readonly<Record<string, ArrayBufferView>>,
  parameters: Readonly<Record<string, number>>,
  workgroups: readonly [number, number, number],
) => void;

/**
 * Runs a launch and writes into `buffers`. All invocations of a workgroup go in lockstep, with f32 rounded after every operation; where
 * it has roles, those of one do, until it waits for a barrier and another goes on. What a device leaves undefined is an error: F2C240
 * and F2C241 reads and writes outside a buffer, F2C242 outside workgroup memory, F2C243 a barrier that not all invocations reach, F2C244
 * a race in workgroup memory, F2C245 a missing buffer or parameter, F2C246 integer division by zero, F2C247 a subgroup operation in a
 * part of a subgroup, F2C248 a product of memory that nothing has written; of copies of tensors F2C235 barriers that are misused, F2C236
 * waits for phases that do not end, F2C239 and F2C537 what is not aligned, F2C249 copies that nothing has waited for.
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
  const arrays = kernel.barriers ?? [];
  const invocations: Invocations = {
    kernelName: kernel.name,
    count,
    active: everyone,
    together: everyone,
    workgroup: [0, 0, 0],
    order: new Order(
      count,
      arrays.reduce((sum, { length }) => sum + length, 0),
    ),
  };
  const subgroupSize = kernel.subgroupSize ?? options.subgroupSize ?? 32;
  const buffers = new Map(kernel.buffers.map((buffer) => [buffer.name, new BoundBuffer(buffer, invocations)]));
  const shared = new Map(kernel.shared.map((array) => [array.name, new SharedMemory(array, invocations)]));
  let before = 0;
  const barriers = new Map<string, PhaseBarriers>();
  for (const array of arrays) {
    barriers.set(array.name, new PhaseBarriers(array, before, invocations));
    before += array.length;
  }
  const parameters = new Map(kernel.parameters.map((name) => [name, createValues(i32, count)]));
  const builtins: Record<Builtin, Values> = {
    workgroup_x: createValues(i32, count),
    workgroup_y: createValues(i32, count),
    workgroup_z: createValues(i32, count),
    local_index: Int32Array.from(everyone, (_, invocation) => invocation),
    subgroup_lane: Int32Array.from(everyone, (_, invocation) => invocation % subgroupSize),
    subgroup_index: Int32Array.from(everyone, (_, invocation) => Math.floor(invocation / subgroupSize)),
    group_index: createValues(i32, count),
    group_count: createValues(i32, count),
  };
  const scope: InterpretScope = {
    invocations,
    subgroupSize,
    subgroupProduct: kernel.subgroupProduct,
    registers: new Map(),
    matrices: new Map(),
    parameters,
    builtins,
    buffers,
    shared,
    copies: new CopyQueue(),
    barriers,
    tensorMaps: new Map(),
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
    for (const bound of bindTensorMaps(kernel, values)) {
      checkTensorMap(bound, { kernel, bindingOffset: 0, where: [`kernel @${kernel.name}`] });
      scope.tensorMaps.set(bound.map.name, bound);
    }
    // Groups that walk over tiles have numbers of their own; the body adds the origin to its tiles.
    const [first = 0, second = 0, third = 0] =
      kernel.walksTiles === true ? [] : ['x', 'y', 'z'].map((axis) => values[`origin_${axis}`] ?? 0);
    builtins.group_count.fill(workgroups[0] * workgroups[1] * workgroups[2]);
    let group = 0;
    for (let z = 0; z < workgroups[2]; z++) {
      for (let y = 0; y < workgroups[1]; y++) {
        for (let x = 0; x < workgroups[0]; x++) {
          builtins.group_index.fill(group++);
          invocations.workgroup = [x + first, y + second, z + third];
          builtins.workgroup_x.fill(x + first);
          builtins.workgroup_y.fill(y + second);
          builtins.workgroup_z.fill(z + third);
          invocations.active = invocations.together = everyone;
          invocations.order.reset();
          for (const memory of [...shared.values(), ...barriers.values()]) memory.reset();
          scope.copies.reset();
          body();
          for (const array of barriers.values()) array.finish();
        }
      }
    }
  };
}

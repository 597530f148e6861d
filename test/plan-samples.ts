import { Dim } from '../ir/dim.js';
import type { DimLike } from '../ir/dim.js';
import type { AccessMap } from '../ir/kernel/access.js';
import type { ThreadKernel } from '../ir/kernel/thread.js';
import type { BufferBinding, CopyStep, LaunchStep, LoopStep, Plan, Storage } from '../ir/plan.js';
import type { Target } from '../backends/target.js';
import type { LoadableKernel } from '../runtime/plan/bound-plan.js';

/** Short forms to write plans by hand in tests. */

export const roomyTarget: Target = {
  backend: 'webgpu',
  f16: false,
  workgroupMemory: 16384,
  stagingPays: true,
  maxWorkgroupInvocations: 256,
  maxWorkgroupsPerDimension: 65535,
  maxBindingBytes: 2 ** 27,
  maxBufferBytes: 2 ** 28,
  maxStorageBuffers: 8,
  bindingAlignment: 256,
};

export function storage(
  id: number,
  kind: Storage['kind'],
  size: DimLike,
  type: Storage['storage'] = 'f32',
  label = `s${id}`,
): Storage {
  const plain = { id, kind, storage: type, size: Dim.of(size), label };
  return kind === 'weight' ? { ...plain, weight: label } : plain;
}

export function binding(
  id: number,
  access: BufferBinding['access'],
  span: DimLike,
  offset: DimLike = 0,
): BufferBinding {
  return { storage: id, offset: Dim.of(offset), access, span: Dim.of(span) };
}

type Axis = readonly [extent: DimLike, tile: number];

export function launch(
  label: string,
  kernel: string,
  bindings: readonly BufferBinding[],
  grid: readonly Axis[],
  parameters: Readonly<Record<string, DimLike>> = {},
): LaunchStep {
  const axis = (index: number): { extent: Dim; tile: number } => {
    const [extent, tile] = grid[index] ?? [1, 1];
    return { extent: Dim.of(extent), tile };
  };
  return {
    kind: 'launch',
    kernel,
    label,
    bindings,
    parameters: Object.entries(parameters).map(([name, value]) => ({ name, value: Dim.of(value) })),
    grid: [axis(0), axis(1), axis(2)],
    flop: Dim.of(1000),
    bytes: Dim.of(100),
  };
}

export function copy(
  from: number,
  to: number,
  size: DimLike,
  fromOffset: DimLike = 0,
  toOffset: DimLike = 0,
): CopyStep {
  return {
    kind: 'copy',
    from: { storage: from, offset: Dim.of(fromOffset) },
    to: { storage: to, offset: Dim.of(toOffset) },
    size: Dim.of(size),
    label: `copy s${from} to s${to}`,
  };
}

export function loop(
  symbol: string,
  count: DimLike,
  steps: LoopStep['steps'],
  carried: LoopStep['carried'] = [],
): LoopStep {
  return { kind: 'loop', count: Dim.of(count), symbol, steps, carried };
}

export function value(name: string, id: number, shape: readonly DimLike[]): Plan['inputs'][number] {
  return { name, dtype: 'f32', shape: shape.map((dim) => Dim.of(dim)), storage: id };
}

export function plan(storages: readonly Storage[], steps: Plan['steps'], parts: Partial<Plan> = {}): Plan {
  return { name: 'sample', inputs: [], results: [], weights: [], storages, steps, ...parts };
}

/**
 * Where a kernel touches its buffers: an index for each, over the grid axes `x`, `y`, `z`, loop axes given with their extents
 * and parameters. `all` is a loop axis that is longer than anything: the whole view.
 */
export function accessMap(indices: readonly DimLike[], loops: Readonly<Record<string, DimLike>> = {}): AccessMap {
  const grid = (['x', 'y', 'z'] as const).map((name) => ({ name, kind: `grid_${name}` as const, extent: Dim.of(1) }));
  const walked = Object.entries({ all: 2 ** 30, ...loops });
  return {
    axes: [...grid, ...walked.map(([name, extent]) => ({ name, kind: 'loop' as const, extent: Dim.of(extent) }))],
    terms: [],
    buffers: indices.map((index) => [{ index: Dim.of(index), conditions: [] }]),
  };
}

/**
 * A kernel that only has a signature: buffers `b0`, `b1`, ..., all parameters of a cut launch and some more. Without an access
 * map it touches element `x` of each.
 */
export function signature(
  name: string,
  access: readonly BufferBinding['access'][],
  parameters: readonly string[] = [],
  accesses: AccessMap = accessMap(access.map(() => 'x')),
): LoadableKernel {
  const buffers = access.map((kind, index) => ({ name: `b${index}`, storage: 'f32', lanes: 1, access: kind }) as const);
  const thread: ThreadKernel = {
    phase: 'thread',
    name,
    buffers,
    parameters: ['origin_x', 'origin_y', 'origin_z', ...buffers.map((buffer) => `${buffer.name}_base`), ...parameters],
    workgroupSize: 1,
    shared: [],
    body: [],
  };
  return { name, thread, accesses, source: '' };
}

import { bindSizes } from '../ir/graph/bind-sizes.js';
import type { DimBinding } from '../ir/dim.js';
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16, f32ToF8e4m3, f8e4m3ToF32 } from '../ir/dtype.js';
import type { OpKind } from '../ir/graph/attributes.js';
import type { WeightDeclaration } from '../ir/graph/graph.js';
import type { OpDefinition } from '../ir/graph/op-table.js';
import { opTable } from '../ir/graph/ops/index.js';
import { countElements, type HostTensor } from '../ir/host-tensor.js';
import { launchedGroups } from '../ir/kernel/launch.js';
import { compileThreadKernel, type RunThreadKernel } from '../ir/kernel/thread-interpret.js';
import type { CopyStep, HostOperand, HostStepOf, LaunchStep, Plan, PlanStep, Storage } from '../ir/plan.js';
import type { StorageType } from '../ir/kernel/thread.js';
import type { CompiledModule } from '../passes/compiled.js';

/** Groups that walk over tiles here: few, so that each walks over several. */
const groupsAtOnce = 3;

/** What a run of a plan tells besides its results. */
export interface PlanRun {
  readonly results: ReadonlyMap<string, HostTensor>;
  /** Launches with workgroups and copies with elements, in the order they ran: kernel names, or `copy`. */
  readonly executed: readonly string[];
}

type Memory = Float32Array | Int32Array | Uint32Array | Uint16Array | Int8Array | Uint8Array;

/** Nothing in a plan may depend on what memory held before: a number that shows up in any sum. */
const poison = { float: NaN, integer: -0x5a5a5a5a };

/**
 * Executes a compiled function with the thread interpreter. Every storage is an array of its own, so what arenas and
 * lifetimes do is left out; memory that nothing has written is NaN. A launch sees no element past its bindings' spans.
 *
 * @param weights a declared weight, packed (`materializeWeight`)
 * @throws an error when a launch binds a storage for writing beside another binding of overlapping elements, which no device allows
 */
export function runPlan(
  compiled: CompiledModule,
  functionName: string,
  inputs: ReadonlyMap<string, HostTensor>,
  weights: (declaration: WeightDeclaration) => HostTensor,
): PlanRun {
  const plan = compiled.plans.get(functionName);
  if (plan === undefined) throw new Error(`no plan of ${functionName}`);
  const parameters = plan.inputs.map(({ name, dtype, shape }) => ({ name, type: { dtype, shape } }));
  const sizes = bindSizes(parameters, new Map([...inputs].map(([name, tensor]) => [name, tensor.shape])));
  return new PlanRunner(compiled, plan, sizes, weights).run(inputs);
}

class PlanRunner {
  private readonly memory: readonly Memory[];
  private readonly kernels = new Map<string, RunThreadKernel>();
  private readonly executed: string[] = [];

  constructor(
    private readonly compiled: CompiledModule,
    private readonly plan: Plan,
    private readonly sizes: DimBinding,
    private readonly weights: (declaration: WeightDeclaration) => HostTensor,
  ) {
    this.memory = plan.storages.map((storage) => allocate(storage, storage.size.evaluate(sizes)));
  }

  run(inputs: ReadonlyMap<string, HostTensor>): PlanRun {
    for (const { id, weight } of this.plan.storages) {
      const declaration = this.plan.weights.find(({ name }) => name === weight);
      if (declaration !== undefined) this.write(id, this.weights(declaration).data);
    }
    for (const { name, storage } of this.plan.inputs) this.write(storage, (inputs.get(name) as HostTensor).data);
    this.runSteps(this.plan.steps, this.sizes);
    const results = this.plan.results.map(({ name, dtype, shape, storage }): [string, HostTensor] => {
      const extents = shape.map((dim) => dim.evaluate(this.sizes));
      return [name, { dtype, shape: extents, data: this.read(storage, countElements(extents)) }];
    });
    return { results: new Map(results), executed: this.executed };
  }

  private runSteps(steps: readonly PlanStep[], sizes: DimBinding): void {
    for (const step of steps) {
      switch (step.kind) {
        case 'launch':
          this.launch(step, sizes);
          break;
        case 'copy':
          this.copy(step, sizes);
          break;
        case 'host':
          if (sizes !== this.sizes) throw new Error(`the host step ${step.operation} stands in a loop`);
          this.runHost(step, sizes);
          break;
        case 'loop': {
          const count = step.count.evaluate(sizes);
          for (let index = 0; index < count; index++) this.runSteps(step.steps, { ...sizes, [step.symbol]: index });
          break;
        }
      }
    }
  }

  private launch(step: LaunchStep, sizes: DimBinding): void {
    const kernel = this.compiled.kernels.get(step.kernel);
    if (kernel === undefined) throw new Error(`no kernel ${step.kernel}`);
    const workgroups = step.grid.map(({ extent, tile }) => Math.ceil(extent.evaluate(sizes) / tile));
    if (workgroups.some((count) => count <= 0)) return;
    this.checkAliases(step, sizes);
    const { thread } = kernel;
    const buffers: Record<string, Memory> = {};
    const values: Record<string, number> = { origin_x: 0, origin_y: 0, origin_z: 0 };
    thread.buffers.forEach(({ name }, place) => {
      const binding = step.bindings[place];
      if (binding === undefined) throw new Error(`${step.label}: no binding for ${name}`);
      const offset = binding.offset.evaluate(sizes);
      const memory = this.memory[binding.storage] as Memory;
      buffers[name] = memory.subarray(0, roundUp(Math.max(1, offset + binding.span.evaluate(sizes))));
      values[`${name}_base`] = offset;
    });
    for (const { name, value } of step.parameters) values[name] = value.evaluate(sizes);
    let run = this.kernels.get(step.kernel);
    if (run === undefined) {
      run = compileThreadKernel(thread);
      this.kernels.set(step.kernel, run);
    }
    const grid = workgroups as [number, number, number];
    [values.tiles_x, values.tiles_y, values.tiles_z] = grid;
    run(buffers, values, launchedGroups(thread, grid, groupsAtOnce));
    this.executed.push(step.kernel);
  }

  private checkAliases(step: LaunchStep, sizes: DimBinding): void {
    step.bindings.forEach((one, place) => {
      for (const other of step.bindings.slice(place + 1)) {
        if (one.storage !== other.storage || (one.access === 'read' && other.access === 'read')) continue;
        const [a, b] = [one.offset.evaluate(sizes), other.offset.evaluate(sizes)];
        const apart = a + one.span.evaluate(sizes) <= b || b + other.span.evaluate(sizes) <= a;
        if (!apart) throw new Error(`${step.label} writes storage ${one.storage} through overlapping bindings`);
        if (one.access !== other.access) throw new Error(`${step.label} reads and writes storage ${one.storage}`);
      }
    });
  }

  private copy({ from, to, size, label }: CopyStep, sizes: DimBinding): void {
    const count = size.evaluate(sizes);
    if (count === 0) return;
    const [source, target] = [this.memory[from.storage] as Memory, this.memory[to.storage] as Memory];
    if (source.BYTES_PER_ELEMENT !== 4 || target.BYTES_PER_ELEMENT !== 4)
      throw new Error(`${label} does not move whole words`);
    const start = from.offset.evaluate(sizes);
    target.set(source.subarray(start, start + count), to.offset.evaluate(sizes));
    this.executed.push('copy');
  }

  private runHost<K extends OpKind>(step: HostStepOf<K>, sizes: DimBinding): void {
    const { evaluate }: OpDefinition<K> = opTable[step.operation];
    if (evaluate === undefined) throw new Error(`the host cannot run ${step.operation}`);
    const operands = step.operands.map((operand) => this.readOperand(operand, sizes));
    const weight = (): never => {
      throw new Error('a host step asks for a weight by name');
    };
    const results = evaluate(operands, step.attributes, step.results, { sizes, precision: 'f32', weight });
    step.results.forEach(({ storage }, place) => this.write(storage, (results[place] as HostTensor).data));
  }

  private readOperand(operand: HostOperand, sizes: DimBinding): HostTensor {
    switch (operand.kind) {
      case 'weight':
        return this.weights(operand.weight);
      case 'storage': {
        const shape = operand.shape.map((dim) => dim.evaluate(sizes));
        return { dtype: operand.dtype, shape, data: this.read(operand.storage, countElements(shape)) };
      }
      case 'constant': {
        const shape = operand.shape.map((dim) => dim.evaluate(sizes));
        const { values } = operand;
        const length = countElements(shape);
        const data = Float64Array.from({ length }, (_, at) => values[values.length === 1 ? 0 : at] as number);
        return { dtype: operand.dtype, shape, data };
      }
    }
  }

  private write(storage: number, data: Float64Array): void {
    const memory = this.memory[storage] as Memory;
    const kind = (this.plan.storages[storage] as Storage).storage;
    const encode = codecs[kind]?.encode ?? ((value: number): number => value);
    data.forEach((value, at) => (memory[at] = encode(value)));
  }

  private read(storage: number, count: number): Float64Array {
    const memory = this.memory[storage] as Memory;
    const kind = (this.plan.storages[storage] as Storage).storage;
    const decode = codecs[kind]?.decode ?? ((value: number): number => value);
    return Float64Array.from(memory.subarray(0, count), decode);
  }
}

/** Narrow floats are their bits in memory. */
const codecs: { readonly [kind in StorageType]?: Record<'encode' | 'decode', (number: number) => number> } = {
  bf16: { encode: f32ToBf16, decode: bf16ToF32 },
  f16: { encode: f32ToF16, decode: f16ToF32 },
  f8e4m3: { encode: f32ToF8e4m3, decode: f8e4m3ToF32 },
};

/** Vectors of four may reach past an odd end, as they may in a buffer. */
function roundUp(count: number): number {
  return Math.ceil(count / 4) * 4;
}

function allocate({ storage }: Storage, count: number): Memory {
  const length = roundUp(Math.max(1, count));
  switch (storage) {
    case 'f32':
      return new Float32Array(length).fill(poison.float);
    case 'i32':
      return new Int32Array(length).fill(poison.integer);
    case 'u32':
      return new Uint32Array(length).fill(poison.integer);
    case 'f16':
    case 'bf16':
      // Weights only, which are written whole.
      return new Uint16Array(length).fill(0x7fff);
    case 'i8':
      return new Int8Array(length).fill(0x5a);
    case 'f8e4m3':
      // NaN.
      return new Uint8Array(length).fill(0x7f);
    case 'u8':
      return new Uint8Array(length).fill(0xa5);
    case 'bool':
      throw new Error(`plans have no storage of ${storage}`);
  }
}

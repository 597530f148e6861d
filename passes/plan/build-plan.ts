import { Dim } from '../../ir/dim.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import type { Block, GraphFunction, Module, Operation, Value } from '../../ir/graph/graph.js';
import { opTable } from '../../ir/graph/ops/index.js';
import type { HalfType, StorageType } from '../../ir/kernel/thread.js';
import type { CopyStep, HostOperand, HostStep, LaunchStep, Plan, PlanStep, PlanValue, Storage } from '../../ir/plan.js';
import { findHostOperations } from '../graph/host-operations.js';
import { elementCount, storageOf } from '../kernel/from-group/group.js';
import type { KernelGroup, MemoryLayout } from '../kernel/from-group/group.js';
import { Destinations } from './destinations.js';
import type { KernelStore } from './kernel-store.js';
import { findByteValues, findNarrowValues } from './narrow-values.js';
import { boundSpan, shareBindings } from './shared-bindings.js';
import { hintOf, labelOf } from './launch-names.js';
import { denseView, isDense, part, sameView, viewThrough } from './views.js';
import type { View } from './views.js';

/**
 * Writes a fused function as a plan: every value gets a view of a storage, every fused operation becomes a launch. Views cost
 * nothing; a concatenation's parts are written in place by their producers; what strides cannot say is copied by a kernel.
 *
 * @param halves what values are kept in that only products of such factors read; as wide as the others without it
 */
export function buildPlan(module: Module, fn: GraphFunction, kernels: KernelStore, halves?: HalfType): Plan {
  return new PlanBuilder(module, fn, kernels, halves).build();
}

class PlanBuilder {
  private readonly storages: Storage[] = [];
  private readonly views = new Map<Value, View>();
  private readonly weightStorages = new Map<string, number>();
  private readonly makers = new Map<Value, Operation>();
  private readonly host: ReadonlySet<Operation>;
  private steps: PlanStep[] = [];
  /** Before everything else: host work never depends on the device. */
  private readonly hostSteps: HostStep[] = [];
  private readonly destinations: Destinations;
  private readonly narrow: ReadonlySet<Value>;
  private readonly bytes: ReadonlySet<Value>;

  constructor(
    private readonly module: Module,
    private readonly fn: GraphFunction,
    private readonly kernels: KernelStore,
    private readonly halves: HalfType | undefined,
  ) {
    this.narrow =
      halves === undefined ? new Set() : findNarrowValues(fn.body, halves, kernels.target.narrowStores === true);
    this.bytes = kernels.target.packedDots === true ? findByteValues(fn.body) : new Set();
    this.host = findHostOperations(fn.body);
    this.destinations = new Destinations(fn.body, (value, label, isResult) =>
      denseView(this.addStorage(isResult ? 'result' : 'temporary', value, label), value.type.shape),
    );
  }

  build(): Plan {
    const { body, resultNames, name } = this.fn;
    const inputs = body.parameters.map((value): PlanValue => {
      const storage = this.addStorage('input', value, value.name);
      this.views.set(value, denseView(storage, value.type.shape));
      return planValue(value.name, value, storage);
    });
    this.lowerBlock(body);
    const placed = new Map<Value, number>();
    const results = body.results.map((value, place): PlanValue => {
      const label = resultNames[place] as string;
      const storage = placed.get(value) ?? this.asResult(value, label);
      placed.set(value, storage);
      return planValue(label, value, storage);
    });
    const weights = [...this.weightStorages.keys()].map((weight) => {
      const declaration = this.module.weights.get(weight);
      if (declaration === undefined) throw new Error(`internal: weight ${weight} is not declared`);
      return declaration;
    });
    return { name, inputs, results, storages: this.storages, weights, steps: [...this.hostSteps, ...this.steps] };
  }

  private lowerBlock(block: Block): void {
    for (const operation of block.operations) {
      for (const result of operation.results) this.makers.set(result, operation);
      this.lower(operation);
    }
  }

  private lower(operation: Operation): void {
    if (this.host.has(operation)) {
      this.lowerHost(operation);
      return;
    }
    switch (operation.kind) {
      case 'weight':
        this.views.set(
          operation.results[0] as Value,
          this.weightView(operation.attributes.name, operation.results[0] as Value),
        );
        return;
      case 'loop':
        this.lowerLoop(operation);
        return;
      case 'fused':
        this.lowerFused(operation);
        return;
      case 'concat':
        this.lowerConcat(operation);
        return;
      case 'constant':
      case 'iota':
        this.lowerHost(operation);
        return;
      default:
        break;
    }
    if (opTable[operation.kind].category === 'view') {
      this.lowerView(operation);
      return;
    }
    throw new Flux2cError('F2C305', `${operation.kind} cannot run where it stands`, {
      where: [this.fn.name, `%${operation.results[0]?.name ?? ''}`],
      hint:
        opTable[operation.kind].category === 'host'
          ? 'Its operands must be inputs of the function, not values computed on the device.'
          : 'Every operation must be fused, a view or host work before planning.',
    });
  }

  private lowerView(operation: Operation): void {
    const source = operation.operands[0] as Value;
    operation.results.forEach((result, place) => {
      const operand = this.viewOf(source);
      const view =
        viewThrough(operation, place, operand, source.type.shape) ??
        viewThrough(operation, place, this.copyDense(source, operand), source.type.shape);
      if (view === undefined) throw new Error(`internal: ${operation.kind} of a dense value has no view`);
      this.views.set(result, view);
    });
  }

  private lowerFused(operation: Extract<Operation, { kind: 'fused' }>): void {
    const body = operation.body as Block;
    const operands = operation.operands.map((operand) => this.viewOf(operand));
    const taken = new Set(operands.map(({ storage }) => storage));
    const results = operation.results.map((result) => {
      const wanted = this.destinations.take(result);
      // One kernel must not read and write one buffer, nor bind interleaved windows of one for writing.
      const view = wanted !== undefined && !taken.has(wanted.storage) ? wanted : this.newDense(result);
      taken.add(view.storage);
      return view;
    });
    const isTooMany = operands.length + results.length > this.kernels.target.maxStorageBuffers;
    const isWeight = (storage: number): boolean => this.storages[storage]?.kind === 'weight';
    const within = isTooMany ? shareBindings(operands, isWeight) : [];
    const group: KernelGroup = {
      anchor: operation.attributes.anchor,
      body,
      operands: operands.map((view, place) => {
        const shared = within[place];
        return { ...this.layoutOf(view), ...(shared !== undefined && { within: shared }) };
      }),
      results: results.map((view) => this.layoutOf(view)),
    };
    operation.results.forEach((result, place) => this.views.set(result, results[place] as View));
    this.launch(group, [...operands, ...results], labelOf(operation, this.makers), hintOf(operation));
  }

  private launch(group: KernelGroup, views: readonly View[], label: string, hint: string): void {
    const use = this.kernels.use(group, hint);
    const reads = group.operands.length;
    const within = group.operands.map((operand) => operand.within);
    const step: LaunchStep = {
      kind: 'launch',
      kernel: use.kernel.name,
      label,
      bindings: views.flatMap((view, place) => {
        if (within[place] !== undefined) return [];
        const access = place < reads ? 'read' : 'write';
        return [{ storage: view.storage, offset: view.offset, access, span: boundSpan(views, place, within) }];
      }),
      parameters: use.parameters,
      grid: use.grid,
      ...use.cost,
    };
    this.steps.push(step);
  }

  private lowerConcat(operation: Extract<Operation, { kind: 'concat' }>): void {
    const result = operation.results[0] as Value;
    const whole = this.destinations.wholeOf(operation);
    const { axis } = operation.attributes;
    let start = Dim.of(0);
    for (const operand of operation.operands) {
      const place = part(whole, axis, start, operand.type.shape);
      start = start.add(operand.type.shape[axis] as Dim);
      const now = this.viewOf(operand);
      if (!sameView(now, place)) this.copyTo(operand, now, place);
    }
    this.views.set(result, whole);
  }

  private lowerLoop(operation: Extract<Operation, { kind: 'loop' }>): void {
    const body = operation.body as Block;
    const carried = body.parameters.map((parameter, place) => {
      const result = operation.results[place] as Value;
      const wanted = this.destinations.take(result);
      const isWhole = wanted !== undefined && wanted.offset.constant === 0 && isDense(wanted);
      // Observers see carried values as dense storages.
      const storage = isWhole ? wanted : this.newDense(parameter);
      this.copyTo(operation.operands[place] as Value, this.viewOf(operation.operands[place] as Value), storage);
      this.views.set(parameter, storage);
      this.views.set(result, storage);
      return storage;
    });
    const outer = this.steps;
    this.steps = [];
    this.lowerBlock(body);
    // All next values are at hand before any carried one is overwritten: a body may swap them.
    const next = body.results.map((value, place) => {
      if (value === body.parameters[place]) return carried[place] as View;
      const view = this.viewOf(value);
      return carried.some(({ storage }) => storage === view.storage) ? this.copyDense(value, view) : view;
    });
    body.results.forEach((value, place) => {
      if (next[place] !== carried[place]) this.copyTo(value, next[place] as View, carried[place] as View);
    });
    const { count, symbol } = operation.attributes;
    outer.push({
      kind: 'loop',
      count,
      symbol,
      steps: this.steps,
      carried: body.parameters.map((parameter, place) =>
        planValue(parameter.name, parameter, carried[place]?.storage as number),
      ),
    });
    this.steps = outer;
  }

  private lowerHost(operation: Operation): void {
    const operands = operation.operands.map((operand): HostOperand => {
      const maker = this.makers.get(operand);
      if (maker?.kind === 'weight') {
        const weight = this.module.weights.get(maker.attributes.name);
        if (weight === undefined) throw new Error(`internal: weight ${maker.attributes.name} is not declared`);
        return { kind: 'weight', weight };
      }
      if (maker?.kind === 'constant') return { kind: 'constant', ...maker.attributes };
      const { dtype, shape } = operand.type;
      return { kind: 'storage', storage: this.viewOf(operand).storage, dtype, shape };
    });
    const results = operation.results.map((result) => {
      const storage = this.addStorage('host', result, result.name);
      this.views.set(result, denseView(storage, result.type.shape));
      return { storage, dtype: result.type.dtype, shape: result.type.shape };
    });
    // The step's operation and attributes come from one operation, so they belong together.
    this.hostSteps.push({
      kind: 'host',
      operation: operation.kind,
      attributes: operation.attributes,
      operands,
      results,
    } as HostStep);
  }

  /** The view of a value; weights get their storage when they are first used on the device. */
  private viewOf(value: Value): View {
    const view = this.views.get(value);
    if (view === undefined) throw new Error(`internal: %${value.name} has no place`);
    return view;
  }

  private weightView(name: string, value: Value): View {
    let storage = this.weightStorages.get(name);
    if (storage === undefined) {
      storage = this.storages.length;
      const { dtype, shape } = value.type;
      this.storages.push({
        id: storage,
        kind: 'weight',
        storage: dtype === 'i8' && this.kernels.target.packedDots === true ? dtype : storageOf(dtype, true),
        size: elementCount(shape),
        label: name,
        weight: name,
      });
      this.weightStorages.set(name, storage);
    }
    return denseView(storage, value.type.shape);
  }

  private newDense(value: Value): View {
    return denseView(this.addStorage('temporary', value, value.name), value.type.shape);
  }

  private addStorage(kind: Storage['kind'], value: Value, label: string): number {
    const { dtype, shape } = value.type;
    const id = this.storages.length;
    const narrow = kind === 'temporary' ? this.narrowStorageOf(value) : undefined;
    this.storages.push({ id, kind, storage: narrow ?? storageOf(dtype, false), size: elementCount(shape), label });
    return id;
  }

  private narrowStorageOf(value: Value): StorageType | undefined {
    const { dtype } = value.type;
    if (dtype === 'f8e4m3') return this.kernels.target.fp8 === true ? dtype : undefined;
    if (this.bytes.has(value)) return 'i8';
    return this.narrow.has(value) ? this.halves : undefined;
  }

  private layoutOf(view: View): MemoryLayout {
    const storage = this.storages[view.storage];
    if (storage === undefined) throw new Error(`internal: no storage ${view.storage}`);
    return {
      storage: storage.storage,
      shape: view.shape,
      strides: view.strides,
      alignment: alignments(storage.storage).find((elements) => view.offset.isMultipleOf(elements)) ?? 1,
    };
  }

  private copyDense(value: Value, from: View): View {
    const to = this.newDense(value);
    this.copyTo(value, from, to);
    return to;
  }

  /** A plain copy where both are dense, a kernel otherwise. */
  private copyTo(value: Value, from: View, to: View): void {
    const label = `copy ${value.name}`;
    if (from.storage === to.storage) {
      this.copyTo(value, this.copyDense(value, from), to);
      return;
    }
    const [source, target] = [from, to].map((view) => this.storages[view.storage]?.storage);
    // Stored weights have 16 bits, what kernels write has 32. Rows of bytes may end within a word.
    if (source === target && source !== 'f8e4m3' && source !== 'i8' && isDense(from) && isDense(to)) {
      const step: CopyStep = {
        kind: 'copy',
        from: { storage: from.storage, offset: from.offset },
        to: { storage: to.storage, offset: to.offset },
        size: elementCount(value.type.shape),
        label,
      };
      this.steps.push(step);
      return;
    }
    const element: Value = { name: value.name, type: value.type };
    const body: Block = { parameters: [element], operations: [], results: [element] };
    const group: KernelGroup = { anchor: 'map', body, operands: [this.layoutOf(from)], results: [this.layoutOf(to)] };
    this.launch(group, [from, to], label, 'copy');
  }

  /** A function's result must be a dense storage of its own that nothing reuses. */
  private asResult(value: Value, label: string): number {
    const view = this.viewOf(value);
    const storage = this.storages[view.storage] as Storage;
    const owns =
      storage.kind === 'result' &&
      isDense(view) &&
      view.offset.constant === 0 &&
      storage.size.equals(elementCount(value.type.shape));
    if (owns) return view.storage;
    const reserved = this.destinations.take(value)?.storage;
    const isFree = reserved !== undefined && reserved !== view.storage && this.storages[reserved]?.kind === 'result';
    const id = isFree ? reserved : this.addStorage('result', value, label);
    this.copyTo(value, view, denseView(id, value.type.shape));
    return id;
  }
}

function planValue(name: string, value: Value, storage: number): PlanValue {
  return { name, dtype: value.type.dtype, shape: value.type.shape, storage };
}

/** Numbers in memory that kernels can make use of: down from 16 bytes of those that are multiplied. */
function alignments(storage: StorageType): readonly number[] {
  return storage === 'f8e4m3' || storage === 'i8' ? [16, 8, 4, 2] : [8, 4, 2];
}

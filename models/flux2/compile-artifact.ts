/** Compiling a model's functions into the parts of an artifact. */
import { kernelPrinter } from '../../backends/print-kernel.js';
import type { Target } from '../../backends/target.js';
import { locateSlice } from '../../frontend/checkpoint/index.js';
import type { WeightPart, WeightSource } from '../../ir/graph/graph.js';
import type { Plan } from '../../ir/plan.js';
import { compileModule, type CompileOptions, KernelCache } from '../../passes/compile.js';
import type { CompiledKernel } from '../../passes/compiled.js';
import type { WeightEntry } from '../../runtime/artifact.js';
import { buildFunction, componentOf } from './component-functions.js';
import type { LoadedComponent } from './load-model.js';
import type { Flux2Description, NetworkName } from './networks.js';
import { mayQuantize } from './quantized-tensors.js';
import type { Component, WeightDTypes } from './weights.js';

export interface CompileRequest {
  readonly description: Flux2Description;
  readonly functions: readonly NetworkName[];
  readonly target: Target;
  /** Element types of the stored weights. */
  readonly dtypesOf: (component: Component) => WeightDTypes;
  /** How stored weights are held on the device (`chooseEncodings`); default: as numbers. */
  readonly encodingOf?: (component: Component) => CompileOptions['encodingOf'];
  /** Hidden states that the text encoder joins, instead of the pipeline's. */
  readonly layers?: readonly number[];
  /** Default: `stored`. */
  readonly operands?: CompileOptions['operands'];
  /** In place of the chosen ones, by kernel key. */
  readonly schedules?: CompileOptions['schedules'];
  /** Kernels of other targets of the same backend, and room for those of this one. */
  readonly cache?: KernelCache;
  /** Looks at the passes of one function. */
  readonly instrumentsOf?: (name: NetworkName) => CompileOptions['instruments'];
  /** Before each function, and at the end. */
  readonly onFunction?: (done: number, of: number) => void;
}

export interface CompiledFunctions {
  readonly functions: ReadonlyMap<NetworkName, { readonly component: Component; readonly plan: Plan }>;
  /** Shared by all functions: a kernel's name says what it is. */
  readonly kernels: ReadonlyMap<string, CompiledKernel>;
}

/** Compiles function by function, so that only one graph is in memory at a time. Errors of the stages. */
export function compileFunctions(request: CompileRequest): CompiledFunctions {
  const { description, functions: names, target, dtypesOf, layers, instrumentsOf, onFunction } = request;
  const { operands = 'stored', schedules, cache = new KernelCache() } = request;
  const functions = new Map<NetworkName, { component: Component; plan: Plan }>();
  const kernels = new Map<string, CompiledKernel>();
  names.forEach((name, index) => {
    onFunction?.(index, names.length);
    const component = componentOf[name];
    const module = buildFunction(description, name, dtypesOf(component), layers);
    const instruments = instrumentsOf?.(name);
    const encodingOf = request.encodingOf?.(component);
    const compiled = compileModule(module, target, {
      print: kernelPrinter(target),
      operands,
      cache,
      mayQuantize,
      ...(encodingOf && { encodingOf }),
      ...(schedules && { schedules }),
      ...(instruments && { instruments }),
    });
    functions.set(name, { component, plan: compiled.plans.get(name)! });
    for (const [kernel, value] of compiled.kernels) kernels.set(kernel, value);
  });
  onFunction?.(names.length, names.length);
  return { functions, kernels };
}

/** The tensors of each network that plans of any build read, sorted. */
export function usedTensors(
  builds: readonly Pick<CompiledFunctions, 'functions'>[],
): ReadonlyMap<Component, readonly string[]> {
  const used = new Map<Component, Set<string>>();
  const collect = (part: WeightPart, into: Set<string>): void => {
    const { source } = part;
    if (source.kind === 'tensor') into.add(source.tensor);
    else if ('of' in source) collect(source.of, into);
    else for (const inner of source.parts) collect(inner, into);
  };
  for (const { component, plan } of builds.flatMap(({ functions }) => [...functions.values()])) {
    const tensors = used.get(component) ?? new Set();
    used.set(component, tensors);
    for (const { type, source } of plan.weights) {
      collect({ shape: type.shape.map((dim) => dim.evaluate({})), source }, tensors);
    }
  }
  return new Map([...used].sort().map(([component, tensors]) => [component, [...tensors].sort()]));
}

/** How plans of any build want tensors of each network encoded. */
export function usedEncodings(
  builds: readonly Pick<CompiledFunctions, 'functions'>[],
): ReadonlyMap<Component, ReadonlyMap<string, string>> {
  const used = new Map<Component, Map<string, string>>();
  const collect = (source: WeightSource, encoding: string, into: Map<string, string>): void => {
    if (source.kind === 'tensor') into.set(source.tensor, encoding);
    else if ('of' in source) collect(source.of.source, encoding, into);
    else for (const inner of source.parts) collect(inner.source, encoding, into);
  };
  for (const { component, plan } of builds.flatMap(({ functions }) => [...functions.values()])) {
    const encodings = used.get(component) ?? new Map<string, string>();
    used.set(component, encodings);
    for (const { source } of plan.weights) {
      if (source.kind === 'encoded_rows') collect(source.of.source, source.encoding, encodings);
    }
  }
  return used;
}

/** Where the tensors of a network are in its files; `fileIndex` numbers the files. */
export function locateTensors(
  { checkpoint, table }: LoadedComponent<unknown>,
  tensors: readonly string[],
  fileIndex: (file: string) => number,
): ReadonlyMap<string, WeightEntry> {
  const entries = tensors.map((name): [string, WeightEntry] => {
    const slice = table.get(name)!;
    const parts = locateSlice(checkpoint, slice).map(
      ({ file, offset, byteLength }) => [fileIndex(file), offset, byteLength] as const,
    );
    return [name, { dtype: slice.fileDType, shape: slice.shape, parts }];
  });
  return new Map(entries);
}

/** Compiling a model's functions into the parts of an artifact. */
import { kernelPrinter } from '../../backends/print-kernel.js';
import type { Target } from '../../backends/target.js';
import { locateSlice } from '../../frontend/checkpoint/index.js';
import type { Module, WeightSource } from '../../ir/graph/graph.js';
import type { Plan } from '../../ir/plan.js';
import { compileModule, type CompileOptions, KernelCache } from '../../passes/compile.js';
import type { CompiledKernel } from '../../passes/compiled.js';
import type { NumbersEntry } from '../../runtime/artifact.js';
import { buildFunction, componentOf } from './component-functions.js';
import type { LoadedComponent } from './load-model.js';
import type { Flux2Description, NetworkName } from './networks.js';
import { mayQuantize } from './quantized-tensors.js';
import type { Component, WeightDTypes } from './weights.js';
import { operandsOf } from './network-operands.js';

export interface CompileRequest {
  readonly description: Flux2Description;
  readonly functions: readonly NetworkName[];
  readonly target: Target;
  /** Element types of the stored weights. */
  readonly dtypesOf: (component: Component) => WeightDTypes;
  /** How the weights of a function's network are held on the device (`chooseEncodings`); default: as numbers. */
  readonly encodingOf?: (component: Component, module: Module) => CompileOptions['encodingOf'];
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
  const { operands, schedules, cache = new KernelCache() } = request;
  const functions = new Map<NetworkName, { component: Component; plan: Plan }>();
  const kernels = new Map<string, CompiledKernel>();
  names.forEach((name, index) => {
    onFunction?.(index, names.length);
    const component = componentOf[name];
    const module = buildFunction(description, name, dtypesOf(component), layers);
    const instruments = instrumentsOf?.(name);
    const encodingOf = request.encodingOf?.(component, module);
    const compiled = compileModule(module, target, {
      print: kernelPrinter(target),
      operands: operandsOf(component, operands, target),
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

/** What plans read of a tensor. */
export interface TensorUse {
  /** Some plan reads its numbers. */
  readonly isNumbers: boolean;
  /** Some plan reads its rows in this encoding. */
  readonly encodings: ReadonlySet<string>;
}

/** The tensors of each network that plans of any build read, sorted. */
export function usedTensors(
  builds: readonly Pick<CompiledFunctions, 'functions'>[],
): ReadonlyMap<Component, ReadonlyMap<string, TensorUse>> {
  const used = new Map<Component, Map<string, TensorUse>>();
  const collect = (source: WeightSource, encoding: string | undefined, into: Map<string, TensorUse>): void => {
    if (source.kind === 'tensor') {
      const { isNumbers = false, encodings = [] } = into.get(source.tensor) ?? {};
      const more = encoding === undefined ? [] : [encoding];
      into.set(source.tensor, {
        isNumbers: isNumbers || encoding === undefined,
        encodings: new Set([...encodings, ...more]),
      });
    } else if (source.kind === 'slice_rows') {
      collect(source.of.source, encoding, into);
    } else if ('of' in source) {
      collect(source.of.source, source.kind === 'encoded_rows' ? source.encoding : undefined, into);
    } else for (const inner of source.parts) collect(inner.source, encoding, into);
  };
  for (const { component, plan } of builds.flatMap(({ functions }) => [...functions.values()])) {
    const tensors = used.get(component) ?? new Map<string, TensorUse>();
    used.set(component, tensors);
    for (const { source } of plan.weights) collect(source, undefined, tensors);
  }
  const sorted = <K extends string, V>(map: ReadonlyMap<K, V>): [K, V][] =>
    [...map].sort(([a], [b]) => (a < b ? -1 : 1));
  return new Map(sorted(used).map(([component, tensors]) => [component, new Map(sorted(tensors))]));
}

/** Where the numbers of a tensor are in its files; `fileIndex` numbers the files. */
export function locateTensor(
  { checkpoint, table }: LoadedComponent<unknown>,
  name: string,
  fileIndex: (file: string) => number,
): NumbersEntry {
  const slice = table.get(name)!;
  const parts = locateSlice(checkpoint, slice).map(
    ({ file, offset, byteLength }) => [fileIndex(file), offset, byteLength] as const,
  );
  return { dtype: slice.fileDType, shape: slice.shape, parts };
}

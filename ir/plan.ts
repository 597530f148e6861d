import type { Dim } from './dim.js';
import type { DType } from './dtype.js';
import type { StorageType } from './kernel/thread.js';
import type { OpAttributes, OpKind } from './graph/attributes.js';
import type { WeightDeclaration } from './graph/graph.js';

/**
 * A plan is a compiled function: which kernels run, in which order, on which storages. Sizes are polynomials over the
 * symbols users vary; instantiating it for given sizes evaluates them, assigns arena offsets and cuts launches to the
 * device's limits, in milliseconds.
 */
export interface Plan {
  /** Function name in the module: `transformer`, `denoise`, ... */
  readonly name: string;
  readonly inputs: readonly PlanValue[];
  readonly results: readonly PlanValue[];
  readonly storages: readonly Storage[];
  /** Weights by name, packed as declared. */
  readonly weights: readonly WeightDeclaration[];
  readonly steps: readonly PlanStep[];
}

/** A named tensor at the boundary, dense and row-major in its storage. */
export interface PlanValue {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly Dim[];
  readonly storage: number;
}

/**
 * Memory for one or more values (views share a storage). `id` is its index.
 * - `input`, `result`: written and read by the host at the boundary; a result lives to the end
 * - `weight`: resident for the plan's life, named in `weight`
 * - `host`: written by a host step
 * - `temporary`: lives from first to last use, placed in an arena
 */
export interface Storage {
  readonly id: number;
  readonly kind: 'input' | 'result' | 'weight' | 'host' | 'temporary';
  readonly storage: StorageType;
  /** Elements. */
  readonly size: Dim;
  readonly label: string;
  readonly weight?: string;
}

export type PlanStep = LaunchStep | CopyStep | HostStep | LoopStep;

export interface LaunchStep {
  readonly kind: 'launch';
  /** Name of the kernel in the artifact; equal kernels are stored once. */
  readonly kernel: string;
  /** The values it makes, for people: `single.3.linear1`. */
  readonly label: string;
  /** In the order of the kernel's buffers. */
  readonly bindings: readonly BufferBinding[];
  /** In the order of the kernel's parameters, without `origin_*`, `tiles_*` and `*_base`, which instantiation fills in. */
  readonly parameters: readonly { readonly name: string; readonly value: Dim }[];
  /** Coordinates to cover and coordinates of one workgroup, for x, y, z. */
  readonly grid: readonly [GridAxis, GridAxis, GridAxis];
  readonly flop: Dim;
  readonly bytes: Dim;
}

export interface GridAxis {
  readonly extent: Dim;
  readonly tile: number;
}

export interface BufferBinding {
  readonly storage: number;
  /** Elements before the view. */
  readonly offset: Dim;
  readonly access: 'read' | 'write' | 'read_write';
  /** Elements of the storage that may be touched, from `offset`; which of them by a part of the grid says the kernel's `accesses`. */
  readonly span: Dim;
}

/** Dense copy between storages, in elements. */
export interface CopyStep {
  readonly kind: 'copy';
  readonly from: { readonly storage: number; readonly offset: Dim };
  readonly to: { readonly storage: number; readonly offset: Dim };
  readonly size: Dim;
  readonly label: string;
}

/** An operation evaluated on the host by its reference semantics, in f64, before the device starts. */
export type HostStep = { readonly [K in OpKind]: HostStepOf<K> }[OpKind];

export interface HostStepOf<K extends OpKind> {
  readonly kind: 'host';
  readonly operation: K;
  readonly attributes: OpAttributes[K];
  readonly operands: readonly HostOperand[];
  readonly results: readonly { readonly storage: number; readonly dtype: DType; readonly shape: readonly Dim[] }[];
}

/** Rows of a weight are read from the file as they are needed (`gather`); an input or an earlier host result is at hand. */
export type HostOperand =
  | { readonly kind: 'storage'; readonly storage: number; readonly dtype: DType; readonly shape: readonly Dim[] }
  | { readonly kind: 'weight'; readonly weight: WeightDeclaration }
  | {
      readonly kind: 'constant';
      readonly dtype: DType;
      readonly shape: readonly Dim[];
      readonly values: readonly number[];
    };

/** Runs its steps `count` times with `symbol` bound to 0, 1, ... */
export interface LoopStep {
  readonly kind: 'loop';
  readonly count: Dim;
  readonly symbol: string;
  readonly steps: readonly PlanStep[];
  /** Carried values after an iteration, by name, for observers (progress, previews). */
  readonly carried: readonly PlanValue[];
}

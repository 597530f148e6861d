/** What `run.py` reads: `bundle.json` and the files that it names. Offsets and sizes are bytes unless they say otherwise. */
import type { CudaArchitecture } from '../../backends/cuda/cuda-target.js';
import type { WeightSource } from '../../ir/graph/graph.js';
import type { KernelResources } from './occupancy.js';
import type { TileJson } from './tile-json.js';

export const bundleFormat = 3;

export interface Bundle {
  readonly format: typeof bundleFormat;
  readonly compiler: string;
  readonly architectures: readonly CudaArchitecture[];
  readonly kernels: Readonly<Record<string, BundleKernel>>;
  readonly programs: Readonly<Record<string, BundleProgram>>;
}

export interface BundleKernel {
  readonly entryPoint: string;
  /** Threads of a block. */
  readonly block: number;
  /** Dynamic shared memory. */
  readonly shared: number;
  readonly buffers: readonly { readonly name: string; readonly storage: string; readonly access: string }[];
  readonly parameters: readonly string[];
  /** Names of the tensor maps that it takes behind the pointers. */
  readonly tensorMaps: readonly string[];
  /** Launches of it start a block for each multiprocessor at most, and these walk over the grid's tiles. */
  readonly walksTiles: boolean;
  /** By architecture: the file, and what ptxas says. */
  readonly cubins: Readonly<Partial<Record<CudaArchitecture, string>>>;
  readonly resources: Readonly<Partial<Record<CudaArchitecture, KernelResources>>>;
  /** Blocks that a multiprocessor runs at a time. */
  readonly resident: Readonly<Partial<Record<CudaArchitecture, number>>>;
  /** What it computes: the runner evaluates it in f64. */
  readonly tile: TileJson;
}

export type ProgramForm = 'tensor copies, walking tiles' | 'cp.async ring';

/** What factors of products are rounded to; with `fp8` those of quantised linear layers, all others as with `bf16`. */
export type ProgramOperands = 'bf16' | 'fp8';

/** A function of a model, or a single kernel, for given sizes. */
export interface BundleProgram {
  /** How its products are scheduled, where the bundle has another program that does the same otherwise. */
  readonly form: ProgramForm;
  /** The program that this one is another form of. */
  readonly of?: string;
  readonly operands: ProgramOperands;
  readonly variant: string;
  readonly function: string;
  readonly sizes: Readonly<Record<string, number>>;
  /** Numbers of the network that a reference needs. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly buffers: readonly BundleBuffer[];
  readonly weights: Readonly<Record<string, BundleWeight>>;
  readonly inputs: readonly BundleValue[];
  /** Inputs whose values matter, also those that only the host reads. */
  readonly values: Readonly<
    Record<string, { readonly storage: string; readonly shape: readonly number[]; readonly contents: DataPlace }>
  >;
  readonly results: readonly BundleValue[];
  readonly launches: readonly (BundleLaunch | BundleCopy)[];
  /** Indices into `launches`: what runs once, before and behind the loop, and each iteration. */
  readonly before: readonly number[];
  readonly iterations: readonly (readonly number[])[];
  readonly after: readonly number[];
}

export interface BundleBuffer {
  readonly kind: 'arena' | 'input' | 'result' | 'host' | 'weight' | 'ring';
  readonly label: string;
  readonly bytes: number;
  readonly weight?: string;
  /** Contents by file; `normal`: random numbers, since a weight that is not at hand decides them. */
  readonly contents?: DataPlace | 'normal';
  readonly storage?: string;
}

export interface DataPlace {
  readonly file: string;
  readonly offset: number;
  readonly bytes: number;
}

export interface BundleWeight {
  readonly storage: string;
  readonly shape: readonly number[];
  readonly source: WeightSource;
}

export interface BundleValue {
  readonly name: string;
  readonly storage: string;
  readonly shape: readonly number[];
  readonly buffer: number;
  readonly offset: number;
}

export interface BundleLaunch {
  readonly kernel: string;
  readonly label: string;
  /** `double.0`, `single.3`, or nothing for what stands outside of blocks. */
  readonly block?: string;
  /** Buffer, offset and bytes of each of the kernel's buffers. */
  readonly bindings: readonly (readonly [buffer: number, offset: number, bytes: number])[];
  readonly parameters: readonly number[];
  /** Where the kernel's tensor maps lie, in order. */
  readonly tensorMaps: readonly BundleTensorMap[];
  /** Blocks, or tiles where blocks walk over them. */
  readonly grid: readonly [number, number, number];
  readonly flop: number;
  readonly bytes: number;
}

/** What `cuTensorMapEncodeTiled` is given; dimensions innermost first, extents and boxes in elements. */
export interface BundleTensorMap {
  /** Of the kernel's buffers. */
  readonly binding: number;
  /** Bytes from the start of the binding. */
  readonly offset: number;
  readonly extents: readonly number[];
  /** Bytes, of all dimensions but the innermost. */
  readonly strides: readonly number[];
  readonly boxes: readonly number[];
}

export interface BundleCopy {
  readonly copy: string;
  readonly from: readonly [buffer: number, offset: number];
  readonly to: readonly [buffer: number, offset: number];
  readonly bytes: number;
}

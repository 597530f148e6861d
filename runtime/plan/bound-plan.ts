import type { Target } from '../../backends/target.js';
import type { DimBinding } from '../../ir/dim.js';
import type { AccessMap } from '../../ir/kernel/access.js';
import type { ThreadKernel } from '../../ir/kernel/thread.js';
import type { HostStep, Plan, PlanValue } from '../../ir/plan.js';

/** A plan for given sizes on a given target: every number is known, no device is needed yet. */
export interface BoundPlan {
  readonly plan: Plan;
  readonly sizes: DimBinding;
  readonly target: Target;
  /** Arenas, buffers at the boundary, weights. Indices are what placements and launches name. */
  readonly buffers: readonly PlannedBuffer[];
  /** By storage id; undefined for storages that no device step uses. */
  readonly placements: readonly (Placement | undefined)[];
  /** In order; they run before `steps`. */
  readonly hostSteps: readonly HostStep[];
  readonly steps: readonly BoundStep[];
  readonly memory: MemoryReport;
  /** Weights that come while the plan runs, in a plan with a budget that is too small for all of them. */
  readonly streamed?: readonly StreamedPiece[];
}

export interface PlannedBuffer {
  /** `ring`: where streamed weights have their places. */
  readonly kind: 'arena' | 'input' | 'result' | 'host' | 'weight' | 'ring';
  readonly label: string;
  readonly byteLength: number;
  /** A weight's name and which of its segments this is. */
  readonly weight?: { readonly name: string; readonly segment: number };
}

/** Where a storage lies: one segment, or several consecutive ones for a weight larger than a buffer. */
export interface Placement {
  readonly elementBytes: number;
  readonly segments: readonly Segment[];
}

/** Elements `start` to `end` of a storage. `byteLength` is padded to whole 16 bytes. */
export interface Segment {
  readonly buffer: number;
  readonly byteOffset: number;
  readonly byteLength: number;
  readonly start: number;
  readonly end: number;
}

export type BoundStep = PlannedLaunch | PlannedCopy | PlannedFetch | PlannedArrival | BoundLoop;

/** A segment of a weight with its place in the ring, which it shares with others. */
export interface StreamedPiece {
  readonly weight: string;
  readonly segment: number;
  /** Index into the plan's buffers. */
  readonly buffer: number;
  readonly byteOffset: number;
  readonly byteLength: number;
  /** The host has it between fetches; otherwise it is read from its file every time. */
  readonly isKept: boolean;
}

/** From here on a piece may be copied to its place: whatever was there is used by launches before this step only. */
export interface PlannedFetch {
  readonly kind: 'fetch';
  /** Index into `streamed`. */
  readonly piece: number;
  /** The next iteration of the loop around it needs the piece: the last iteration does not fetch. */
  readonly isAhead: boolean;
}

/** Launches behind this step need the piece that was fetched last under this number. */
export interface PlannedArrival {
  readonly kind: 'arrival';
  readonly piece: number;
}

/** One dispatch. A launch step gives several when it is cut. */
export interface PlannedLaunch {
  readonly kind: 'launch';
  readonly kernel: string;
  readonly label: string;
  /** In the order of the kernel's buffers. */
  readonly bindings: readonly PlannedBinding[];
  /** In the order of the kernel's parameters. */
  readonly parameters: Int32Array;
  readonly workgroups: readonly [number, number, number];
  /** Floating-point operations and bytes of memory traffic, a cut launch's by its share of the coordinates. */
  readonly flop: number;
  readonly bytes: number;
}

export interface PlannedBinding {
  readonly storage: number;
  readonly access: 'read' | 'write' | 'read_write';
  readonly buffer: number;
  readonly byteOffset: number;
  readonly byteLength: number;
}

export interface PlannedCopy {
  readonly kind: 'copy';
  readonly label: string;
  readonly from: { readonly storage: number; readonly buffer: number; readonly byteOffset: number };
  readonly to: { readonly storage: number; readonly buffer: number; readonly byteOffset: number };
  readonly byteLength: number;
}

export interface BoundLoop {
  readonly kind: 'loop';
  readonly symbol: string;
  readonly count: number;
  /** Nothing inside depends on the symbol: all iterations are the same list. */
  readonly isUniform: boolean;
  /**
   * The steps of an iteration, 0 to count - 1. Those that do not depend on the symbol are the same objects in all; the
   * others are bound when they are asked for, so that fifty iterations cost no more than one to instantiate.
   */
  iteration(index: number): readonly BoundStep[];
  readonly carried: readonly PlanValue[];
}

export interface MemoryReport {
  /** Bytes of each arena. */
  readonly arenas: readonly number[];
  readonly arenaBytes: number;
  /** The largest sum of live temporaries at any time: no placement needs less. */
  readonly lowerBoundBytes: number;
  /** Inputs, results and what the host computes. */
  readonly boundaryBytes: number;
  /** Those that stay on the device. */
  readonly weightBytes: number;
  /** Where the others take turns. */
  readonly ringBytes?: number;
}

/** What the runtime needs of a compiled kernel; a compiler's `CompiledKernel` is one. */
export interface LoadableKernel {
  readonly name: string;
  readonly thread: ThreadKernel;
  /** Which elements a part of the grid touches: what launches are cut by. */
  readonly accesses: AccessMap;
  /** The backend's text; empty for the CPU. */
  readonly source: string;
  /** As a `DeviceKernel`'s: what artifacts for CUDA bring. */
  readonly headers?: ReadonlyMap<string, string>;
  readonly binaries?: ReadonlyMap<string, Uint8Array>;
}

/** All launches and copies of a step list, loops unrolled. */
export function* flattenSteps(steps: readonly BoundStep[]): Generator<PlannedLaunch | PlannedCopy> {
  for (const step of steps) {
    if (step.kind === 'launch' || step.kind === 'copy') yield step;
    else if (step.kind === 'loop')
      for (let index = 0; index < step.count; index++) yield* flattenSteps(step.iteration(index));
  }
}

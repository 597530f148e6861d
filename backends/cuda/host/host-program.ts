import type { ThreadKernel } from '../../../ir/kernel/thread.js';
import type { Plan } from '../../../ir/plan.js';

/** What a host program is printed from. */
export interface HostProgram {
  readonly name: string;
  readonly functions: ReadonlyMap<string, HostFunction>;
  /** By the names that plans give them; at least those that plans launch. */
  readonly kernels: ReadonlyMap<string, ThreadKernel>;
  /** As the artifact's manifest has them; null when it was compiled from a configuration alone. */
  readonly weights: HostWeights | null;
  /** What the user types to build it. */
  readonly buildLine: string;
}

export interface HostFunction {
  readonly plan: Plan;
  /** Whose tensors its weights are. */
  readonly component: string;
  /** First and last step that needs a storage on the device, whatever the sizes. */
  readonly lifetimes: ReadonlyMap<number, { readonly first: number; readonly last: number }>;
}

export interface HostWeights {
  readonly files: readonly {
    readonly path: string;
    readonly byteLength: number;
    readonly modified: number;
    readonly headerSha256: string;
  }[];
  readonly components: ReadonlyMap<string, ReadonlyMap<string, HostTensor>>;
}

/** `dtype` as safetensors spells it; `parts` are [index of the file, offset, bytes]. */
export interface HostTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly parts: readonly (readonly [number, number, number])[];
}

export type WeightDeclaration = Plan['weights'][number];
export type WeightSource = WeightDeclaration['source'];

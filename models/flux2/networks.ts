/** What a pipeline needs of a model: its configurations, and its functions ready to run. */
import type { HeldWeight } from './held-weights.js';
import type { AutoencoderConfig, TextEncoderConfig, TransformerConfig } from './config.js';
import type { PipelineConfig } from './pipeline-config.js';
import type { ReportProgress } from './progress.js';
import type { PromptTokenizer } from './tokenizer.js';
import type { Component } from './weights.js';

/** Functions of a model; `docs/artifact.md` lists their inputs and results. */
export type NetworkName =
  'text_encoder' | 'vae_encoder' | 'vae_decoder' | 'transformer' | 'denoise' | 'denoise_cfg' | 'denoise_cached';

/** A tensor at a function's boundary, row-major. */
export type NetworkTensor =
  | { readonly dtype: 'f32'; readonly shape: readonly number[]; readonly values: Float32Array }
  | { readonly dtype: 'i32'; readonly shape: readonly number[]; readonly values: Int32Array };

export interface RunObserver {
  /** After each iteration of the function's loop, with the carried tensor's values; the next waits for the promise. */
  readonly onStep?: (step: number, carried: Float32Array) => void | Promise<void>;
  /** When an iteration has ended; the device goes on meanwhile. For progress, which needs no values. */
  readonly onStepDone?: (step: number) => void;
  /** Ends the run before the next iteration; its reason is thrown. */
  readonly signal?: AbortSignal;
}

/** What a function takes, for callers that do not know it by heart. */
export interface NetworkInput {
  readonly name: string;
  readonly dtype: 'f32' | 'i32';
  /** Sizes as text: `batch`, `4*h`, `128`. */
  readonly shape: readonly string[];
}

/** A function with its weights on the device. */
export interface Network {
  readonly inputs: readonly NetworkInput[];
  run(
    inputs: Readonly<Record<string, NetworkTensor>>,
    observer?: RunObserver,
  ): Promise<Readonly<Record<string, NetworkTensor>>>;
  /** Frees the device's memory. */
  destroy(): Promise<void>;
}

/** Everything about a model that is not weights: plain data, stored in artifacts as JSON. */
export interface Flux2Description {
  readonly name: string;
  readonly pipeline: PipelineConfig | undefined;
  readonly transformer: TransformerConfig | undefined;
  readonly autoencoder: AutoencoderConfig | undefined;
  readonly textEncoder: TextEncoderConfig | undefined;
}

/** A model that can run, compiled from its checkpoint or loaded from an artifact. */
export interface Flux2Model {
  readonly description: Flux2Description;
  /** The largest tensor that the device holds. */
  readonly maxTensorBytes: number;
  /**
   * Says which functions will be opened, in that order, so that what takes long can begin. Errors wait for `open`; an abort
   * ends it.
   */
  prepare?(names: readonly NetworkName[], signal?: AbortSignal): void;
  /**
   * Compiles or loads a function and puts its weights on the device. F2C618 when the model lacks what it needs; F2C522 after an
   * abort, which ends compilers that are at work.
   *
   * @param isBeside other functions will be open at the same time: of a model's budget it takes half of what is left
   */
  open(name: NetworkName, report?: ReportProgress, signal?: AbortSignal, isBeside?: boolean): Promise<Network>;
  /** Whether the model keeps to a budget of memory; without one `isBeside` makes no difference. */
  readonly hasBudget?: boolean;
  /**
   * Opens `residual_streams` (`addResidualStreams`) with what leaves these blocks. Absent in artifacts, whose
   * functions were compiled before.
   */
  openResidualStreams?(
    blocks: readonly string[],
    withVelocity: boolean,
    report?: ReportProgress,
    signal?: AbortSignal,
  ): Promise<Network>;
  /** The weights that a network's functions read; none of a network that the model lacks. */
  listWeights?(component: Component): readonly HeldWeight[];
  /** F2C618 when the model has no tokenizer. */
  openTokenizer(): Promise<PromptTokenizer>;
  close(): Promise<void>;
}

/** What is measured of a model against the one that it was made from. Plain data: what `--json` prints. */
import type { StreamName } from '../../models/flux2/residual-streams.js';
import type { Component } from '../../models/flux2/weights.js';

export interface QualityResult {
  readonly original: string;
  readonly other: string;
  readonly device: string;
  readonly settings: QualitySettings;
  /** Null where one of the models does not give its weights. */
  readonly weights: WeightsQuality | null;
  readonly prompts: readonly PromptQuality[];
  /** In order of the steps, then of the blocks; null where one of the models does not show what is inside. */
  readonly blocks: readonly BlockQuality[] | null;
  readonly pictures: readonly PictureQuality[];
  readonly summary: QualitySummary;
}

export interface QualitySettings {
  readonly width: number;
  readonly height: number;
  readonly steps: number;
  /** Input of the guidance embedding, and scale of classifier-free guidance; null where there is none. */
  readonly guidance: number | null;
  readonly cfgScale: number | null;
}

export interface QualitySummary {
  /** Of the mean squared error of all pictures, in dB; null where none differs. */
  readonly psnr: number | null;
  readonly worstPsnr: number | null;
  /** Relative L2 of all pictures' latents at the end. */
  readonly latents: number;
}

export interface WeightsQuality {
  readonly each: readonly WeightQuality[];
  readonly byBlock: readonly WeightGroup[];
  readonly byKind: readonly WeightGroup[];
  /** Of the weights that were compared. */
  readonly compared: WeightGroup;
  /** Bytes of all weights that are used, also of those that were not compared. */
  readonly originalBytes: number;
  readonly otherBytes: number;
}

export interface WeightQuality {
  readonly component: Component;
  /** By diffusers' name. */
  readonly name: string;
  readonly shape: readonly number[];
  /** As the other model holds it; null for numbers of a float type. */
  readonly encoding: string | null;
  readonly originalBytes: number;
  readonly otherBytes: number;
  readonly relativeL2: number;
}

export interface WeightGroup {
  /** `transformer double.0`, `transformer single attn.to_out`. */
  readonly name: string;
  readonly weights: number;
  readonly numbers: number;
  readonly originalBytes: number;
  readonly otherBytes: number;
  readonly bitsPerWeight: number;
  readonly relativeL2: number;
}

/** Relative L2 of a prompt's embeddings. */
export interface PromptQuality {
  readonly prompt: string;
  readonly relativeL2: number;
}

/** A residual stream after a block, both models given the same latents, prompt and time. */
export interface BlockQuality {
  /** From 0. */
  readonly step: number;
  /** `double.0`, `single.3`; `velocity` is what the transformer says at the end. */
  readonly block: string;
  readonly stream: StreamName;
  readonly relativeL2: number;
}

/** A picture of both models from one noise. */
export interface PictureQuality {
  readonly prompt: string;
  /** Decimal: 64 bits do not fit a number of JSON. */
  readonly seed: string;
  readonly meanSquaredError: number;
  /** dB; null where nothing differs. */
  readonly psnr: number | null;
  /** Relative L2 of the latents at the end. */
  readonly latents: number;
}

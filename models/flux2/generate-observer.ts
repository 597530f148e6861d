/** What is seen of pictures while they are made, and what there is of them then. */
import type { ResolvedRequest } from './generate-request.js';
import type { RgbImage } from './picture.js';
import type { ReportProgress } from './progress.js';

/** Called while pictures are made; the work waits for returned promises. */
export interface GenerateObserver {
  readonly onProgress?: ReportProgress;
  /** Once, before anything runs: the request with its defaults. */
  readonly onSettings?: (settings: ResolvedRequest) => void;
  /** Something in the request has no effect, or not the one expected. */
  readonly onNotice?: (sentence: string) => void;
  /** Latents `[pictures, tokens, channels]` after a step (from 0) of the pictures from `first` on. */
  readonly onLatents?: (step: number, first: number, latents: Float32Array) => void | Promise<void>;
  /** After every `every(steps)` steps: what the picture would be if the current direction were right to the end. */
  readonly preview?: {
    readonly every: (steps: number) => number;
    readonly show: (index: number, step: number, picture: RgbImage) => void | Promise<void>;
  };
  /** Each picture as soon as it is done; what takes them here does not get them again at the end. */
  readonly onPicture?: (picture: GeneratedPicture) => void | Promise<void>;
  readonly signal?: AbortSignal;
}

export interface GeneratedPicture {
  readonly index: number;
  readonly image: RgbImage;
  /** Decoder output `[3, height, width]`, about -1..1. */
  readonly decoded: Float32Array;
}

export interface Generated {
  readonly settings: ResolvedRequest;
  /** None when `onPicture` took them. */
  readonly pictures: readonly GeneratedPicture[];
}

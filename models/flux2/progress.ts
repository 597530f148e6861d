/** What a pipeline says while it works. */

/** `pack` is of artifacts, `compare` and `blocks` of measurements: weights, and residual streams of the transformer. */
export type Stage = 'load' | 'compile' | 'pack' | 'prompt' | 'references' | 'denoise' | 'decode' | 'compare' | 'blocks';

export interface Progress {
  readonly stage: Stage;
  /** What the stage is at where it does the same for several: `for sm_90a`. */
  readonly detail?: string;
  /** Done so far of `of`: steps of denoising, pictures or tiles of decoding, kernels of compiling, bytes of loading and packing. */
  readonly step: number;
  readonly of: number;
  /** Until the end of this stage, from the steps so far; undefined before the first is done. */
  readonly secondsLeft: number | undefined;
}

export type ReportProgress = (progress: Progress) => void;

/**
 * Counts the steps of one stage and estimates what is left. The first step often includes preparation, so from the
 * second on only the time since the first counts. `now` gives milliseconds.
 */
export class StageMeter {
  private readonly start: number;
  private first: number | undefined;

  constructor(
    private readonly stage: Stage,
    private readonly of: number,
    private readonly report: ReportProgress,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.start = now();
    report({ stage, step: 0, of, secondsLeft: undefined });
  }

  /** `step` steps are done. */
  done(step: number): void {
    const time = this.now();
    if (this.first === undefined) this.first = time;
    const [elapsed, counted] = step > 1 ? [time - this.first, step - 1] : [time - this.start, step];
    const secondsLeft = ((elapsed / counted) * (this.of - step)) / 1000;
    this.report({ stage: this.stage, step, of: this.of, secondsLeft });
  }
}

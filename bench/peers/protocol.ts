/** What the driver asks the process of a contestant for, one request after another, and what that replies. */
import type { Numbers } from './numbers.js';
import type { Work } from './works.js';

export type Request =
  | {
      readonly ask: 'prepare';
      readonly contestant: string;
      readonly adapter: string;
      readonly work: Work;
      /** What weights and inputs are, exactly. */
      readonly numbers: Numbers;
    }
  /** One run; its result goes to a file of f32 numbers. */
  | { readonly ask: 'check'; readonly file: string }
  /** `repeats` times: `batch` runs, queued one behind the other, and one wait. */
  | { readonly ask: 'run'; readonly repeats: number; readonly batch: number }
  | { readonly ask: 'quit' };

/** Milliseconds everywhere. */
export interface Replies {
  readonly prepare: { readonly pipelineTime?: number };
  readonly check: { readonly time: number };
  /** Of one run, each: a batch's time divided by its runs. */
  readonly run: { readonly wall: readonly number[]; readonly cpu: readonly number[] };
  readonly quit: Record<never, never>;
}

export type Asked = keyof Replies;
export type RequestFor<A extends Asked> = Extract<Request, { readonly ask: A }>;
export type Reply = { readonly done: Replies[Asked] } | { readonly failed: string };

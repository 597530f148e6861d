/** What a stack does in its process, whatever it is. */
import type { Numbers } from './numbers.js';
import type { WorkData } from './work-data.js';
import type { WorkGraph } from './work-graph.js';
import type { Work } from './works.js';

export interface Task {
  readonly work: Work;
  readonly graph: WorkGraph;
  readonly data: WorkData;
  /** What weights are stored in and factors of products rounded to, as `data` gives them. */
  readonly numbers: Numbers;
  /** Attention by the stack's fused operator, where it has one, instead of products and a softmax. */
  readonly fused: boolean;
}

export interface Stack {
  /** Weights and inputs on the device, programs compiled as far as the stack does that before the first run. */
  prepare(task: Task): Promise<PreparedTask>;
  close(): Promise<void>;
}

export interface PreparedTask {
  /** Milliseconds for the device's pipelines, where the stack can tell. */
  readonly pipelineTime?: number;
  /** Queues so many runs, one behind the other; resolves when the results of all are there, on the device. */
  run(count: number): Promise<void>;
  /** The result of a run in the layout of the work's graph. */
  read(): Promise<Float32Array>;
  release(): Promise<void>;
}

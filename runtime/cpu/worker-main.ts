/**
 * What a worker thread does. `workerMain` is sent to workers as text (a data URL or an evaluated string), so it must not
 * use anything outside of itself; the layout of a job is passed in.
 */

/** Where things are in a job: one Int32Array for all threads. */
export interface JobLayout {
  /** Set to 1 by whoever wants all threads to leave. */
  readonly abort: number;
  readonly launchCount: number;
  /** Words before the first launch. */
  readonly header: number;
  /** Words of one launch before its buffers' addresses. */
  readonly launchHeader: number;
  /** Offsets in a launch: numbers of the next and of the finished chunks, shared by all threads. */
  readonly next: number;
  readonly done: number;
  readonly chunks: number;
  readonly kernel: number;
  /** Workgroups (3 words), workgroups of a chunk (3), chunks (3), each in x, y, z. */
  readonly workgroups: number;
  readonly chunkSize: number;
  readonly chunkCount: number;
  readonly parameters: number;
  readonly buffers: number;
}

export const jobLayout: JobLayout = {
  abort: 0,
  launchCount: 1,
  // Counters of different launches lie in different cache lines.
  header: 16,
  launchHeader: 32,
  next: 0,
  done: 1,
  chunks: 2,
  kernel: 3,
  workgroups: 4,
  chunkSize: 7,
  chunkCount: 10,
  parameters: 13,
  buffers: 14,
};

export type WorkerRequest =
  /** `shared`: where this thread's workgroup memory is. */
  | {
      readonly kind: 'start';
      readonly memory: WebAssembly.Memory;
      readonly layout: JobLayout;
      readonly shared: number;
    }
  | { readonly kind: 'kernel'; readonly id: number; readonly module: WebAssembly.Module }
  /** `starts[i]`: first word of launch i; `times[2i]`, `times[2i + 1]`: its begin and end in milliseconds. */
  | { readonly kind: 'run'; readonly job: Int32Array; readonly starts: Int32Array; readonly times: Float64Array };

/** After `run`: the thread has left the job. */
export interface WorkerReply {
  readonly failure?: { readonly launch: number; readonly message: string };
}

type RunRange = (...values: number[]) => void;

/**
 * Threads take chunks of workgroups by an atomic counter and go on to the next launch when all chunks of this one are
 * finished; no thread waits for another that has nothing to do.
 */
export function workerMain(
  send: (reply: WorkerReply) => void,
  receive: (handler: (request: WorkerRequest) => void) => void,
): void {
  let memory: WebAssembly.Memory | undefined;
  let layout: JobLayout | undefined;
  let shared = 0;
  const kernels = new Map<number, RunRange>();
  /** About 20 µs: what a thread saves by not going to sleep between short launches. */
  const spins = 2000;

  const runLaunch = (at: JobLayout, job: Int32Array, start: number, launch: number, times: Float64Array): void => {
    const word = (offset: number): number => job[start + offset] ?? 0;
    const run = kernels.get(word(at.kernel));
    if (run === undefined) throw new Error(`no kernel ${word(at.kernel)}`);
    const chunks = word(at.chunks);
    const addresses = Array.from(job.subarray(start + at.launchHeader, start + at.launchHeader + word(at.buffers)));
    const countX = word(at.chunkCount);
    const countY = word(at.chunkCount + 1);
    for (;;) {
      const chunk = Atomics.add(job, start + at.next, 1);
      if (chunk >= chunks || Atomics.load(job, at.abort) !== 0) return;
      if (chunk === 0) times[2 * launch] = performance.timeOrigin + performance.now();
      const bounds: number[] = [];
      const place = [chunk % countX, Math.floor(chunk / countX) % countY, Math.floor(chunk / countX / countY)];
      for (let axis = 0; axis < 3; axis++) {
        const size = word(at.chunkSize + axis);
        const low = (place[axis] ?? 0) * size;
        bounds.push(low, Math.min(low + size, word(at.workgroups + axis)));
      }
      run(...bounds, word(at.parameters), shared, ...addresses.map((address) => address | 0));
      if (Atomics.add(job, start + at.done, 1) + 1 === chunks) {
        times[2 * launch + 1] = performance.timeOrigin + performance.now();
        Atomics.notify(job, start + at.done);
      }
    }
  };

  const awaitLaunch = (at: JobLayout, job: Int32Array, start: number): void => {
    const chunks = job[start + at.chunks] ?? 0;
    for (let spin = 0; spin < spins; spin++) if (Atomics.load(job, start + at.done) === chunks) return;
    for (;;) {
      const done = Atomics.load(job, start + at.done);
      if (done === chunks || Atomics.load(job, at.abort) !== 0) return;
      // Only the last chunk wakes sleepers; the limit is for jobs that were aborted.
      Atomics.wait(job, start + at.done, done, 20);
    }
  };

  const runJob = (at: JobLayout, { job, starts, times }: Extract<WorkerRequest, { kind: 'run' }>): WorkerReply => {
    const count = job[at.launchCount] ?? 0;
    for (let launch = 0; launch < count; launch++) {
      const start = starts[launch] ?? 0;
      try {
        runLaunch(at, job, start, launch, times);
      } catch (error) {
        Atomics.store(job, at.abort, 1);
        return { failure: { launch, message: error instanceof Error ? error.message : String(error) } };
      }
      if (Atomics.load(job, at.abort) !== 0) return {};
      if (launch + 1 < count) awaitLaunch(at, job, start);
    }
    return {};
  };

  receive((request) => {
    switch (request.kind) {
      case 'start':
        memory = request.memory;
        layout = request.layout;
        shared = request.shared;
        return;
      case 'kernel': {
        if (memory === undefined) return;
        const { log, sin, cos, pow } = Math;
        const instance = new WebAssembly.Instance(request.module, { env: { memory, log, sin, cos, pow } });
        kernels.set(request.id, instance.exports['run'] as RunRange);
        return;
      }
      case 'run':
        if (layout !== undefined) send(runJob(layout, request));
        return;
    }
  });
}

/**
 * The program of a worker: `prelude` defines `send` and `receive` with the means of its environment, as the parameters of
 * `workerMain`.
 */
export function workerProgram(prelude: string): string {
  return `'use strict';\n${prelude}\n(${workerMain.toString()})(send, receive);\n`;
}

import { jobLayout, type WorkerReply, type WorkerRequest } from './worker-main.js';

/** A worker thread that runs `workerProgram`, by the means of the environment (Node's threads, a browser's workers). */
export interface WorkerThread {
  post(request: WorkerRequest): void;
  onReply(handler: (reply: WorkerReply) => void): void;
  /** Called when the thread ended or could not start. */
  onFailure(handler: (message: string) => void): void;
  /** Whether the thread keeps the process alive. */
  setActive(active: boolean): void;
  terminate(): Promise<void>;
}

export type StartWorker = (index: number) => WorkerThread;

export interface JobFailure {
  /** Absent when the thread itself died. */
  readonly launch?: number;
  readonly message: string;
}

/** Threads that run jobs together, one job at a time. */
export class WorkerPool {
  private readonly threads: readonly WorkerThread[];
  private missing = 0;
  private failure: JobFailure | undefined;
  private resolve: ((failure: JobFailure | undefined) => void) | undefined;
  /** Why no job can run any more. */
  private dead: string | undefined;
  private job: Int32Array | undefined;

  /** `sharedAddresses`: of each thread's workgroup memory. */
  constructor(memory: WebAssembly.Memory, sharedAddresses: readonly number[], start: StartWorker) {
    this.threads = sharedAddresses.map((_, index) => start(index));
    for (const [index, thread] of this.threads.entries()) {
      thread.onReply(({ failure }) => this.leave(failure));
      thread.onFailure((message) => this.die(message));
      thread.post({ kind: 'start', memory, layout: jobLayout, shared: sharedAddresses[index] ?? 0 });
      thread.setActive(false);
    }
  }

  get size(): number {
    return this.threads.length;
  }

  /** Threads get it before the jobs that are run from now on. */
  addKernel(id: number, module: WebAssembly.Module): void {
    for (const thread of this.threads) thread.post({ kind: 'kernel', id, module });
  }

  /** Resolves when all threads have left the job. */
  async run(request: Extract<WorkerRequest, { kind: 'run' }>): Promise<JobFailure | undefined> {
    if (this.dead !== undefined) return { message: this.dead };
    this.missing = this.threads.length;
    this.failure = undefined;
    this.job = request.job;
    for (const thread of this.threads) {
      thread.setActive(true);
      thread.post(request);
    }
    const failure = await new Promise<JobFailure | undefined>((resolve) => (this.resolve = resolve));
    this.job = undefined;
    // A process must not end before `terminate` has ended the threads.
    if (this.dead === undefined) for (const thread of this.threads) thread.setActive(false);
    return failure;
  }

  /** Ends the running job after its current chunks. */
  abort(): void {
    if (this.job !== undefined) Atomics.store(this.job, jobLayout.abort, 1);
  }

  async terminate(): Promise<void> {
    this.die('the device was destroyed');
    await Promise.all(this.threads.map((thread) => thread.terminate()));
  }

  private leave(failure: JobFailure | undefined): void {
    this.failure ??= failure;
    if (--this.missing === 0) this.settle();
  }

  private die(message: string): void {
    if (this.dead !== undefined) return;
    this.dead = message;
    this.failure = { message };
    this.abort();
    this.settle();
  }

  private settle(): void {
    const resolve = this.resolve;
    this.resolve = undefined;
    resolve?.(this.failure);
  }
}

/** Encodes rows of weights on several threads. */
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { encodeRows } from '../ir/encode-rows.js';
import type { EncodedRows } from '../ir/encoded-rows.js';
import { type FieldName, parseEncoding } from '../ir/encoding.js';

export interface EncodeRequest {
  /** `int4:64`. */
  readonly encoding: string;
  readonly rows: number;
  readonly columns: number;
  /** [rows, columns], in a buffer of their own, which is given away. */
  readonly values: Float32Array<ArrayBuffer>;
}

/** What a worker answers: the arrays, or what went wrong. */
export type EncodeReply = readonly (readonly [FieldName, Uint8Array])[] | { readonly failure: string };

export interface RowEncoder {
  /** How many requests are at work at a time. */
  readonly parallelism: number;
  encode(request: EncodeRequest): Promise<EncodedRows>;
  close(): Promise<void>;
}

/** More threads than this encode faster than files are read. */
const MOST_THREADS = 8;

const workerFile = new URL('./row-encoder-worker.js', import.meta.url);

/** On as many threads as the machine has processors. Sources that are not built have no file for them: there it is this one. */
export function createRowEncoder(file: URL = workerFile): RowEncoder {
  const threads = Math.min(MOST_THREADS, availableParallelism());
  return existsSync(fileURLToPath(file)) ? new RowEncoderPool(file, threads) : encodeHere;
}

/** On the thread that asks. */
export const encodeHere: RowEncoder = {
  parallelism: 1,
  encode: async ({ encoding, rows, columns, values }) => encodeRows(parseEncoding(encoding), rows, columns, values),
  close: async () => undefined,
};

interface Waiting {
  readonly request: EncodeRequest;
  readonly resolve: (rows: EncodedRows) => void;
  readonly reject: (error: Error) => void;
}

class RowEncoderPool implements RowEncoder {
  private readonly workers: readonly Worker[];
  private readonly idle: Worker[];
  private readonly busy = new Map<Worker, Waiting>();
  private readonly queue: Waiting[] = [];

  constructor(
    file: URL,
    readonly parallelism: number,
  ) {
    this.workers = Array.from({ length: parallelism }, () => new Worker(file, { execArgv: [] }));
    this.idle = [...this.workers];
    for (const worker of this.workers) {
      worker.on('message', (reply: EncodeReply) => this.finish(worker, reply));
      worker.on('error', (error) => this.finish(worker, { failure: error instanceof Error ? error.message : String(error) })); // prettier-ignore
    }
  }

  encode(request: EncodeRequest): Promise<EncodedRows> {
    return new Promise((resolve, reject) => {
      this.queue.push({ request, resolve, reject });
      this.start();
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.terminate()));
  }

  private start(): void {
    while (this.idle.length > 0 && this.queue.length > 0) {
      const [worker, waiting] = [this.idle.pop()!, this.queue.shift()!];
      this.busy.set(worker, waiting);
      worker.postMessage(waiting.request, [waiting.request.values.buffer]);
    }
  }

  private finish(worker: Worker, reply: EncodeReply): void {
    const waiting = this.busy.get(worker);
    this.busy.delete(worker);
    if ('failure' in reply) waiting?.reject(new Error(`internal: rows were not encoded: ${reply.failure}`));
    else waiting?.resolve(new Map(reply));
    this.idle.push(worker);
    this.start();
  }
}

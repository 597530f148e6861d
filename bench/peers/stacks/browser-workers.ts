/** Web workers on Node's worker threads, as far as jax-js uses them: modules from object URLs, messages both ways. */
import { resolveObjectURL } from 'node:buffer';
import { Worker } from 'node:worker_threads';

/** What a worker's script expects to find. */
const prelude = `
const { parentPort } = require('node:worker_threads');
globalThis.self = globalThis;
globalThis.postMessage = (message) => parentPort.postMessage(message);
parentPort.on('message', (data) => globalThis.onmessage({ data }));`;

/** Stands for the browser's `Worker`. Messages wait until the script is there. */
class BrowserWorker {
  onmessage: ((event: { readonly data: unknown }) => void) | null = null;
  onerror: ((event: { readonly message: string }) => void) | null = null;
  private readonly thread: Promise<Worker>;

  constructor(url: string) {
    this.thread = this.start(url);
    this.thread.catch((error: unknown) => this.onerror?.({ message: String(error) }));
  }

  postMessage(message: unknown): void {
    void this.thread.then((thread) => thread.postMessage(message));
  }

  private async start(url: string): Promise<Worker> {
    const script = await resolveObjectURL(url)?.text();
    if (script === undefined) throw new Error(`there is no script at ${url}`);
    const thread = new Worker(`${prelude}\n${script}`, { eval: true });
    thread.on('message', (data: unknown) => this.onmessage?.({ data }));
    thread.on('error', (error: unknown) => this.onerror?.({ message: String(error) }));
    return thread;
  }
}

/** Puts `Worker` where scripts for browsers look for it. */
export function provideBrowserWorkers(): void {
  Object.defineProperty(globalThis, 'Worker', { value: BrowserWorker, configurable: true, writable: true });
}

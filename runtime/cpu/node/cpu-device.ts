import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { supportsRelaxedMultiplyAdd } from '../../../backends/cpu/wasm.js';
import type { Device } from '../../device.js';
import { createCpuDeviceOn } from '../cpu-device.js';
import { workerProgram, type WorkerReply } from '../worker-main.js';
import type { WorkerThread } from '../worker-pool.js';

export interface NodeCpuOptions {
  /** Worker threads. Default: what the process may use. */
  readonly threads?: number;
  readonly memoryBudgetBytes?: number;
}

/** The processor as a device, on Node's worker threads. They do not keep the process alive while nothing runs. */
export function createCpuDevice(options: NodeCpuOptions = {}): Device {
  const { threads, ...rest } = options;
  return createCpuDeviceOn({
    ...rest,
    threads: Math.max(1, threads ?? availableParallelism()),
    startWorker: startNodeWorker,
    relaxedMultiplyAdd: supportsRelaxedMultiplyAdd(),
  });
}

const prelude = `
const { parentPort } = require('node:worker_threads');
const send = (reply) => parentPort.postMessage(reply);
const receive = (handler) => parentPort.on('message', handler);`;

/** The program is evaluated text, so it runs alike from TypeScript sources, a build and a bundle. */
function startNodeWorker(index: number): WorkerThread {
  const worker = new Worker(workerProgram(prelude), { eval: true, execArgv: [], name: `flux2c ${index}` });
  return {
    post: (request) => worker.postMessage(request),
    onReply: (handler) => void worker.on('message', (reply: WorkerReply) => handler(reply)),
    onFailure: (handler) => {
      worker.on('error', (error) => handler(error instanceof Error ? error.message : String(error)));
      worker.on('exit', (code) => handler(`it exited with code ${code}`));
    },
    setActive: (active) => (active ? worker.ref() : worker.unref()),
    terminate: async () => {
      // Otherwise the process may end before the thread has.
      worker.ref();
      await worker.terminate();
    },
  };
}

/** The process of one contestant: answers the driver's requests until it is told to quit or the driver is gone. */
import { writeFile } from 'node:fs/promises';
import { Flux2cError } from '../../ir/diagnostics.js';
import { findContestant } from './contestants.js';
import type { Asked, Replies, Reply, Request, RequestFor } from './protocol.js';
import type { PreparedTask, Stack } from './stack.js';
import { makeWorkData } from './work-data.js';
import { buildWorkGraph } from './work-graph.js';

let stack: Stack | undefined;
let task: PreparedTask | undefined;

async function answer(request: Request): Promise<Replies[Asked]> {
  switch (request.ask) {
    case 'prepare': {
      const { work, adapter } = request;
      const { open, fused, numbers } = findContestant(request.contestant);
      const graph = buildWorkGraph(work, numbers);
      stack = await open(adapter);
      const data = makeWorkData(work, graph, { numbers: request.numbers, storage: numbers });
      task = await stack.prepare({ work, graph, data, numbers, fused });
      const { pipelineTime } = task;
      return pipelineTime === undefined ? {} : { pipelineTime };
    }
    case 'check': {
      const start = performance.now();
      const result = await prepared().read();
      const time = performance.now() - start;
      await writeFile(request.file, new Uint8Array(result.buffer, result.byteOffset, result.byteLength));
      return { time };
    }
    case 'run':
      return timeRuns(prepared(), request);
    case 'quit':
      await task?.release();
      await stack?.close();
      return {};
  }
}

function prepared(): PreparedTask {
  if (task === undefined) throw new Error('internal: nothing is prepared');
  return task;
}

async function timeRuns(prepared: PreparedTask, { repeats, batch }: RequestFor<'run'>): Promise<Replies['run']> {
  const wall: number[] = [];
  const cpu: number[] = [];
  for (let run = 0; run < repeats; run++) {
    const cpuStart = process.cpuUsage();
    const start = performance.now();
    await prepared.run(batch);
    wall.push((performance.now() - start) / batch);
    const { user, system } = process.cpuUsage(cpuStart);
    cpu.push((user + system) / 1000 / batch);
  }
  return { wall, cpu };
}

function describe(error: unknown): string {
  if (error instanceof Flux2cError) return error.format();
  return error instanceof Error ? error.message : String(error);
}

function send(reply: Reply): void {
  process.send?.(reply);
}

process.on('message', (request: Request) => {
  answer(request).then(
    (done) => send({ done }),
    (error: unknown) => send({ failed: describe(error) }),
  );
});
process.on('disconnect', () => process.exit());

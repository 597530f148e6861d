/** From the start of a process to its first result, with empty caches and again. */
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheEnvironment } from './compare-work.js';
import type { Contestant } from './contestants.js';
import type { Numbers } from './numbers.js';
import type { RequestFor } from './protocol.js';
import type { ColdStart } from './result.js';
import { StackProcess } from './stack-process.js';
import type { Work } from './works.js';

/** @param folder where caches are put for the while. Throws a `ContestantFailure` for what goes wrong. */
export async function measureColdStart(
  contestant: Contestant,
  work: Work,
  place: string,
  folder: string,
  numbers: Numbers,
  seconds?: number,
): Promise<ColdStart> {
  const own = await mkdtemp(join(folder, 'cold-'));
  try {
    const request = { ask: 'prepare', contestant: contestant.id, adapter: place, work, numbers } as const;
    const empty = await startOnce(contestant, request, own, seconds);
    return { empty, warm: await startOnce(contestant, request, own, seconds) };
  } finally {
    await rm(own, { recursive: true, force: true });
  }
}

async function startOnce(
  contestant: Contestant,
  request: RequestFor<'prepare'>,
  folder: string,
  seconds?: number,
): Promise<number> {
  const environment = await cacheEnvironment(folder);
  const start = performance.now();
  const process = StackProcess.start(contestant, { environment, seconds });
  try {
    await process.ask<'prepare'>(request);
    await process.ask<'check'>({ ask: 'check', file: join(folder, 'result') });
    return performance.now() - start;
  } finally {
    await process.end();
  }
}

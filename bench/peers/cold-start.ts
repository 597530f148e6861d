/** From the start of a process to its first result, with empty caches and again. */
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheEnvironment } from './compare-work.js';
import type { Contestant } from './contestants.js';
import type { ColdStart } from './result.js';
import { StackProcess } from './stack-process.js';
import type { Work } from './works.js';

/** @param folder where caches are put for the while. Throws a `ContestantFailure` for what goes wrong. */
export async function measureColdStart(
  contestant: Contestant,
  work: Work,
  place: string,
  folder: string,
): Promise<ColdStart> {
  const own = await mkdtemp(join(folder, 'cold-'));
  try {
    const empty = await startOnce(contestant, work, place, own);
    return { empty, warm: await startOnce(contestant, work, place, own) };
  } finally {
    await rm(own, { recursive: true, force: true });
  }
}

async function startOnce(contestant: Contestant, work: Work, place: string, folder: string): Promise<number> {
  const environment = await cacheEnvironment(folder);
  const start = performance.now();
  const process = StackProcess.start(contestant, environment);
  try {
    await process.ask<'prepare'>({ ask: 'prepare', contestant: contestant.id, adapter: place, work });
    await process.ask<'check'>({ ask: 'check', file: join(folder, 'result') });
    return performance.now() - start;
  } finally {
    await process.end();
  }
}

/** From the start of a process to its first result, with empty caches and again. */
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheEnvironment } from './compare-work.js';
import type { Contestant } from './contestants.js';
import type { ColdStart, WorkResult } from './result.js';
import { StackProcess } from './stack-process.js';

export interface ColdStartOptions {
  /** Where caches are put for the while. */
  readonly folder: string;
  readonly hardware: boolean;
  /** What each of the two processes may take. */
  readonly seconds?: number | undefined;
}

/** Throws a `ContestantFailure` for what goes wrong. */
export async function measureColdStart(
  { id, nodeFlags }: Contestant,
  { work, numbers, place }: Pick<WorkResult, 'work' | 'numbers' | 'place'>,
  { folder, hardware, seconds }: ColdStartOptions,
): Promise<ColdStart> {
  const own = await mkdtemp(join(folder, 'cold-'));
  const startOnce = async (): Promise<number> => {
    const environment = await cacheEnvironment(own);
    const start = performance.now();
    const process = StackProcess.start({
      nodeFlags: nodeFlags[hardware ? 'hardware' : 'software'],
      environment,
      seconds,
    });
    try {
      await process.ask<'prepare'>({ ask: 'prepare', contestant: id, adapter: place, work, numbers });
      await process.ask<'check'>({ ask: 'check', file: join(own, 'result') });
      return performance.now() - start;
    } finally {
      await process.end();
    }
  };
  try {
    const empty = await startOnce();
    return { empty, warm: await startOnce() };
  } finally {
    await rm(own, { recursive: true, force: true });
  }
}

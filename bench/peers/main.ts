/** `npm run peers`: flux2c beside other stacks. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeProcessor } from '../processor.js';
import { reportError } from '../../cli/report-error.js';
import { VERSION } from '../../cli/version.js';
import { writeFileAtomically } from '../../frontend/checkpoint/node/write-file.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import { chooseAdapter, listAdapters } from '../../runtime/webgpu/node/dawn.js';
import { isSoftwareAdapter } from '../../runtime/webgpu/webgpu-target.js';
import { measureColdStart } from './cold-start.js';
import { compareWork } from './compare-work.js';
import { type Contestant, isOnGpu } from './contestants.js';
import { installedVersions, installPeers } from './install.js';
import { chooseContestants, chooseWorks, peersCommand, type PeersOptions } from './options.js';
import { renderPeersPlot } from './plot.js';
import { findReference } from './reference.js';
import { formatPeers } from './report.js';
import { formatPeersMarkdown } from './report-markdown.js';
import { decodePeersResult, encodePeersResult, PEERS_VERSION, type PeersResult, type WorkResult } from './result.js';
import type { Reference } from './sampled-reference.js';
import { ContestantFailure } from './stack-process.js';
import { requireAdapter } from './stacks/browser-globals.js';
import { printWork, type Work } from './works.js';

const abort = new AbortController();
process.once('SIGINT', () => abort.abort());
const notice = (sentence: string): void => void process.stderr.write(`${sentence}\n`);

const command = peersCommand().action(run);
try {
  await command.parseAsync();
} catch (error) {
  process.exitCode = reportError(error, process.stderr, process.argv.includes('--debug'));
}

async function run(options: PeersOptions): Promise<void> {
  const write = async (result: PeersResult): Promise<void> => {
    if (options.json !== undefined) await writeFileAtomically(options.json, encodePeersResult(result));
  };
  const result = options.from === undefined ? await measure(options, write) : await readResults(options.from);
  await write(result);
  if (options.plot !== undefined) {
    await writeFileAtomically(options.plot, new TextEncoder().encode(renderPeersPlot(result)));
  }
  process.stdout.write(options.markdown === true ? formatPeersMarkdown(result) : formatPeers(result));
}

/** Earlier results as one, with the date and the packages of the first. */
async function readResults(paths: readonly string[]): Promise<PeersResult> {
  const results = await Promise.all(paths.map(readResult));
  return { ...results[0]!, works: results.flatMap(({ works }) => works) };
}

async function readResult(path: string): Promise<PeersResult> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new Flux2cError('F2C401', 'the result cannot be read', { where: [path], found: String(cause), cause });
  });
  return decodePeersResult(text, path);
}

/** @param onWork gets the result as far as it is there */
async function measure(options: PeersOptions, onWork: (result: PeersResult) => Promise<void>): Promise<PeersResult> {
  const end = performance.now() + 1000 * (options.seconds ?? Infinity);
  const works = chooseWorks(options);
  const chosen = chooseContestants(options);
  const places = await choosePlaces(options, chosen);
  const problem = options.install ? await installPeers(notice) : undefined;
  if (problem !== undefined) notice(`the peers do not install: ${problem}`);
  const folder = await mkdtemp(join(tmpdir(), 'flux2c-peers-'));
  const about = {
    version: PEERS_VERSION,
    date: new Date().toISOString(),
    compiler: VERSION,
    processor: describeProcessor(),
    packages: installedVersions(),
  } as const;
  let results: readonly WorkResult[] = [];
  try {
    for (const work of works) {
      if (performance.now() > end) {
        notice(`${printWork(work)}: there is no time left`);
        continue;
      }
      const reference = await referenceOf(work, options, folder);
      if (reference === undefined) continue;
      for (const place of places) {
        const contestants = chosen.filter((one) => runsAt(one, place) && one.runs(work));
        if (contestants.length === 0) continue;
        results = [...results, await measureAt(place, work, contestants, reference, folder, options)];
        await onWork({ ...about, works: results });
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return { ...about, works: results };
}

/** Undefined, with a notice, where it cannot be had. */
async function referenceOf(work: Work, { numbers }: PeersOptions, folder: string): Promise<Reference | undefined> {
  notice(`${printWork(work)}: computing the reference`);
  try {
    return await findReference(work, numbers, folder);
  } catch (error) {
    if (!(error instanceof ContestantFailure)) throw error;
    notice(`${printWork(work)} is left out, its reference failed: ${error.message}`);
    return undefined;
  }
}

interface Place {
  /** What `--adapter` takes, or `processor`. */
  readonly name: string;
  /** A GPU. */
  readonly hardware: boolean;
}

function runsAt(one: Contestant, { name, hardware }: Place): boolean {
  if (one.kind === 'cuda') return hardware;
  return isOnGpu(one) === (name !== 'processor');
}

/** Adapters and the processor. F2C515 for an adapter that is not there. */
async function choosePlaces(options: PeersOptions, chosen: readonly Contestant[]): Promise<readonly Place[]> {
  const onProcessor = chosen.every(isOnGpu) ? [] : [{ name: 'processor', hardware: false }];
  if (!chosen.some(isOnGpu)) return onProcessor;
  const wanted = options.adapter ?? ['lavapipe'];
  const adapters = await listAdapters();
  const missing = wanted.find((name) => chooseAdapter(adapters, name) === undefined);
  if (missing === undefined) {
    const places: Place[] = [];
    for (const choice of wanted) {
      const hardware = !isSoftwareAdapter((await requireAdapter(choice)).info);
      // Which of all GPUs it is belongs to the result; software drivers are known by what they are asked for.
      places.push({ name: hardware ? chooseAdapter(adapters, choice)!.name : choice, hardware });
    }
    return [...places, ...onProcessor];
  }
  throw new Flux2cError('F2C515', 'no adapter has this in its name', {
    where: ['--adapter'],
    expected: adapters.map(({ name }) => name).join(', ') || 'a driver that WebGPU can use',
    found: missing,
    hint: 'Leave out WebGPU with --no-webgpu.',
  });
}

async function measureAt(
  { name: place, hardware }: Place,
  work: Work,
  contestants: readonly Contestant[],
  reference: Reference,
  parent: string,
  options: PeersOptions,
): Promise<WorkResult> {
  const folder = await mkdtemp(join(parent, 'work-'));
  const { numbers, processes, rounds, stackSeconds: seconds } = options;
  const { signal } = abort;
  const result = await compareWork({
    work,
    numbers,
    place,
    hardware,
    contestants,
    reference,
    processes,
    rounds,
    seconds,
    folder,
    signal,
    notice,
  });
  if (work.kind !== 'transformer' || !options.coldStart) return result;
  notice(`${printWork(work)} on ${place}: cold starts`);
  const timed: WorkResult['contestants'][number][] = [];
  for (const one of result.contestants) {
    signal.throwIfAborted();
    const contestant = contestants.find(({ id }) => id === one.id);
    if (contestant === undefined || one.failure !== undefined) {
      timed.push(one);
      continue;
    }
    try {
      timed.push({ ...one, coldStart: await measureColdStart(contestant, result, { folder, hardware, seconds }) });
    } catch (error) {
      if (!(error instanceof ContestantFailure)) throw error;
      notice(`${one.id} did not start once more: ${error.message}`);
      timed.push(one);
    }
  }
  return { ...result, contestants: timed };
}

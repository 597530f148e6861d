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
import { measureColdStart } from './cold-start.js';
import { compareWork } from './compare-work.js';
import type { Contestant } from './contestants.js';
import { installedVersions, installPeers } from './install.js';
import { chooseContestants, chooseWorks, peersCommand, type PeersOptions } from './options.js';
import { renderPeersPlot } from './plot.js';
import { computeReference } from './reference.js';
import { formatPeers } from './report.js';
import { formatPeersMarkdown } from './report-markdown.js';
import { decodePeersResult, encodePeersResult, PEERS_VERSION, type PeersResult, type WorkResult } from './result.js';
import { ContestantFailure } from './stack-process.js';
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
  const result = options.from === undefined ? await measure(options) : await readResults(options.from);
  if (options.json !== undefined) await writeFileAtomically(options.json, encodePeersResult(result));
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

async function measure(options: PeersOptions): Promise<PeersResult> {
  const works = chooseWorks(options);
  const chosen = chooseContestants(options);
  const places = await choosePlaces(options, chosen);
  const problem = options.install ? await installPeers(notice) : undefined;
  if (problem !== undefined) notice(`the peers do not install: ${problem}`);
  const folder = await mkdtemp(join(tmpdir(), 'flux2c-peers-'));
  const results: WorkResult[] = [];
  try {
    for (const work of works) {
      notice(`${printWork(work)}: computing the reference`);
      const reference = computeReference(work);
      for (const place of places) {
        const contestants = chosen.filter(
          (one) => (one.kind === 'webgpu') === (place !== 'processor') && one.runs(work),
        );
        if (contestants.length === 0) continue;
        results.push(await measureAt(place, work, contestants, reference, folder, options));
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return {
    version: PEERS_VERSION,
    date: new Date().toISOString(),
    compiler: VERSION,
    processor: describeProcessor(),
    packages: installedVersions(),
    works: results,
  };
}

/** Adapters and the processor. F2C515 for an adapter that is not there. */
async function choosePlaces(options: PeersOptions, chosen: readonly Contestant[]): Promise<readonly string[]> {
  const onProcessor = chosen.some(({ kind }) => kind !== 'webgpu') ? ['processor'] : [];
  if (!chosen.some(({ kind }) => kind === 'webgpu')) return onProcessor;
  const wanted = options.adapter ?? ['lavapipe'];
  const adapters = await listAdapters();
  const missing = wanted.find((name) => chooseAdapter(adapters, name) === undefined);
  if (missing === undefined) return [...wanted, ...onProcessor];
  throw new Flux2cError('F2C515', 'no adapter has this in its name', {
    where: ['--adapter'],
    expected: adapters.map(({ name }) => name).join(', ') || 'a driver that WebGPU can use',
    found: missing,
    hint: 'Leave out WebGPU with --no-webgpu.',
  });
}

async function measureAt(
  place: string,
  work: Work,
  contestants: readonly Contestant[],
  reference: Float64Array,
  parent: string,
  options: PeersOptions,
): Promise<WorkResult> {
  const folder = await mkdtemp(join(parent, 'work-'));
  const { processes, rounds } = options;
  const { signal } = abort;
  const result = await compareWork({
    work,
    place,
    contestants,
    reference,
    processes,
    rounds,
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
      timed.push({ ...one, coldStart: await measureColdStart(contestant, work, place, folder) });
    } catch (error) {
      if (!(error instanceof ContestantFailure)) throw error;
      notice(`${one.id} did not start once more: ${error.message}`);
      timed.push(one);
    }
  }
  return { ...result, contestants: timed };
}

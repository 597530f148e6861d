/** What `flux2c compile` says at the end. */
import { isAbsolute } from 'node:path';
import type { PlanStep } from '../ir/plan.js';
import { type ArtifactWeights, rangesOf } from '../runtime/artifact.js';
import { printBudget } from '../runtime/memory/byte-budget.js';
import { describeBuild } from '../runtime/artifact/choose-build.js';
import type { CompiledBuild } from './compile-builds.js';
import type { MachineCode } from './compile-cubins.js';
import { hostBuildLines } from './compile-host.js';
import type { CompiledMemory, PlannedFunction } from './compile-memory.js';
import { formatBytes, formatDuration } from './inspect/format.js';
import { formatSeconds } from './progress-line.js';

export interface CompileReport {
  readonly builds: readonly CompiledBuild[];
  readonly code: MachineCode;
  readonly compileSeconds: number;
  readonly weights: ArtifactWeights | null;
  /** Where there is a budget. */
  readonly memory: CompiledMemory | undefined;
}

export interface CompileReportOptions {
  readonly output: string;
  readonly json?: boolean;
  readonly host?: 'cpp';
}

/** As text, or as JSON. Kernels that several builds share are counted once in all. */
export function reportCompiled(
  { builds, code, compileSeconds, weights, memory }: CompileReport,
  { output, json, host }: CompileReportOptions,
  stdout: { write(text: string): unknown },
): void {
  const kernels = new Set(builds.flatMap((build) => [...build.kernels.keys()])).size;
  const machineCode = [...new Set([...code.values()].flatMap((byArchitecture) => [...byArchitecture.keys()]))].sort();
  if (json === true) {
    const files = weights?.files.map(({ path, byteLength }) => ({ path, byteLength })) ?? [];
    const listed = builds.map((build) => ({
      name: build.name,
      architectures: build.architectures,
      target: build.target,
      functions: launchesOf(build),
      kernels: build.kernels.size,
      ...(memory && { memory: memory.builds.get(build.name) }),
    }));
    const budget = memory && { memory: memory.budget };
    const encodings = Object.fromEntries(countEncodings(weights));
    const summary = {
      output,
      builds: listed,
      kernels,
      machineCode,
      weights: files,
      encodings,
      ...budget,
      compileSeconds,
    };
    stdout.write(`${JSON.stringify(summary, null, 2)}\n`);
    return;
  }
  const { backend } = builds[0]!.target;
  const compiledFor = [backend, ...machineCode].join(', ');
  stdout.write(`${output}: ${kernels} kernels for ${compiledFor}, compiled in ${formatSeconds(compileSeconds)}\n`);
  for (const build of builds) {
    if (backend === 'cuda') stdout.write(`  ${describeBuild(build.name, build)}: ${build.kernels.size} kernels\n`);
    const indent = backend === 'cuda' ? '    ' : '  ';
    const planned = memory?.builds.get(build.name) ?? [];
    for (const { name, launches } of launchesOf(build)) {
      stdout.write(`${indent}${name}: ${launches} launches\n`);
      for (const fn of planned.filter((one) => one.name === name)) stdout.write(`${indent}  ${describePlanned(fn)}\n`);
    }
  }
  if (weights !== null) stdout.write(`  weights: ${describeWeights(weights)}\n`);
  if (memory !== undefined) stdout.write(`  ${describeBudget(memory)}\n`);
  if (host !== undefined) stdout.write(describePrograms(builds, output));
}

/** Bytes of tensors in the artifact, and in files that it points to. */
function describeWeights({ files, components }: ArtifactWeights): string {
  const outside = new Set(files.flatMap(({ path }, index) => (isAbsolute(path) ? [index] : [])));
  let [inner, outer] = [0, 0];
  for (const entry of [...components.values()].flatMap((entries) => [...entries.values()])) {
    for (const [file, , byteLength] of rangesOf(entry)) {
      if (outside.has(file)) outer += byteLength;
      else inner += byteLength;
    }
  }
  const encodings = [...countEncodings({ files, components })].map(([encoding, count]) => `${count} in ${encoding}`);
  const encoded = encodings.length > 0 ? `, matrices ${encodings.join(' and ')}` : '';
  return [
    ...(inner > 0 ? [`${formatBytes(inner)} in the artifact${encoded}`] : []),
    ...(outer > 0
      ? [`${formatBytes(outer)} in ${outside.size === 1 ? 'a file' : `${outside.size} files`} of the model`]
      : []),
  ].join('; ');
}

/** Matrices of each encoding. */
function countEncodings(weights: ArtifactWeights | null): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const entries of weights?.components.values() ?? []) {
    for (const entry of entries.values()) {
      if ('encoding' in entry) counts.set(entry.encoding, (counts.get(entry.encoding) ?? 0) + 1);
    }
  }
  return counts;
}

/** What stays, what streams, and how long it takes. */
function describePlanned(fn: PlannedFunction): string {
  const { streamedBytes, hostBytes, stepSeconds, seconds, tile, hasSteps } = fn;
  const stays = `${formatBytes(fn.residentBytes)} of weights stay on the device`;
  const kept = hostBytes === 0 ? '' : `, ${formatBytes(hostBytes)} of them kept in host memory`;
  const streams = `, ${formatBytes(streamedBytes)} are streamed${hasSteps ? ' in every step' : ''}${kept}`;
  const time = hasSteps ? `${formatDuration(stepSeconds * 1e3)} a step` : formatDuration(seconds * 1e3);
  const tiles = tile === undefined ? '' : ` for a tile of ${tile} tokens a side`;
  const taken = `it takes ${formatBytes(fn.deviceBytes)}, about ${time}${tiles}`;
  return `${stays}${streamedBytes === 0 ? '' : streams}; ${taken}`;
}

function describeBudget({ budget, sizes }: CompiledMemory): string {
  const { width, height, textTokens, steps } = sizes;
  const host = budget.hostBytes === undefined ? '' : `, host memory ${printBudget(budget.hostBytes)}`;
  return `memory budget: ${printBudget(budget.deviceBytes)}${host}; predicted for ${width}x${height}, ${textTokens} text tokens, ${steps} steps`;
}

function describePrograms(builds: readonly CompiledBuild[], output: string): string {
  const lines = hostBuildLines(builds);
  if (lines.length === 1) return `Build the program with\n  ${lines[0]}\nin ${output}.\n`;
  const listed = builds.map(({ name, architectures }, index) => {
    return `  ${lines[index]}   # ${describeBuild(name, { architectures })}\n`;
  });
  return `Build the program for your GPU with one of\n${listed.join('')}in ${output}.\n`;
}

function launchesOf({ functions }: CompiledBuild): readonly { readonly name: string; readonly launches: number }[] {
  return [...functions].map(([name, { plan }]) => ({ name, launches: countLaunches(plan.steps) }));
}

/** As written: a loop's once. */
function countLaunches(steps: readonly PlanStep[]): number {
  return steps.reduce((sum, step) => {
    if (step.kind === 'loop') return sum + countLaunches(step.steps);
    return sum + (step.kind === 'launch' ? 1 : 0);
  }, 0);
}

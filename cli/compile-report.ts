/** What `flux2c compile` says at the end. */
import type { PlanStep } from '../ir/plan.js';
import type { ArtifactWeights } from '../runtime/artifact.js';
import { describeBuild } from '../runtime/artifact/choose-build.js';
import type { CompiledBuild } from './compile-builds.js';
import type { MachineCode } from './compile-cubins.js';
import { hostBuildLines } from './compile-host.js';
import { formatSeconds } from './progress-line.js';

export interface CompileReport {
  readonly builds: readonly CompiledBuild[];
  readonly code: MachineCode;
  readonly compileSeconds: number;
  readonly weights: ArtifactWeights | null;
}

export interface CompileReportOptions {
  readonly output: string;
  readonly json?: boolean;
  readonly host?: 'cpp';
}

/** As text, or as JSON. Kernels that several builds share are counted once in all. */
export function reportCompiled(
  { builds, code, compileSeconds, weights }: CompileReport,
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
    }));
    const summary = { output, builds: listed, kernels, machineCode, weights: files, compileSeconds };
    stdout.write(`${JSON.stringify(summary, null, 2)}\n`);
    return;
  }
  const { backend } = builds[0]!.target;
  const compiledFor = [backend, ...machineCode].join(', ');
  stdout.write(`${output}: ${kernels} kernels for ${compiledFor}, compiled in ${formatSeconds(compileSeconds)}\n`);
  for (const build of builds) {
    if (backend === 'cuda') stdout.write(`  ${describeBuild(build.name, build)}: ${build.kernels.size} kernels\n`);
    const indent = backend === 'cuda' ? '    ' : '  ';
    for (const { name, launches } of launchesOf(build)) stdout.write(`${indent}${name}: ${launches} launches\n`);
  }
  if (host !== undefined) stdout.write(describePrograms(builds, output));
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

/** The text of a function at one stage of the compiler. */
import { join } from 'node:path';
import { Flux2cError } from '../../ir/diagnostics.js';
import { printModule } from '../../ir/graph/print.js';
import { printThreadKernel } from '../../ir/kernel/thread-print.js';
import { printTileKernel } from '../../ir/kernel/tile-print.js';
import type { NetworkName } from '../../models/flux2/networks.js';
import type { Instrument } from '../../passes/pass.js';
import { type EmitStage, fileWriter } from '../pass-options.js';
import { printPlan } from './print-plan.js';
import type { InspectedFunction, InspectedKernel, InspectSubject } from './subject.js';

/**
 * The text of `name` at `stage`; kernels in the order in which they are first launched. F2C709 when the subject does
 * not know that stage (an artifact has no graph), F2C708 when no kernel has `kernel` in its name.
 */
export function emitStage(
  subject: InspectSubject,
  name: NetworkName,
  stage: EmitStage,
  kernel: string | undefined,
  instruments: readonly Instrument[],
): string {
  if (stage === 'graph') {
    if (subject.runPasses !== undefined) return printModule(subject.runPasses(name, instruments));
    throw absentStage(subject, stage);
  }
  const compiled = subject.compile(name, instruments);
  if (stage === 'plan') return printPlan(compiled.plan);
  return selectKernels(compiled, kernel)
    .map((one) => {
      const text = kernelText(one, stage);
      if (text === undefined) throw absentStage(subject, stage);
      return text;
    })
    .join('\n');
}

/** `undefined` where the kernel has lost that form: the CPU has no source, artifacts have no tile form. */
export function kernelText(
  { name, tile, thread, source }: InspectedKernel,
  stage: 'tile' | 'thread' | 'source',
): string | undefined {
  switch (stage) {
    case 'tile':
      return tile && printTileKernel(tile);
    case 'thread':
      return printThreadKernel(thread);
    case 'source':
      return source === '' ? undefined : `// ${name}\n${source}`;
  }
}

/** The kernels with `part` in their names; all without it. F2C708 when there is none. */
export function selectKernels({ kernels }: InspectedFunction, part: string | undefined): readonly InspectedKernel[] {
  const all = [...kernels.values()];
  const found = part === undefined ? all : all.filter(({ name }) => name.includes(part));
  if (found.length > 0) return found;
  throw new Flux2cError('F2C708', 'no kernel has this in its name', {
    where: ['--kernel'],
    expected: all.map(({ name }) => name).join(', '),
    found: part ?? '',
  });
}

/** `--dump-dir`: the plan and every kernel in all its forms. */
export function dumpCompiled(folder: string, { plan, kernels }: InspectedFunction): void {
  fileWriter(folder)('plan.txt', printPlan(plan));
  const write = fileWriter(join(folder, 'kernels'));
  for (const kernel of kernels.values()) {
    for (const [stage, ending] of [
      ['tile', 'tile'],
      ['thread', 'thread'],
      ['source', 'wgsl'],
    ] as const) {
      const text = kernelText(kernel, stage);
      if (text !== undefined) write(`${kernel.name}.${ending}`, text);
    }
  }
}

function absentStage({ name, source }: InspectSubject, stage: EmitStage): Flux2cError {
  return new Flux2cError('F2C709', `there is no text at the stage '${stage}'`, {
    where: [name],
    found:
      source === 'artifact' ? 'an artifact, which has the plan, thread kernels and sources' : 'a target without it',
    hint: 'Inspect the model that was compiled, or another stage: --emit plan, --emit thread.',
  });
}

import { Flux2cError } from '../../../ir/diagnostics.js';
import type { ThreadKernel } from '../../../ir/kernel/thread.js';
import type { CopyStep, LaunchStep, Plan, PlanStep } from '../../../ir/plan.js';
import { cudaEntryPoint } from '../cuda.js';
import type { KernelNames } from '../../kernel-names.js';
import { printDim, quote } from './cpp-text.js';
import { sizesOf } from './print-kernel.js';

/** The device's steps of a plan as statements; host steps are printed apart, because they come first. */
export class StepPrinter {
  constructor(
    private readonly plan: Plan,
    private readonly kernels: ReadonlyMap<string, ThreadKernel>,
    private readonly names: KernelNames,
  ) {}

  print(steps: readonly PlanStep[], indent: string): readonly string[] {
    return steps.flatMap((step) => this.printStep(step, indent));
  }

  private printStep(step: PlanStep, indent: string): readonly string[] {
    switch (step.kind) {
      case 'host':
        return [];
      case 'launch':
        return this.printLaunch(step, indent);
      case 'copy':
        return [`${indent}${this.printCopy(step)}`];
      case 'loop': {
        const [index, count] = [this.names.legal(step.symbol), printDim(step.count, this.names)];
        return [
          `${indent}for (long long ${index} = 0; ${index} < ${count}; ${index}++) {`,
          ...this.print(step.steps, `${indent}  `),
          `${indent}  run.progress(${quote(step.symbol)}, ${index}, ${count});`,
          `${indent}}`,
        ];
      }
    }
  }

  private printLaunch(step: LaunchStep, indent: string): readonly string[] {
    const kernel = this.kernels.get(step.kernel);
    if (kernel === undefined) {
      throw new Flux2cError('F2C314', 'the artifact lacks a kernel of the plan', {
        where: [this.plan.name, step.label],
        expected: step.kernel,
        hint: 'Compile the module again.',
      });
    }
    const dim = (value: LaunchStep['flop']): string => printDim(value, this.names);
    const grid = step.grid.map(({ extent, tile }) => `{${dim(extent)}, ${tile}}`).join(', ');
    const views = step.bindings.map(({ storage, offset, span }) => `{${storage}, ${dim(offset)}, ${dim(span)}}`);
    const given = new Map(step.parameters.map(({ name, value }) => [name, value]));
    const sizes = sizesOf(kernel).map((name) => {
      const value = given.get(name);
      if (value === undefined) throw new Error(`internal: the launch ${step.label} does not give ${name}`);
      return dim(value);
    });
    return [
      `${indent}run.launch(kernel_${cudaEntryPoint(kernel)}, ${quote(step.label)}, {${grid}},`,
      `${indent}           {${views.join(', ')}}, {${sizes.join(', ')}});`,
    ];
  }

  private printCopy({ from, to, size, label }: CopyStep): string {
    const end = ({ storage, offset }: CopyStep['from']): string => `${storage}, ${printDim(offset, this.names)}`;
    const [source, target] = [from, to].map(({ storage }) => this.plan.storages[storage]?.storage);
    if (source !== target) throw new Error(`internal: the copy ${label} changes the element type`);
    return `run.copy(${quote(label)}, ${end(from)}, ${end(to)}, ${printDim(size, this.names)});`;
  }
}

import { Flux2cError } from '../../../ir/diagnostics.js';
import type { ThreadKernel } from '../../../ir/kernel/thread.js';
import type { CopyStep, LaunchStep, Plan, PlanStep } from '../../../ir/plan.js';
import { cudaEntryPoint } from '../cuda.js';
import type { KernelNames } from '../../kernel-names.js';
import { printDim, quote } from './cpp-text.js';

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

/** Parameters that launches give; the others are where a piece of a launch begins. */
function sizesOf(kernel: ThreadKernel): readonly string[] {
  return kernel.parameters.filter((name) => placeOf(kernel, name) === undefined);
}

/** The text that gives a parameter of where a piece begins. */
function placeOf(kernel: ThreadKernel, name: string): string | undefined {
  const axis = ['origin_x', 'origin_y', 'origin_z'].indexOf(name);
  if (axis >= 0) return `piece.origin[${axis}]`;
  const buffer = kernel.buffers.findIndex((candidate) => name === `${candidate.name}_base`);
  return buffer >= 0 ? `piece.bases[${buffer}]` : undefined;
}

/** A kernel's entry in the program: how a piece of its launches is started. */
export function printKernel(kernel: ThreadKernel, sharedBytes: number): readonly string[] {
  const entryPoint = cudaEntryPoint(kernel);
  const sizes = sizesOf(kernel);
  const values = kernel.parameters.map((name) => placeOf(kernel, name) ?? `piece.sizes[${sizes.indexOf(name)}]`);
  const hasParameters = values.length > 0;
  const fixed = kernel.buffers.flatMap(({ name }, at) => (kernel.parameters.includes(`${name}_base`) ? [] : [at]));
  const splits = ['x', 'y', 'z'].map((axis) => kernel.parameters.includes(`origin_${axis}`));
  const shape = `${kernel.workgroupSize}, ${sharedBytes}`;
  return [
    `void start_${entryPoint}(const Piece& piece) {`,
    ...fixed.map((at) => `  piece.require_no_base(${at});`),
    ...(hasParameters ? [`  const ::${entryPoint}_parameters parameters = {${values.join(', ')}};`] : []),
    `  start(piece, ::${entryPoint}, ${shape}${hasParameters ? ', parameters' : ''});`,
    '}',
    `const Kernel kernel_${entryPoint} = {${quote(kernel.name)}, {${splits.join(', ')}}, start_${entryPoint}};`,
  ];
}

import { Flux2cError } from '../../../ir/diagnostics.js';
import type { ThreadKernel } from '../../../ir/kernel/thread.js';
import type { HostStep, Plan, PlanStep, PlanValue, Storage } from '../../../ir/plan.js';
import { cudaEntryPoint, cudaSharedBytes } from '../cuda.js';
import { cudaNames } from '../cuda-names.js';
import { comment, printDim, printShape, printType, quote } from './cpp-text.js';
import { hostHeaderName } from './host-header.js';
import type { HostFunction, HostProgram } from './host-program.js';
import { printHostStep } from './print-host-steps.js';
import type { HostScope } from './print-host-steps.js';
import { printKernel } from './print-kernel.js';
import { printSizes } from './print-sizes.js';
import { StepPrinter } from './print-steps.js';
import { declarationOf, isBoundaryType, WeightTables } from './print-weights.js';

/**
 * The C++ of a program that runs the functions of an artifact on a GPU: it goes into the artifact's folder as `host.cu`,
 * beside `hostHeader`, and includes the kernels' texts.
 *
 * @throws F2C232 a host step or a type at the boundary that has no C++, F2C163 a size that no input determines, F2C403,
 *   F2C414 and F2C523 weights that the artifact lacks or the program cannot read, F2C314 a kernel is missing
 */
export function printHost(program: HostProgram): string {
  const kernels = usedKernels(program);
  const tables = new WeightTables(program.weights);
  const functions = [...program.functions].map(([name, fn]) => printFunction(name, fn, program, tables));
  return [
    comment(`Runs ${program.name} on an NVIDIA GPU: ${[...program.functions.keys()].join(', ')}.`),
    '// Build it in the folder of this file with',
    comment(`  ${program.buildLine}`),
    '// and ask it for --help.',
    `#include ${quote(hostHeaderName)}`,
    '',
    '// Kernels bind addresses that not all of them use.',
    '#ifdef __CUDACC__',
    '#pragma nv_diag_suppress 177',
    '#endif',
    ...kernels.map(({ name }) => `#include ${quote(`kernels/${name}.cu`)}`),
    '',
    'namespace flux2c {',
    'namespace {',
    '',
    ...kernels.flatMap((kernel) => [...printKernel(kernel, cudaSharedBytes(kernel)), '']),
    ...functions.flat(),
    'const Program program = {',
    '    {',
    ...[...program.functions].flatMap(([name, fn]) => printEntry(name, fn)),
    '    },',
    ...tables.print(),
    '};',
    '',
    '}  // namespace',
    '}  // namespace flux2c',
    '',
    'int main(int count, char** arguments) { return flux2c::main(count, arguments, flux2c::program); }',
    '',
  ].join('\n');
}

function usedKernels({ functions, kernels }: HostProgram): readonly ThreadKernel[] {
  const used = new Set<string>();
  const walk = (steps: readonly PlanStep[]): void => {
    for (const step of steps) {
      if (step.kind === 'launch') used.add(step.kernel);
      else if (step.kind === 'loop') walk(step.steps);
    }
  };
  for (const { plan } of functions.values()) walk(plan.steps);
  const found = [...kernels].filter(([name]) => used.has(name)).map(([, kernel]) => kernel);
  const entryPoints = new Set(found.map(cudaEntryPoint));
  if (entryPoints.size !== found.length) throw new Error('internal: two kernels have one entry point');
  return found;
}

function printFunction(
  name: string,
  { plan, component, lifetimes }: HostFunction,
  { kernels }: HostProgram,
  tables: WeightTables,
): readonly string[] {
  for (const value of [...plan.inputs, ...plan.results]) checkBoundary(name, value);
  const names = cudaNames([], 'run');
  const scope: HostScope = { plan, component, names, tables };
  const hostSteps = plan.steps.filter((step): step is HostStep => step.kind === 'host');
  const storage = (item: Storage): string => printStorage(item, lifetimes.get(item.id), scope);
  return [
    `void run_${name}(Run& run) {`,
    ...printSizes(plan, names).map((line) => `  ${line}`),
    ...hostInputs(plan, hostSteps).map(({ name: input, storage: id }) => `  run.keep_input(${id}, ${quote(input)});`),
    ...hostSteps.map((step) => `  ${printHostStep(step, scope)}`),
    '  run.prepare(',
    '      {',
    ...plan.storages.map((item) => `          ${storage(item)},  // ${item.id}`),
    '      },',
    `      {${plan.inputs.map(({ name: input, storage: id }) => `{${id}, ${quote(input)}}`).join(', ')}});`,
    ...new StepPrinter(plan, kernels, names).print(plan.steps, '  '),
    ...plan.results.map(({ name: result, storage: id, dtype, shape }) => {
      return `  run.result(${quote(result)}, ${id}, ${printType(dtype)}, ${printShape(shape, names)});`;
    }),
    '}',
    '',
  ];
}

/** Inputs that host steps read. */
function hostInputs(plan: Plan, hostSteps: readonly HostStep[]): readonly PlanValue[] {
  const read = new Set(
    hostSteps.flatMap(({ operands }) =>
      operands.flatMap((operand) => (operand.kind === 'storage' ? [operand.storage] : [])),
    ),
  );
  return plan.inputs.filter(({ storage }) => read.has(storage));
}

function printStorage(
  { kind, storage, size, label, weight }: Storage,
  lifetime: { readonly first: number; readonly last: number } | undefined,
  { plan, component, names, tables }: HostScope,
): string {
  const { first, last } = lifetime ?? { first: -1, last: -1 };
  const fields = [`Storage::${kind}`, printType(storage), printDim(size, names), quote(label), first, last];
  if (kind === 'weight') fields.push(tables.indexOf(component, declarationOf(plan, weight), storage));
  return `{${fields.join(', ')}}`;
}

function printEntry(name: string, { plan }: HostFunction): readonly string[] {
  const values = (list: readonly PlanValue[]): string =>
    list.map(({ name: value, dtype, shape }) => `${value} ${dtype}[${shape.join(', ')}]`).join(', ');
  const inputs = plan.inputs.map(
    ({ name: input, dtype, shape }) => `{${quote(input)}, ${printType(dtype)}, ${shape.length}}`,
  );
  return [
    `        {${quote(name)}, ${quote(values(plan.inputs))},`,
    `         ${quote(values(plan.results))},`,
    `         {${inputs.join(', ')}}, run_${name}},`,
  ];
}

function checkBoundary(fn: string, { name, dtype }: PlanValue): void {
  if (isBoundaryType(dtype)) return;
  throw new Flux2cError('F2C232', 'a host program reads and writes tensors of f32 and i32', {
    where: [fn, name],
    expected: 'f32 or i32',
    found: dtype,
    hint: 'Leave out --host cpp; flux2c itself runs the artifact.',
  });
}

import { Flux2cError } from '../../../ir/diagnostics.js';
import type { HostOperand, HostStep, Plan } from '../../../ir/plan.js';
import type { KernelNames } from '../../kernel-names.js';
import { printDim, printDouble, printIntegers, printShape, printType } from './cpp-text.js';
import type { WeightTables } from './print-weights.js';

/** What of a function its host steps need. */
export interface HostScope {
  readonly plan: Plan;
  readonly component: string;
  readonly names: KernelNames;
  readonly tables: WeightTables;
}

type OperandOf<Kind extends HostOperand['kind']> = Omit<Extract<HostOperand, { readonly kind: Kind }>, 'kind'>;

/** Operations that have C++ in `header/operations.ts`. */
const printed = 'broadcast, cast, concat, constant, gather, iota, reshape, rope_table, slice, timestep_embedding';

/**
 * A host step as a statement that keeps its results.
 *
 * @throws F2C232 an operation without C++
 */
export function printHostStep(step: HostStep, scope: HostScope): string {
  const storages = step.results.map(({ storage }) => `${storage}`).join(', ');
  return `run.keep(${storages}, ${printOperation(step, scope)});`;
}

function printOperation(step: HostStep, scope: HostScope): string {
  const { names } = scope;
  const operands = step.operands.map((operand) => printOperand(operand, scope));
  const [x = '', y = ''] = operands;
  switch (step.operation) {
    case 'constant':
      return printConstant(step.attributes, names);
    case 'iota':
      return `iota(${printDim(step.attributes.size, names)})`;
    case 'reshape':
      return `reshape(${x}, ${printShape(step.attributes.shape, names)})`;
    case 'broadcast':
      return `broadcast(${x}, ${printShape(step.attributes.shape, names)})`;
    case 'cast':
      return `cast(${x}, ${printType(step.attributes.dtype)})`;
    case 'concat':
      return `concat(${step.attributes.axis}, {${operands.join(', ')}})`;
    case 'slice': {
      const { axis, start, size } = step.attributes;
      return `slice(${x}, ${axis}, ${printDim(start, names)}, ${printDim(size, names)})`;
    }
    case 'gather': {
      const [table] = step.operands;
      // The table of a gigabyte stays in its file.
      if (table?.kind === 'weight') return `run.gather_weight(${weightIndex(table, scope)}, ${y})`;
      return `gather(${x}, ${y})`;
    }
    case 'rope_table': {
      const { theta, axisSizes } = step.attributes;
      return `rope_table(${x}, ${printDouble(theta)}, ${printIntegers(axisSizes)})`;
    }
    case 'timestep_embedding': {
      const { size, maxPeriod, scale } = step.attributes;
      return `timestep_embedding(${x}, ${size}, ${printDouble(maxPeriod)}, ${printDouble(scale)})`;
    }
    default:
      throw new Flux2cError('F2C232', `a host program cannot compute '${step.operation}' on the processor`, {
        where: [scope.plan.name, ...step.results.map(({ storage }) => scope.plan.storages[storage]?.label ?? '')],
        expected: `one of ${printed}`,
        found: step.operation,
        hint: 'Leave out --host cpp; flux2c itself runs the artifact.',
      });
  }
}

function printOperand(operand: HostOperand, scope: HostScope): string {
  const { names } = scope;
  switch (operand.kind) {
    case 'storage':
      return `run.at(${operand.storage}, ${printShape(operand.shape, names)})`;
    case 'weight':
      return `run.weight(${weightIndex(operand, scope)})`;
    case 'constant':
      return printConstant(operand, names);
  }
}

function printConstant({ dtype, shape, values }: OperandOf<'constant'>, names: KernelNames): string {
  return `constant(${printType(dtype)}, ${printShape(shape, names)}, {${values.map(printDouble).join(', ')}})`;
}

function weightIndex({ weight }: OperandOf<'weight'>, { component, tables }: HostScope): number {
  return tables.indexOf(component, weight);
}

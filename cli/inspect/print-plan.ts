/** A plan as text, sizes still symbolic. */
import type { BufferBinding, GridAxis, Plan, PlanStep, PlanValue } from '../../ir/plan.js';

/**
 * The interface, the storages and the steps of a plan:
 *
 *     launch matmul_03 grid [n: 3072/32, m: img/32]  read #0 noise, read #12 fc.weight, write #13 matmul  ; fc.weight
 */
export function printPlan(plan: Plan): string {
  const lines = [
    `plan ${plan.name}`,
    ...plan.inputs.map((value) => `  input ${printValue(value)}`),
    ...plan.results.map((value) => `  result ${printValue(value)}`),
    ...plan.storages.map(
      ({ id, kind, storage, size, label }) => `  storage #${id} ${label}: ${kind} ${storage}[${size.text}]`,
    ),
    ...printSteps(plan, plan.steps, '  '),
  ];
  return `${lines.join('\n')}\n`;
}

function printValue({ name, dtype, shape, storage }: PlanValue): string {
  return `${name}: ${dtype}[${shape.join(', ')}] = #${storage}`;
}

function printSteps(plan: Plan, steps: readonly PlanStep[], indent: string): readonly string[] {
  const name = (storage: number): string => `#${storage} ${plan.storages[storage]?.label ?? ''}`;
  return steps.flatMap((step): readonly string[] => {
    switch (step.kind) {
      case 'launch': {
        const bindings = step.bindings.map((binding) => printBinding(binding, name)).join(', ');
        const sizes = step.parameters.map(({ name: parameter, value }) => `${parameter} = ${value.text}`).join(', ');
        const parameters = sizes === '' ? '' : ` {${sizes}}`;
        return [
          `${indent}launch ${step.kernel} grid [${printGrid(step.grid)}]${parameters} (${bindings}) ; ${step.label}`,
        ];
      }
      case 'copy': {
        const from = `${name(step.from.storage)}${printOffset(step.from.offset.text)}`;
        const to = `${name(step.to.storage)}${printOffset(step.to.offset.text)}`;
        return [`${indent}copy ${from} to ${to}, ${step.size.text} elements ; ${step.label}`];
      }
      case 'host': {
        const operands = step.operands.map((operand) => {
          if (operand.kind === 'storage') return name(operand.storage);
          return operand.kind === 'weight' ? `@${operand.weight.name}` : `${operand.values.length} constants`;
        });
        const results = step.results.map(({ storage }) => name(storage)).join(', ');
        return [`${indent}host ${results} = ${step.operation}(${operands.join(', ')})`];
      }
      case 'loop':
        return [
          `${indent}loop ${step.symbol} < ${step.count.text}, carried ${step.carried.map(printValue).join(', ')} {`,
          ...printSteps(plan, step.steps, `${indent}  `),
          `${indent}}`,
        ];
    }
  });
}

function printBinding({ storage, access, offset }: BufferBinding, name: (storage: number) => string): string {
  return `${access} ${name(storage)}${printOffset(offset.text)}`;
}

function printOffset(offset: string): string {
  return offset === '0' ? '' : ` + ${offset}`;
}

function printGrid(grid: readonly GridAxis[]): string {
  return grid.map(({ extent, tile }) => (tile === 1 ? extent.text : `(${extent.text})/${tile}`)).join(', ');
}

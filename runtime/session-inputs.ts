import { Flux2cError } from '../ir/diagnostics.js';
import type { DimBinding } from '../ir/dim.js';
import { bindSizes } from '../ir/graph/bind-sizes.js';
import type { Value } from '../ir/graph/graph.js';
import { printType } from '../ir/graph/types.js';
import type { Plan, PlanValue } from '../ir/plan.js';
import { checkLength } from './host-array.js';
import type { HostArray } from './host-array.js';

/**
 * Checks that the inputs are those of the function and finds the sizes they have.
 *
 * @param known sizes given from outside, for symbols that no input determines
 * @throws F2C520 an input is missing or unknown, F2C521 one has another element type or length, F2C161..F2C163 shapes
 *   that do not fit
 */
export function bindInputs(plan: Plan, inputs: ReadonlyMap<string, HostArray>, known: DimBinding): DimBinding {
  const wanted = plan.inputs.map(toValue);
  const missing = wanted.filter(({ name }) => !inputs.has(name)).map(({ name }) => name);
  const extra = [...inputs.keys()].filter((name) => !wanted.some((value) => value.name === name));
  if (missing.length > 0 || extra.length > 0) {
    const parts = [
      ...(missing.length > 0 ? [`without ${missing.join(', ')}`] : []),
      ...(extra.length > 0 ? [`with ${extra.join(', ')}, which it does not take`] : []),
    ];
    throw new Flux2cError('F2C520', `the inputs are not those of '${plan.name}'`, {
      where: [plan.name],
      expected: listInputs(wanted),
      found: `inputs ${parts.join(' and ')}`,
    });
  }
  for (const { name, type } of wanted) {
    const array = inputs.get(name) as HostArray;
    if (array.dtype !== type.dtype) {
      throw new Flux2cError('F2C521', `the input '${name}' has the wrong element type`, {
        where: [plan.name, name],
        expected: listInputs(wanted),
        found: `${name} : ${array.dtype}[${array.shape.join(', ')}]`,
      });
    }
    checkLength(name, array);
  }
  return bindSizes(wanted, new Map([...inputs].map(([name, { shape }]) => [name, shape])), known);
}

function toValue({ name, dtype, shape }: PlanValue): Value {
  return { name, type: { dtype, shape } };
}

function listInputs(values: readonly Value[]): string {
  return values.map(({ name, type }) => `${name} : ${printType(type)}`).join(', ');
}

import { Flux2cError } from '../diagnostics.js';
import type { Dim, DimBinding } from '../dim.js';
import type { Value } from './graph.js';
import { printType } from './types.js';

interface Equation {
  readonly input: string;
  readonly axis: number;
  readonly dim: Dim;
  readonly size: number;
}

/**
 * The values of the size symbols, from the shapes of the inputs. A dimension with one unknown symbol of degree 1
 * (`img`, `2*h`, `img+txt` once `img` is known) gives its value; all others are checked.
 *
 * @param parameters what the function expects; `shapes` has the sizes found for each parameter's name
 * @param known sizes given from outside, kept and checked
 * @throws F2C160 an input is missing, F2C161 wrong rank, F2C162 sizes that contradict each other, F2C163 a symbol that
 *   no input determines
 */
export function bindSizes(
  parameters: readonly Value[],
  shapes: ReadonlyMap<string, readonly number[]>,
  known: DimBinding = {},
): DimBinding {
  const sizes: Record<string, number> = { ...known };
  let open = parameters.flatMap((parameter) => listEquations(parameter, shapes));
  while (open.length > 0) {
    const waiting = open.filter((equation) => !solveEquation(equation, sizes));
    if (waiting.length === open.length) rejectUnsolvable(waiting[0] as Equation, sizes);
    open = waiting;
  }
  return sizes;
}

function listEquations(parameter: Value, shapes: ReadonlyMap<string, readonly number[]>): readonly Equation[] {
  const shape = shapes.get(parameter.name);
  if (shape === undefined) {
    throw new Flux2cError('F2C160', `the input '${parameter.name}' is missing`, {
      where: [parameter.name],
      expected: printType(parameter.type),
      found: shapes.size === 0 ? 'no inputs' : `inputs ${[...shapes.keys()].join(', ')}`,
    });
  }
  if (shape.length !== parameter.type.shape.length) {
    throw new Flux2cError('F2C161', `the input '${parameter.name}' has the wrong rank`, {
      where: [parameter.name],
      expected: printType(parameter.type),
      found: `[${shape.join(', ')}]`,
    });
  }
  return parameter.type.shape.map((dim, axis) => ({ input: parameter.name, axis, dim, size: shape[axis] as number }));
}

/** True when the equation is settled: checked, or solved for its only unknown. False when it must wait for others. */
function solveEquation(equation: Equation, sizes: Record<string, number>): boolean {
  const rest = equation.dim.substitute(sizes);
  if (rest.constant !== undefined) {
    if (rest.constant !== equation.size) rejectConflict(equation, sizes);
    return true;
  }
  const [symbol, ...others] = rest.symbols as [string, ...string[]];
  const terms = rest.monomials().filter((term) => term.symbols.length > 0);
  if (others.length > 0 || terms.some((term) => term.symbols.length > 1)) return false;
  const factor = (terms[0] as { readonly coefficient: number }).coefficient;
  const value = (equation.size - rest.evaluate({ [symbol]: 0 })) / factor;
  if (!Number.isInteger(value) || value < 0) rejectConflict(equation, sizes);
  sizes[symbol] = value;
  return true;
}

function describeKnown(dim: Dim, sizes: DimBinding): string {
  const known = dim.symbols.filter((symbol) => sizes[symbol] !== undefined);
  return known.length === 0 ? '' : ` with ${known.map((symbol) => `${symbol} = ${sizes[symbol]}`).join(', ')}`;
}

function rejectConflict({ input, axis, dim, size }: Equation, sizes: DimBinding): never {
  const rest = dim.substitute(sizes);
  const value = rest.constant === undefined ? `${rest.text} for a whole number` : `${rest.constant}`;
  throw new Flux2cError('F2C162', `axis ${axis} of the input '${input}' does not fit the other sizes`, {
    where: [input],
    expected: dim.symbols.length === 0 ? dim.text : `${dim.text} = ${value}${describeKnown(dim, sizes)}`,
    found: `${size}`,
  });
}

function rejectUnsolvable({ input, axis, dim }: Equation, sizes: DimBinding): never {
  const unknown = dim.symbols.filter((symbol) => sizes[symbol] === undefined);
  throw new Flux2cError('F2C163', `the inputs do not determine the size '${unknown.join("', '")}'`, {
    where: [input],
    expected: `an input with ${unknown.join(' and ')} as a dimension of its own`,
    found: `axis ${axis} of '${input}' is ${dim.text}${describeKnown(dim, sizes)}`,
    hint: 'Give the size as an option.',
  });
}

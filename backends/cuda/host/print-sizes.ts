import { Flux2cError } from '../../../ir/diagnostics.js';
import { Dim } from '../../../ir/dim.js';
import type { Plan } from '../../../ir/plan.js';
import type { KernelNames } from '../../kernel-names.js';
import { printDim, quote } from './cpp-text.js';

interface Equation {
  readonly input: string;
  readonly axis: number;
  readonly dim: Dim;
}

/**
 * C++ that finds the values of a plan's symbols in the shapes of its inputs and checks all other axes, in the order in
 * which `bindSizes` would. Throws F2C163 for a symbol that no input determines.
 */
export function printSizes(plan: Plan, names: KernelNames): readonly string[] {
  const lines: string[] = [];
  const known = new Set<string>();
  let open: readonly Equation[] = plan.inputs.flatMap(({ name, shape }) =>
    shape.map((dim, axis) => ({ input: name, axis, dim })),
  );
  while (open.length > 0) {
    const waiting = open.filter((equation) => {
      const line = printEquation(equation, known, names);
      if (line !== undefined) lines.push(line);
      return line === undefined;
    });
    if (waiting.length === open.length) rejectUnsolvable(plan, waiting[0] as Equation, known);
    open = waiting;
  }
  return lines;
}

/** Undefined where the axis must wait until more symbols are known. */
function printEquation({ input, axis, dim }: Equation, known: Set<string>, names: KernelNames): string | undefined {
  const place = `${quote(input)}, ${axis}, ${quote(dim.text)}`;
  const unknown = dim.symbols.filter((symbol) => !known.has(symbol));
  const [symbol] = unknown;
  if (symbol === undefined) return `run.expect(${place}, ${printDim(dim, names)});`;
  if (unknown.length > 1) return undefined;
  const rest = dim.substitute({ [symbol]: 0 });
  const factor = dim.sub(rest).divideExactly(Dim.symbol(symbol));
  if (factor === undefined || factor.symbols.includes(symbol)) return undefined;
  known.add(symbol);
  const value = `run.solve(${place}, ${printDim(rest, names)}, ${printDim(factor, names)})`;
  return `const long long ${names.legal(symbol)} = ${value};`;
}

function rejectUnsolvable(plan: Plan, { input, axis, dim }: Equation, known: ReadonlySet<string>): never {
  const unknown = dim.symbols.filter((symbol) => !known.has(symbol));
  throw new Flux2cError('F2C163', `the inputs do not determine the size '${unknown.join("', '")}'`, {
    where: [plan.name, input],
    expected: `an input with ${unknown.join(' and ')} as a dimension of its own`,
    found: `axis ${axis} of '${input}' is ${dim.text}`,
    hint: 'A host program takes all sizes from its inputs.',
  });
}

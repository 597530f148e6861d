/** What a kernel is given at launch: polynomials of sizes, each as one number. */
import { Dim } from '../../ir/dim.js';
import type { IndexCondition, TileExpression, TileKernel, TileStatement } from '../../ir/kernel/tile.js';
import { greatestCommonDivisor } from '../kernel/lower/lanes.js';

/** A parameter of a kernel, and what it is of the symbols that the kernel had before. */
export interface GatheredParameter {
  readonly name: string;
  readonly value: Dim;
}

/**
 * The kernel with as few parameters as say what it does: what an axis or a term is multiplied by, and what stands alone, becomes one
 * parameter p0, p1, ... (in order of appearance) times the largest number that divides it, which alignment is seen by. So kernels are
 * equal whose sizes are made in other ways (`img` here, `txt+img` there), and they compute less at run time. Numbers stay.
 */
export function gatherParameters(kernel: TileKernel): {
  readonly kernel: TileKernel;
  readonly parameters: readonly GatheredParameter[];
} {
  const sizes = new Set(kernel.parameters);
  const gathered = new Map<string, GatheredParameter>();
  const parameterOf = (value: Dim): Dim => {
    let parameter = gathered.get(value.text);
    if (parameter === undefined) {
      parameter = { name: `p${gathered.size}`, value };
      gathered.set(value.text, parameter);
    }
    return Dim.symbol(parameter.name);
  };
  const done = new Map<string, Dim>();
  const gather = (index: Dim): Dim => {
    let result = done.get(index.text);
    if (result === undefined) {
      result = gatherIn(index, sizes, parameterOf);
      done.set(index.text, result);
    }
    return result;
  };
  const renamed: TileKernel = {
    ...kernel,
    axes: kernel.axes.map((axis) => ({ ...axis, extent: gather(axis.extent) })),
    terms: kernel.terms.map((term) => {
      switch (term.kind) {
        case 'floor':
        case 'modulo':
          return { ...term, of: gather(term.of), by: gather(term.by) };
        case 'exclusive_or':
          return { ...term, of: gather(term.of) };
        case 'loaded':
          return { ...term, at: gather(term.at), limit: gather(term.limit) };
      }
    }),
    body: mapIndices(kernel.body, gather),
  };
  const parameters = [...gathered.values()];
  return { kernel: { ...renamed, parameters: parameters.map(({ name }) => name) }, parameters };
}

/** Polynomials in a kernel's parameters; undefined where they have sizes that are no parameter by themselves. */
export function inParameters(
  polynomials: readonly Dim[],
  parameters: readonly GatheredParameter[],
): readonly Dim[] | undefined {
  const names = new Map(parameters.map(({ name, value }) => [value.text, Dim.symbol(name)]));
  if (polynomials.some(({ symbols }) => symbols.some((symbol) => !names.has(symbol)))) return undefined;
  return polynomials.map((polynomial) => polynomial.substitute(Object.fromEntries(names)));
}

function gatherIn(index: Dim, sizes: ReadonlySet<string>, parameterOf: (value: Dim) => Dim): Dim {
  const factors = new Map<string, { readonly of: Dim; sum: Dim }>();
  let result = Dim.of(0);
  for (const { symbols, coefficient } of index.monomials()) {
    const rest = product(symbols.filter((symbol) => !sizes.has(symbol)));
    const own = symbols.filter((symbol) => sizes.has(symbol));
    if (own.length === 0) {
      result = result.add(rest.mul(coefficient));
      continue;
    }
    const factor = factors.get(rest.text) ?? { of: rest, sum: Dim.of(0) };
    factor.sum = factor.sum.add(product(own).mul(coefficient));
    factors.set(rest.text, factor);
  }
  for (const { of, sum } of factors.values()) {
    const divisor = divisorOf(sum);
    const value = sum.divideExactly(divisor);
    if (value === undefined) throw new Error(`internal: ${divisor} does not divide ${sum.text}`);
    result = result.add(parameterOf(value).mul(of).mul(divisor));
  }
  return result;
}

function product(symbols: readonly string[]): Dim {
  return symbols.reduce((whole, symbol) => whole.mul(Dim.symbol(symbol)), Dim.of(1));
}

/** The largest number that divides all coefficients, with the sign of the first: opposite polynomials have one parameter. */
function divisorOf(sum: Dim): number {
  const coefficients = sum.monomials().map(({ coefficient }) => coefficient);
  const divisor = coefficients.reduce((common, one) => greatestCommonDivisor(common, Math.abs(one)), 0);
  return (coefficients[0] ?? 1) < 0 ? -divisor : divisor;
}

/** Rewrites every index polynomial of the statements; subexpressions shared within a body stay shared. */
function mapIndices(body: readonly TileStatement[], gather: (index: Dim) => Dim): TileStatement[] {
  const done = new Map<TileExpression, TileExpression>();
  const conditions = (list: readonly IndexCondition[]): IndexCondition[] =>
    list.map(({ kind, left, right }) => ({ kind, left: gather(left), right: gather(right) }));
  const expression = (old: TileExpression): TileExpression => {
    const known = done.get(old);
    if (known !== undefined) return known;
    const made = rewrite(old);
    done.set(old, made);
    return made;
  };
  const rewrite = (old: TileExpression): TileExpression => {
    switch (old.kind) {
      case 'number':
      case 'tile':
        return old;
      case 'index':
        return { ...old, index: gather(old.index) };
      case 'load':
        return { ...old, index: gather(old.index), conditions: conditions(old.conditions) };
      case 'unary':
      case 'convert':
      case 'exchange':
        return { ...old, operand: expression(old.operand) };
      case 'binary':
        return { ...old, left: expression(old.left), right: expression(old.right) };
      case 'select':
        return { ...old, condition: expression(old.condition), yes: expression(old.yes), no: expression(old.no) };
      case 'when':
        return { ...old, conditions: conditions(old.conditions), yes: expression(old.yes), no: expression(old.no) };
    }
  };
  return body.map((statement): TileStatement => {
    switch (statement.kind) {
      case 'tile':
      case 'assign':
      case 'reduce':
        return { ...statement, value: expression(statement.value) };
      case 'contract':
        return { ...statement, a: expression(statement.a), b: expression(statement.b) };
      case 'for':
        return { ...statement, body: mapIndices(statement.body, gather) };
      case 'store':
        return {
          ...statement,
          index: gather(statement.index),
          conditions: conditions(statement.conditions),
          value: expression(statement.value),
        };
    }
  });
}

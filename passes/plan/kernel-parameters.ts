/** What a kernel is given at launch: polynomials of sizes, each as one number. */
import { Dim } from '../../ir/dim.js';
import type { IndexCondition, TileExpression, TileKernel, TileStatement } from '../../ir/kernel/tile.js';
import { greatestCommonDivisor } from '../kernel/lower/lanes.js';

/** A parameter of a kernel, and what it is of the symbols that the kernel had before. */
export interface GatheredParameter {
  readonly name: string;
  readonly value: Dim;
}

/** Elements that addresses are seen to be multiples of: as many as any vector, copy or fragment has side by side. */
const alignment = 16;
/** Lanes of the longest vectors. */
const longestVector = 4;

/**
 * The kernel with as few parameters as say what it does: what an axis or a term is multiplied by, and what stands alone, becomes one
 * parameter p0, p1, ... (in order of appearance). Of the numbers that divide it only as much stays outside as alignment is seen by.
 * So kernels are equal whose sizes are made in other ways (`img` here, `txt+img` there, twice the rows of a picture), and they compute
 * less at run time. Numbers without sizes stay.
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
  const gather = (index: Dim, within: number): Dim => {
    const key = `${within} ${index.text}`;
    let result = done.get(key);
    if (result === undefined) {
      result = gatherIn(index, sizes, within, parameterOf);
      done.set(key, result);
    }
    return result;
  };
  const terms = new Set(kernel.terms.map(({ name }) => name));
  const address = (index: Dim): Dim => gather(index, alignment);
  const roles: Roles = {
    address,
    // A bound that is a multiple of a vector's lanes does not cut vectors; along terms there are none.
    bound: (index, of) => gather(index, of.symbols.some((symbol) => terms.has(symbol)) ? 1 : longestVector),
  };
  const renamed: TileKernel = {
    ...kernel,
    // Tiles need not divide a grid axis.
    axes: kernel.axes.map((axis) => ({
      ...axis,
      extent: gather(axis.extent, axis.kind.startsWith('grid') ? longestVector : alignment),
    })),
    terms: kernel.terms.map((term) => {
      switch (term.kind) {
        case 'floor':
        case 'modulo':
          return { ...term, of: address(term.of), by: gather(term.by, 1) };
        case 'exclusive_or':
          return { ...term, of: address(term.of) };
        case 'loaded':
          return { ...term, at: address(term.at), limit: gather(term.limit, 1) };
      }
    }),
    body: mapIndices(kernel.body, roles),
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

function gatherIn(index: Dim, sizes: ReadonlySet<string>, within: number, parameterOf: (value: Dim) => Dim): Dim {
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
    const divisor = divisorOf(sum, within);
    const value = sum.divideExactly(divisor);
    if (value === undefined) throw new Error(`internal: ${divisor} does not divide ${sum.text}`);
    result = result.add(parameterOf(value).mul(of).mul(divisor));
  }
  return result;
}

function product(symbols: readonly string[]): Dim {
  return symbols.reduce((whole, symbol) => whole.mul(Dim.symbol(symbol)), Dim.of(1));
}

/** The largest divisor of `within` that divides all coefficients, with the sign of the first: opposite polynomials have one parameter. */
function divisorOf(sum: Dim, within: number): number {
  const coefficients = sum.monomials().map(({ coefficient }) => coefficient);
  const divisor = coefficients.reduce((common, one) => greatestCommonDivisor(common, Math.abs(one)), within);
  return (coefficients[0] ?? 1) < 0 ? -divisor : divisor;
}

interface Roles {
  /** Of elements, and what terms are of. */
  readonly address: (index: Dim) => Dim;
  /** The right side of a condition on what is left of it. */
  readonly bound: (index: Dim, of: Dim) => Dim;
}

/** Rewrites every index polynomial of the statements; subexpressions shared within a body stay shared. */
function mapIndices(body: readonly TileStatement[], roles: Roles): TileStatement[] {
  const { address, bound } = roles;
  const done = new Map<TileExpression, TileExpression>();
  const conditions = (list: readonly IndexCondition[]): IndexCondition[] =>
    list.map(({ kind, left, right }) => ({ kind, left: address(left), right: bound(right, left) }));
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
        return { ...old, index: address(old.index) };
      case 'load':
        return { ...old, index: address(old.index), conditions: conditions(old.conditions) };
      case 'unary':
      case 'convert':
      case 'exchange':
        return { ...old, operand: expression(old.operand) };
      case 'binary':
        return { ...old, left: expression(old.left), right: expression(old.right) };
      case 'select':
        return { ...old, condition: expression(old.condition), yes: expression(old.yes), no: expression(old.no) };
      case 'decode': {
        const fields = old.fields.map(expression);
        return { ...old, column: address(old.column), fields };
      }
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
        return {
          ...statement,
          ...(statement.conditions && { conditions: conditions(statement.conditions) }),
          body: mapIndices(statement.body, roles),
        };
      case 'store':
        return {
          ...statement,
          index: address(statement.index),
          conditions: conditions(statement.conditions),
          value: expression(statement.value),
        };
    }
  });
}

import { Dim } from '../../../ir/dim.js';
import type { IndexTerm, TileKernel } from '../../../ir/kernel/tile.js';
import type { TileLoad } from '../../../ir/kernel/tile.js';

/** A dimension of what an operand's load reads, and the symbol (an axis or a term) whose coordinate it has. */
export interface OperandDimension {
  readonly symbol: string;
  readonly extent: Dim;
  readonly stride: Dim;
}

/** An operand's load as a rectangle: where it begins and its dimensions, the one that rows of the tile run along first. */
export interface OperandRectangle {
  readonly offset: Dim;
  readonly dimensions: readonly OperandDimension[];
}

/** Dimensions that hardware copies: PTX ISA, `cp.async.bulk.tensor`. */
const mostDimensions = 5;

/**
 * Reads a load as a rectangle with a dimension for each axis: index = offset + Σ stride·coordinate. Undefined where it is guarded, where a
 * coordinate is computed otherwise than by dividing an axis, and where strides are no multiples of 16 bytes, `rowLength` numbers.
 */
export function asRectangle(
  { index, conditions }: TileLoad,
  kernel: TileKernel,
  rowAxis: string,
  alongAxis: string,
  rowLength: number,
): OperandRectangle | undefined {
  if (conditions.length > 0) return undefined;
  const extents = new Map<string, Dim | undefined>([
    ...kernel.axes.map(({ name, extent }) => [name, extent] as const),
    ...kernel.terms.map((term) => [term.name, extentOfTerm(term, kernel)] as const),
  ]);
  const strides = new Map<string, Dim>();
  let offset = Dim.of(0);
  for (const { symbols, coefficient } of index.monomials()) {
    const moving = symbols.filter((symbol) => extents.has(symbol));
    const factor = symbols
      .filter((symbol) => !extents.has(symbol))
      .reduce((product, symbol) => product.mul(Dim.symbol(symbol)), Dim.of(coefficient));
    const [symbol, another] = moving;
    if (another !== undefined) return undefined;
    if (symbol === undefined) offset = offset.add(factor);
    else strides.set(symbol, (strides.get(symbol) ?? Dim.of(0)).add(factor));
  }
  if (strides.get(alongAxis)?.constant !== 1 || !strides.has(rowAxis)) return undefined;
  const outer = [...strides].filter(([symbol]) => symbol !== alongAxis);
  if (strides.size > mostDimensions || !offset.isMultipleOf(rowLength)) return undefined;
  // The driver's manual lists dimensions from the near ones to the far ones.
  outer.sort(([, a], [, b]) => (a.constant ?? Infinity) - (b.constant ?? Infinity));
  const dimensions: OperandDimension[] = [];
  for (const [symbol, stride] of [[alongAxis, Dim.of(1)] as const, ...outer]) {
    const extent = extents.get(symbol);
    const isTiled = symbol === rowAxis || symbol === alongAxis;
    if (extent === undefined || (symbol !== alongAxis && !stride.isMultipleOf(rowLength))) return undefined;
    if (!isTiled && !isAlone(symbol, kernel)) return undefined;
    dimensions.push({ symbol, extent, stride });
  }
  return { offset, dimensions };
}

/** A workgroup has one coordinate of the axis or term. */
function isAlone(symbol: string, kernel: TileKernel): boolean {
  const axis = kernel.axes.find(({ name }) => name === symbol);
  if (axis !== undefined) return axis.tile === 1 && axis.kind.startsWith('grid');
  const term = kernel.terms.find(({ name }) => name === symbol);
  return (
    term?.kind === 'floor' && term.of.symbols.every((inner) => isParameter(inner, kernel) || isAlone(inner, kernel))
  );
}

function isParameter(symbol: string, kernel: TileKernel): boolean {
  return kernel.parameters.includes(symbol);
}

/** How many values the quotient of an axis by a number has. */
function extentOfTerm(term: IndexTerm, kernel: TileKernel): Dim | undefined {
  if (term.kind !== 'floor' || term.by.constant === undefined) return undefined;
  const axis = kernel.axes.find(({ name }) => term.of.equals(name));
  const extent = axis?.extent.constant;
  return extent === undefined ? undefined : Dim.of(Math.ceil(extent / term.by.constant));
}

import { Dim } from '../ir/dim.js';
import { binaryKinds, type OpKind, unaryKinds } from '../ir/graph/attributes.js';
import type { Value } from '../ir/graph/graph.js';
import type { GraphGenerator } from './random-graph.js';

/** Without steps and poles: what is well-conditioned in the first iteration of a loop is so in all. */
const smoothKinds: readonly OpKind[] = [
  'neg', 'abs', 'sin', 'cos', 'tanh', 'sigmoid', 'silu', 'gelu', 'erf', 'add', 'sub', 'mul', 'min', 'max', 'reduce_mean',
  'reduce_max', 'matmul', 'softmax', 'reshape', 'transpose', 'slice', 'split', 'concat', 'broadcast', 'pad', 'gather', 'fused',
]; // prettier-ignore

const pointwiseKinds: readonly OpKind[] = [...unaryKinds, ...binaryKinds, 'cast', 'select', 'less'];

/**
 * Adds a loop over one or two carried floats; its body has a few smooth operations, may use values from around it, and
 * keeps what it carries within ±1 by a tanh.
 */
export function addLoop(g: GraphGenerator): boolean {
  const initial = [g.pickFloat(), ...(g.random.chance(0.4) ? [g.pickFloat()] : [])].filter(
    (value) => value !== undefined,
  );
  if (initial.length === 0) return false;
  const count = g.random.chance(0.3) ? Dim.of('k') : Dim.of(g.random.integer(1, 3));
  if (count.constant === undefined) g.showSymbol('k');
  const outer = g.frame;
  const loop = { symbol: 'step', count: g.sizeOf(count) };
  const results = outer.block.emitLoop(count, loop.symbol, initial, (block, carried) => {
    carried.forEach((value, at) => g.tensors.set(value, g.tensorOf(initial[at] as Value)));
    const pool = [...carried, ...outer.pool];
    return g.inside({ block, pool, open: true, loop }, () => {
      for (let step = g.random.integer(1, 4); step > 0; step--) g.addOperation(g.random.pick(smoothKinds));
      return carried.map((value) => nextOf(g, value));
    });
  });
  g.markUsed(initial);
  g.interpretSoFar(results);
  outer.pool.push(...results);
  return true;
}

/** tanh of the carried value plus something that was made in the body and broadcasts to it. */
function nextOf(g: GraphGenerator, carried: Value): Value {
  const { shape, dtype } = carried.type;
  const fits = ({ type }: Value): boolean => {
    const missing = shape.length - type.shape.length;
    const broadcasts = type.shape.every(
      (dim, axis) => dim.constant === 1 || shape[axis + missing]?.equals(dim) === true,
    );
    return type.dtype === dtype && missing >= 0 && broadcasts;
  };
  const other = g.pickValue((value) => value !== carried && fits(value));
  const sum = other === undefined ? undefined : g.tryEmit('add', [carried, other], {})?.[0];
  return g.tryEmit('tanh', [sum ?? carried], {})?.[0] ?? carried;
}

/** Adds a fused operation: a few pointwise operations on one to three operands. */
export function addFused(g: GraphGenerator): boolean {
  const first = g.pickFloat();
  if (first === undefined) return false;
  const more = g.random.chance(0.7) ? [g.pickValue(({ type }) => type.shape.length <= first.type.shape.length)] : [];
  const operands = [...new Set([first, ...more])].filter((value) => value !== undefined);
  const { loop } = g.frame;
  let returned: readonly Value[] = [];
  const results = g.frame.block.emitFused('map', operands, (block, parameters) => {
    parameters.forEach((value, at) => g.tensors.set(value, g.tensorOf(operands[at] as Value)));
    const pool = [...parameters];
    const kinds = loop === undefined ? pointwiseKinds : pointwiseKinds.filter((kind) => smoothKinds.includes(kind));
    return g.inside({ block, pool, open: false, ...(loop === undefined ? {} : { loop }) }, () => {
      for (let step = g.random.integer(1, 5); step > 0; step--) g.addOperation(g.random.pick(kinds));
      const made = pool.slice(parameters.length);
      returned = made.length === 0 ? [parameters[0] as Value] : made.slice(-g.random.integer(1, 2));
      return returned;
    });
  });
  g.markUsed(operands);
  results.forEach((value, at) => g.tensors.set(value, g.tensorOf(returned[at] as Value)));
  g.frame.pool.push(...results);
  return true;
}

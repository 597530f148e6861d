/** The right result of a work, by the reference semantics of the graph's operations in f64. */
import { interpretFunction } from '../../ir/graph/interpret.js';
import { toHostTensor } from '../../runtime/host-array.js';
import { makeWorkData } from './work-data.js';
import { buildWorkGraph } from './work-graph.js';
import type { Work } from './works.js';

/** Takes seconds for a transformer. */
export function computeReference(work: Work): Float64Array {
  const graph = buildWorkGraph(work);
  const { inputs, weights } = makeWorkData(work, graph);
  const tensors = new Map(Object.entries(inputs).map(([name, array]) => [name, toHostTensor(array)]));
  const weight = (name: string): ReturnType<typeof toHostTensor> => {
    const source = graph.module.weights.get(name)?.source;
    const values = weights.get(source?.kind === 'tensor' ? source.tensor : name);
    if (values === undefined) throw new Error(`internal: there are no numbers for the weight ${name}`);
    return toHostTensor(values);
  };
  const options = { precision: 'f64' } as const;
  const results = interpretFunction(graph.module, graph.functionName, tensors, weight, options);
  return results.get(graph.result)!.data;
}

/** ‖result − reference‖ / ‖reference‖; infinite for a result of another size or with numbers that are none. */
export function relativeError(result: Float32Array, reference: Float64Array): number {
  if (result.length !== reference.length) return Infinity;
  let difference = 0;
  let size = 0;
  for (let at = 0; at < reference.length; at++) {
    difference += (result[at]! - reference[at]!) ** 2;
    size += reference[at]! ** 2;
  }
  const error = Math.sqrt(difference / size);
  return Number.isNaN(error) ? Infinity : error;
}

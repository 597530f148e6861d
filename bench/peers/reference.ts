/**
 * The right result of a work in f64: all of it by the reference semantics of the graph's operations, of large ones some
 * numbers (sampled-reference.ts). For large transformers, where all numbers depend on all, flux2c on WebAssembly in f32.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { interpretFunction } from '../../ir/graph/interpret.js';
import { toHostTensor } from '../../runtime/host-array.js';
import { referee } from './contestants.js';
import type { Numbers } from './numbers.js';
import { type Reference, sampleReference } from './sampled-reference.js';
import { StackProcess } from './stack-process.js';
import { makeWorkData } from './work-data.js';
import { buildWorkGraph } from './work-graph.js';
import { countFlop, type Work } from './works.js';

/** More operations take the interpreter minutes. */
const mostInterpretedFlop = 8e9;

/**
 * @param folder for a result of another process
 * @throws ContestantFailure that process fails
 */
export async function findReference(work: Work, numbers: Numbers, folder: string): Promise<Reference> {
  if (countFlop(work) <= mostInterpretedFlop) return computeReference(work, numbers);
  if (work.kind === 'transformer') return askReferee(work, numbers, folder);
  return sampleReference(work, makeWorkData(work, buildWorkGraph(work), { numbers }));
}

/** Takes seconds for a transformer. */
export function computeReference(work: Work, numbers: Numbers = 'f32'): Reference {
  const graph = buildWorkGraph(work);
  const { inputs, weights } = makeWorkData(work, graph, { numbers });
  const tensors = new Map(Object.entries(inputs).map(([name, array]) => [name, toHostTensor(array)]));
  const weight = (name: string): ReturnType<typeof toHostTensor> => {
    const source = graph.module.weights.get(name)?.source;
    const values = weights.get(source?.kind === 'tensor' ? source.tensor : name);
    if (values === undefined) throw new Error(`internal: there are no numbers for the weight ${name}`);
    return toHostTensor(values);
  };
  const options = { precision: 'f64' } as const;
  const results = interpretFunction(graph.module, graph.functionName, tensors, weight, options);
  const values = results.get(graph.result)!.data;
  return { length: values.length, values };
}

/** In a process of its own, so that its gigabytes are gone before others are measured. */
async function askReferee(work: Work, numbers: Numbers, folder: string): Promise<Reference> {
  const process = StackProcess.start();
  const file = join(folder, 'reference');
  try {
    await process.ask<'prepare'>({ ask: 'prepare', contestant: referee.id, adapter: '', work, numbers });
    await process.ask<'check'>({ ask: 'check', file });
    const values = new Float64Array(await readResult(file));
    return { length: values.length, values };
  } finally {
    await process.end();
  }
}

/** What `check` wrote: f32. */
export async function readResult(file: string): Promise<Float32Array> {
  const bytes = await readFile(file);
  const { buffer, byteOffset, byteLength } = alignedBytes(bytes);
  return new Float32Array(buffer, byteOffset, byteLength / 4);
}

/** Small files come in a pool of Node.js, where numbers may not be aligned. */
function alignedBytes(bytes: Buffer): Uint8Array {
  return bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
}

/**
 * ‖result − reference‖ / ‖reference‖ over the numbers that the reference has; infinite for a result of another size or with
 * numbers anywhere that are none.
 */
export function relativeError(result: Float32Array, { length, positions, values }: Reference): number {
  if (result.length !== length || !areFinite(result)) return Infinity;
  let difference = 0;
  let size = 0;
  for (let at = 0; at < values.length; at++) {
    const expected = values[at]!;
    difference += (result[positions === undefined ? at : positions[at]!]! - expected) ** 2;
    size += expected ** 2;
  }
  const error = Math.sqrt(difference / size);
  return Number.isNaN(error) ? Infinity : error;
}

function areFinite(values: Float32Array): boolean {
  for (let at = 0; at < values.length; at++) if (!Number.isFinite(values[at])) return false;
  return true;
}

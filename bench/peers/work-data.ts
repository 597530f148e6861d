/** Inputs and weights: random, the same in every process, small enough that activations stay near 1. */
import { imagePositionIds, textPositionIds } from '../../models/flux2/position-ids.js';
import { type HostArray, tensor } from '../../runtime/index.js';
import { decodeHalves, encodeHalves } from './half-floats.js';
import type { Numbers } from './numbers.js';
import type { WorkGraph } from './work-graph.js';
import { configOf } from './work-graph.js';
import { timestepChannels, type TransformerWork, type Work } from './works.js';

export interface WorkData {
  readonly inputs: Readonly<Record<string, HostArray>>;
  /** By the names of a checkpoint's tensors: f32 numbers, or bits of f16 where weights are stored so. */
  readonly weights: ReadonlyMap<string, HostArray>;
}

export interface WorkDataOptions {
  /** What all numbers are, exactly. Default f32. */
  readonly numbers?: Numbers;
  /** What weights are given in; f16 only for numbers of f16. Default f32. */
  readonly storage?: Numbers;
}

const time = 0.7;

/**
 * From here on a tensor's numbers repeat: making gigabytes of them one by one takes too long. A prime, so that rows of a
 * matrix differ.
 */
export const period = 2 ** 22 - 3;

/** Numbers for the inputs and weights of a work's graph. */
export function makeWorkData(
  work: Work,
  { module, functionName }: WorkGraph,
  { numbers = 'f32', storage = 'f32' }: WorkDataOptions = {},
): WorkData {
  const next = generator(20_261_126);
  const weights = new Map<string, HostArray>();
  for (const { name, type, source } of module.weights.values()) {
    const shape = type.shape.map((dim) => dim.evaluate({}));
    const isScale = shape.length === 1;
    // A row's products add up to a number near 1; scales of norms are near 1 themselves.
    const inputs = shape.slice(1).reduce((product, size) => product * size, 1);
    const range = isScale ? 0.2 : Math.sqrt(3 / inputs);
    const values = randomTensor(shape, { numbers, storage }, () => (isScale ? 1 : 0) + range * next());
    weights.set(source.kind === 'tensor' ? source.tensor : name, values);
  }
  const random = (shape: readonly number[]): HostArray =>
    randomTensor(shape, { numbers, storage: 'f32' }, () => Math.sqrt(3) * next());
  if (work.kind === 'transformer') return { inputs: transformerInputs(work, random), weights };
  const parameters = module.functions.get(functionName)?.body.parameters ?? [];
  const inputs = parameters.map(({ name, type }) => [name, random(type.shape.map((dim) => dim.evaluate({})))] as const);
  return { inputs: Object.fromEntries(inputs), weights };
}

function transformerInputs(
  work: TransformerWork,
  random: (shape: readonly number[]) => HostArray,
): Record<string, HostArray> {
  const { imageTokens, textTokens } = work;
  const { inChannels, textWidth } = configOf(work);
  return {
    hidden_states: random([1, imageTokens, inChannels]),
    encoder_hidden_states: random([1, textTokens, textWidth]),
    timestep: tensor('f32', [1], [time]),
    img_ids: tensor('i32', [imageTokens, 4], imageIds(imageTokens)),
    txt_ids: tensor('i32', [textTokens, 4], textPositionIds(textTokens)),
  };
}

/** Positions on the grid of these many tokens that is nearest to a square. */
function imageIds(tokens: number): Int32Array {
  let height = Math.floor(Math.sqrt(tokens));
  while (tokens % height !== 0) height--;
  return imagePositionIds(height, tokens / height);
}

/** What flux2c computes on the host beforehand, for stacks whose programs start after it. */
export interface TransformerTables {
  /** [1, timestepChannels]: cosines, then sines, of the time in thousandths. */
  readonly wave: Float32Array;
  /** [text + image tokens, headDim / 2]. */
  readonly cos: Float32Array;
  readonly sin: Float32Array;
}

/**
 * Angles of positions are id·theta^(-2j/axis), those of the time 1000·t·exp(-ln(10000)·i/half). Diffusers computes the
 * latter in f32, which moves their cosines by 1e-5: the network's input is defined so.
 */
export function makeTransformerTables(work: TransformerWork): TransformerTables {
  const { fround } = Math;
  const half = timestepChannels / 2;
  const scaled = fround(1000 * fround(time));
  const slope = fround(-Math.log(10_000));
  const angles = Float64Array.from({ length: half }, (_, i) =>
    fround(scaled * fround(Math.exp(fround(fround(slope * i) / half)))),
  );
  const { ropeAxes, ropeTheta, headDim } = configOf(work);
  const tokens = work.textTokens + work.imageTokens;
  const ids = new Int32Array(tokens * 4);
  ids.set(textPositionIds(work.textTokens));
  ids.set(imageIds(work.imageTokens), work.textTokens * 4);
  const turns = new Float64Array((tokens * headDim) / 2);
  let at = 0;
  for (let token = 0; token < tokens; token++) {
    for (const [axis, size] of ropeAxes.entries()) {
      for (let pair = 0; pair < size / 2; pair++) {
        turns[at++] = ids[token * 4 + axis]! * ropeTheta ** ((-2 * pair) / size);
      }
    }
  }
  return {
    wave: Float32Array.from([...angles.map(Math.cos), ...angles.map(Math.sin)]),
    cos: Float32Array.from(turns, Math.cos),
    sin: Float32Array.from(turns, Math.sin),
  };
}

function randomTensor(
  shape: readonly number[],
  { numbers, storage }: Required<WorkDataOptions>,
  value: () => number,
): HostArray {
  const count = shape.reduce((product, size) => product * size, 1);
  const block = new Float32Array(Math.min(count, period));
  for (let at = 0; at < block.length; at++) block[at] = value();
  if (numbers === 'f32') return tensor('f32', shape, repeat(block, new Float32Array(count)));
  const halves = encodeHalves(block);
  if (storage === 'f16') return tensor('f16', shape, repeat(halves, new Uint16Array(count)));
  return tensor('f32', shape, repeat(decodeHalves(halves), new Float32Array(count)));
}

function repeat<A extends Float32Array | Uint16Array>(block: A, whole: A): A {
  if (block.length === whole.length) return block;
  whole.set(block);
  for (let filled = block.length; filled < whole.length; filled *= 2) {
    whole.copyWithin(filled, 0, Math.min(filled, whole.length - filled));
  }
  return whole;
}

/** Uniform in -1..1: the upper bits of a linear congruential generator modulo 2³², which is quick. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state >>> 8) / 2 ** 23 - 1;
  };
}

/** Some numbers of a large work's result in f64, directly from what the work is: the same in every run. */
import type { WorkData } from './work-data.js';
import type { AttentionWork, ConvolutionWork, ProductWork, Work } from './works.js';

export interface Reference {
  /** Numbers of the whole result. */
  readonly length: number;
  /** Where `values` are in it; absent where they are all. */
  readonly positions?: Uint32Array;
  readonly values: Float64Array;
}

const sampledRows = 48;
const sampledColumns = 384;
/** Of every head. */
const sampledQueries = 8;
/** Along each side; with all channels. */
const sampledPixels = 10;

/** `data` has weights in f32. */
export function sampleReference(work: Exclude<Work, { readonly kind: 'transformer' }>, data: WorkData): Reference {
  const input = (name: string): Float32Array => data.inputs[name]!.data as Float32Array;
  const weight = (): Float32Array => data.weights.get('weight')!.data as Float32Array;
  switch (work.kind) {
    case 'product':
      return sampleProduct(work, input('x'), weight());
    case 'attention':
      return sampleAttention(work, input('q'), input('k'), input('v'));
    case 'convolution':
      return sampleConvolution(work, input('x'), weight());
  }
}

class Samples {
  private readonly positions: number[] = [];
  private readonly values: number[] = [];

  add(position: number, value: number): void {
    this.positions.push(position);
    this.values.push(value);
  }

  of(length: number): Reference {
    return { length, positions: Uint32Array.from(this.positions), values: Float64Array.from(this.values) };
  }
}

/** Rows by columns. */
function sampleProduct({ m, k, n }: ProductWork, x: Float32Array, weight: Float32Array): Reference {
  const samples = new Samples();
  for (const row of spread(m, sampledRows)) {
    for (const column of spread(n, sampledColumns)) {
      samples.add(row * n + column, dot(x, row * k, weight, column * k, k));
    }
  }
  return samples.of(m * n);
}

/** Whole rows of the result: queries over all keys. */
function sampleAttention(
  { heads, tokens, headDim }: AttentionWork,
  q: Float32Array,
  k: Float32Array,
  v: Float32Array,
): Reference {
  const samples = new Samples();
  for (let head = 0; head < heads; head++) {
    const first = head * tokens;
    for (const query of spread(tokens, sampledQueries)) {
      const scores = Float64Array.from(
        { length: tokens },
        (_, key) => dot(q, (first + query) * headDim, k, (first + key) * headDim, headDim) / Math.sqrt(headDim),
      );
      const most = scores.reduce((a, b) => Math.max(a, b));
      const shares = scores.map((score) => Math.exp(score - most));
      const whole = shares.reduce((a, b) => a + b);
      for (let channel = 0; channel < headDim; channel++) {
        let sum = 0;
        for (let key = 0; key < tokens; key++) sum += shares[key]! * v[(first + key) * headDim + channel]!;
        samples.add((first + query) * headDim + channel, sum / whole);
      }
    }
  }
  return samples.of(heads * tokens * headDim);
}

/** All channels of pixels on a grid, corners and edges among them. */
function sampleConvolution(
  { inputs, outputs, side }: ConvolutionWork,
  x: Float32Array,
  weight: Float32Array,
): Reference {
  const samples = new Samples();
  for (const row of spread(side, sampledPixels)) {
    for (const column of spread(side, sampledPixels)) {
      for (let output = 0; output < outputs; output++) {
        let sum = 0;
        for (let tap = 0; tap < 9; tap++) {
          const [y, z] = [row + Math.floor(tap / 3) - 1, column + (tap % 3) - 1];
          if (y < 0 || y >= side || z < 0 || z >= side) continue;
          sum += dot(x, (y * side + z) * inputs, weight, (output * 9 + tap) * inputs, inputs);
        }
        samples.add((row * side + column) * outputs + output, sum);
      }
    }
  }
  return samples.of(side * side * outputs);
}

/** At most `wanted` of `count` places, first and last among them, at distances that fit no tile. */
export function spread(count: number, wanted: number): readonly number[] {
  if (count <= wanted) return Array.from({ length: count }, (_, at) => at);
  const between = Array.from({ length: wanted - 2 }, (_, at) => {
    // Within a part of its own, by a sequence that is uniform there (multiples of the golden ratio).
    const share = (at * 0.618_033_988_75) % 1;
    return 1 + Math.floor(((at + share) * (count - 2)) / (wanted - 2));
  });
  // Two parts may share the place that lies in both.
  return [...new Set([0, ...between, count - 1])];
}

function dot(a: Float32Array, aStart: number, b: Float32Array, bStart: number, length: number): number {
  let sum = 0;
  for (let at = 0; at < length; at++) sum += a[aStart + at]! * b[bStart + at]!;
  return sum;
}

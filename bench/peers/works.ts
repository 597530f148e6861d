/** What is measured: shapes of kernels and of a transformer, as the command line writes them. */
import { Flux2cError } from '../../ir/diagnostics.js';

/** x[m, k] times a weight [k, n]. */
export interface ProductWork {
  readonly kind: 'product';
  readonly m: number;
  readonly k: number;
  readonly n: number;
}

/** Self-attention without a mask. */
export interface AttentionWork {
  readonly kind: 'attention';
  readonly heads: number;
  readonly tokens: number;
  readonly headDim: number;
}

/** A square picture, a 3x3 kernel, zeros around it. */
export interface ConvolutionWork {
  readonly kind: 'convolution';
  readonly inputs: number;
  readonly outputs: number;
  /** Pixels along each side. */
  readonly side: number;
}

/** A FLUX.2 transformer of its own configuration, once through, for one picture. */
export interface TransformerWork {
  readonly kind: 'transformer';
  readonly heads: number;
  readonly headDim: number;
  readonly doubleBlocks: number;
  readonly singleBlocks: number;
  readonly imageTokens: number;
  readonly textTokens: number;
}

export type Work = ProductWork | AttentionWork | ConvolutionWork | TransformerWork;
export type WorkKind = Work['kind'];

/** Columns of a SwiGLU half are this many times the hidden size, as in every released model. */
export const mlpRatio = 3;
/** Channels of a latent token, as in every released model. */
export const latentChannels = 128;
/** Size of the time sinusoid. */
export const timestepChannels = 256;

interface Notation {
  readonly pattern: RegExp;
  /** What the numbers are, in the order of the pattern's groups. */
  readonly example: string;
  readonly read: (numbers: readonly number[]) => Work;
}

const notations: Readonly<Record<WorkKind, Notation>> = {
  product: {
    pattern: /^(\d+)x(\d+)x(\d+)$/,
    example: 'MxKxN, such as 512x512x512',
    read: ([m = 0, k = 0, n = 0]) => ({ kind: 'product', m, k, n }),
  },
  attention: {
    pattern: /^(\d+)x(\d+)x(\d+)$/,
    example: 'HEADSxTOKENSxHEADSIZE, such as 4x512x64',
    read: ([heads = 0, tokens = 0, headDim = 0]) => ({ kind: 'attention', heads, tokens, headDim }),
  },
  convolution: {
    pattern: /^(\d+)x(\d+)@(\d+)$/,
    example: 'INPUTSxOUTPUTS@SIDE, such as 32x32@128',
    read: ([inputs = 0, outputs = 0, side = 0]) => ({ kind: 'convolution', inputs, outputs, side }),
  },
  transformer: {
    pattern: /^(\d+)x(\d+),(\d+)\+(\d+),(\d+)\+(\d+)$/,
    example: 'HEADSxHEADSIZE,DOUBLE+SINGLE,IMAGE+TEXT, such as 4x64,2+6,256+64',
    read: ([heads = 0, headDim = 0, doubleBlocks = 0, singleBlocks = 0, imageTokens = 0, textTokens = 0]) => ({
      kind: 'transformer',
      heads,
      headDim,
      doubleBlocks,
      singleBlocks,
      imageTokens,
      textTokens,
    }),
  },
};

export const workKinds = Object.keys(notations) as readonly WorkKind[];

/** How a kind's shapes are written. */
export function notationOf(kind: WorkKind): string {
  return notations[kind].example;
}

/** Reads the shape of `--product`, `--attention`, ... F2C702 for other text and for sizes of 0. */
export function parseWork(kind: WorkKind, text: string): Work {
  const { pattern, example, read } = notations[kind];
  const numbers = pattern.exec(text)?.slice(1).map(Number);
  if (numbers === undefined || numbers.some((number) => number === 0)) {
    throw new Flux2cError('F2C702', `the value of --${kind} is no shape`, {
      where: [`--${kind}`],
      expected: example,
      found: text,
    });
  }
  const work = read(numbers);
  if (work.kind === 'transformer' && work.headDim % 8 !== 0) {
    throw new Flux2cError('F2C702', 'four rotary axes of pairs share a head', {
      where: [`--${kind}`],
      expected: 'a head size that is a multiple of 8',
      found: `${work.headDim}`,
    });
  }
  return work;
}

/** The shape as `parseWork` reads it. */
export function printShape(work: Work): string {
  switch (work.kind) {
    case 'product':
      return `${work.m}x${work.k}x${work.n}`;
    case 'attention':
      return `${work.heads}x${work.tokens}x${work.headDim}`;
    case 'convolution':
      return `${work.inputs}x${work.outputs}@${work.side}`;
    case 'transformer':
      return `${work.heads}x${work.headDim},${work.doubleBlocks}+${work.singleBlocks},${work.imageTokens}+${work.textTokens}`;
  }
}

/** `product 512x512x512`. */
export function printWork(work: Work): string {
  return `${work.kind} ${printShape(work)}`;
}

/** An adapter's name, or the processor. */
export function printPlace(place: string): string {
  return place === 'processor' ? 'the processor' : place;
}

/** What issue after issue is measured on. */
export const standardWorks: readonly Work[] = [
  parseWork('product', '512x512x512'),
  parseWork('product', '1024x1024x1024'),
  parseWork('product', '576x768x4608'),
  parseWork('attention', '4x512x64'),
  parseWork('convolution', '32x32@128'),
  parseWork('transformer', '4x64,2+6,256+64'),
];

/** Multiplications and additions of products, attention and convolutions; nothing else counts. */
export function countFlop(work: Work): number {
  switch (work.kind) {
    case 'product':
      return 2 * work.m * work.k * work.n;
    case 'attention':
      return 4 * work.heads * work.tokens ** 2 * work.headDim;
    case 'convolution':
      return 2 * 9 * work.inputs * work.outputs * work.side ** 2;
    case 'transformer':
      return countTransformerFlop(work);
  }
}

function countTransformerFlop(work: TransformerWork): number {
  const { heads, headDim, doubleBlocks, singleBlocks, imageTokens, textTokens } = work;
  const hidden = heads * headDim;
  const tokens = imageTokens + textTokens;
  const attention = 4 * tokens ** 2 * hidden;
  // Query, key, value and output; gate, up and down.
  const layers = (4 + 3 * mlpRatio) * hidden ** 2;
  const block = 2 * tokens * layers + attention;
  const ends = 2 * (2 * imageTokens * latentChannels + textTokens * hidden) * hidden;
  const modulations = 2 * (timestepChannels + hidden + (6 + 6 + 3 + 2) * hidden) * hidden;
  return (doubleBlocks + singleBlocks) * block + ends + modulations;
}

/** What is varied to see how costs grow: sizes of a request, and of the network. */
import type { DimBinding } from '../ir/dim.js';
import type { TransformerConfig } from '../models/flux2/config.js';

export interface GrowthVariable {
  readonly name: string;
  readonly values: readonly number[];
  /** The power with which the work of a step may grow: attention is quadratic in tokens of any kind. */
  readonly degree: 1 | 2;
  /** Sizes of `denoise` for a value. */
  readonly sizes: (value: number) => DimBinding;
  /** The network for a value, where it is the network that grows. */
  readonly network?: (value: number, config: TransformerConfig) => TransformerConfig;
}

/** Tokens of a picture and of a reference where something else is varied: the embedded checkpoint's 128 x 128 pixels. */
const imageTokens = 64;
const textTokens = 32;

/** @param largest tokens of the largest picture */
export function growthVariables(largest: number): readonly GrowthVariable[] {
  const base = { batch: 1, img: imageTokens, txt: textTokens, ref: 0, steps: 2 };
  return [
    {
      name: 'image tokens',
      values: doublings(64, largest),
      degree: 2,
      sizes: (img) => ({ ...base, img }),
    },
    {
      name: 'text tokens',
      values: doublings(16, Math.min(largest, 1024)),
      degree: 2,
      sizes: (txt) => ({ ...base, txt }),
    },
    {
      name: 'reference pictures',
      values: [1, 2, 4, 8],
      degree: 2,
      sizes: (count) => ({ ...base, ref: count * imageTokens }),
    },
    {
      name: 'blocks',
      values: [8, 16, 32, 64],
      degree: 1,
      sizes: () => base,
      // A quarter of them with two streams, as in the checkpoint.
      network: (blocks, config) => ({ ...config, doubleBlocks: blocks / 4, singleBlocks: (3 * blocks) / 4 }),
    },
  ];
}

function doublings(first: number, last: number): readonly number[] {
  const values: number[] = [];
  for (let value = first; value <= last; value *= 2) values.push(value);
  return values;
}

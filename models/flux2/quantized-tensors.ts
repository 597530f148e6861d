import { requireEncodable } from '../../ir/encode-rows.js';
import { fitsEncoding, parseEncoding } from '../../ir/encoding.js';
import type { Module } from '../../ir/graph/graph.js';
import type { EncodingOf, MayQuantize } from '../../passes/compile.js';
import { collectExpectedWeights } from './expected-weights.js';
import type { Component } from './weights.js';

/**
 * With operands in fp8: the projections inside of the transformer's and the text encoder's blocks, where nearly all of the work and of
 * the weights are, and what they add to a residual stream that stays f32. Not the embedders, the modulation and the final layer: they
 * are little work, and an error there is in every block or in the velocity itself. Attention multiplies no weights, and the
 * autoencoder, whose errors are in the picture, is convolutions but for one attention.
 */
export const mayQuantize: MayQuantize = (tensor) =>
  /^(?:transformer_blocks|single_transformer_blocks|model\.layers)\.\d+\./.test(tensor);

/** Weights that are encoded when they are loaded, if they are not stored encoded already. */
export interface QuantizeOptions {
  /** `int8`, `int4:64`: what `encodeRows` makes. */
  readonly encoding: string;
  /** Patterns of tensors that stay as they are, with `*` for any characters: `transformer_blocks.0.*`, `text_encoder.*`. */
  readonly keep: readonly string[];
}

/** The weights of a network: their shapes, and how they are stored. */
export interface EncodableWeights {
  readonly table: Pick<ReadonlyMap<string, { readonly shape: readonly number[] }>, 'get'>;
  readonly encodingOf: EncodingOf;
}

/**
 * Patterns of `keep` that no weight of the networks has: a typing error rather than a wish.
 *
 * @param tables tensors by the network that they are of
 */
export function findIdlePatterns(
  keep: readonly string[],
  tables: ReadonlyMap<Component, ReadonlyMap<string, unknown>>,
): readonly string[] {
  return keep.filter((text) => {
    const pattern = patternOf(text);
    return ![...tables].some(([component, table]) => [...table.keys()].some((tensor) => pattern.test(tensor) || pattern.test(`${component}.${tensor}`))); // prettier-ignore
  });
}

/**
 * How the weights of a network are held: as they are stored, but those that `options` name encoded. These are the matrices that
 * `mayQuantize` allows, whose rows fit the encoding.
 *
 * @throws Flux2cError F2C180 for no encoding, F2C172 for one that only files bring
 */
export function chooseEncodings(
  component: Component,
  { table, encodingOf }: EncodableWeights,
  options: QuantizeOptions | undefined,
): EncodingOf {
  if (options === undefined) return encodingOf;
  const encoding = parseEncoding(options.encoding);
  requireEncodable(encoding);
  const patterns = options.keep.map(patternOf);
  return (tensor) => {
    const { shape = [] } = table.get(tensor) ?? {};
    const isKept = patterns.some((pattern) => pattern.test(tensor) || pattern.test(`${component}.${tensor}`));
    const isMatrix = shape.length === 2 && fitsEncoding(encoding, shape[1]!);
    return encodingOf(tensor) ?? (mayQuantize(tensor) && isMatrix && !isKept ? encoding.text : undefined);
  };
}

/** As `chooseEncodings`, for a network of which there is only a module: its tensors are those that the module asks for. */
export function chooseEncodingsOfModule(
  component: Component,
  module: Module,
  options: QuantizeOptions | undefined,
): EncodingOf {
  const table = new Map([...collectExpectedWeights(module, component)].map(([tensor, shape]) => [tensor, { shape }]));
  return chooseEncodings(component, { table, encodingOf: () => undefined }, options);
}

function patternOf(text: string): RegExp {
  const parts = text.split('*').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`);
}

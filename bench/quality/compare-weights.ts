/** Weights of two models, number by number, a piece of each in memory at a time. */
import type { HeldWeight } from '../../models/flux2/held-weights.js';
import type { Flux2Model } from '../../models/flux2/networks.js';
import type { ReportProgress } from '../../models/flux2/progress.js';
import type { Component } from '../../models/flux2/weights.js';
import { countElements } from '../../ir/host-tensor.js';
import { RelativeError } from './errors.js';
import { requireAlike } from './require-alike.js';
import type { WeightGroup, WeightQuality, WeightsQuality } from './result.js';

const components: readonly Component[] = ['transformer', 'text_encoder', 'vae'];

interface Pair {
  readonly component: Component;
  readonly original: HeldWeight;
  readonly other: HeldWeight;
}

interface Compared {
  readonly pair: Pair;
  readonly error: RelativeError;
}

/**
 * Compares all weights of two models, with `onlyEncoded` those that the other model holds encoded: where it has the same files,
 * the others are the same. Null where one of them does not give its weights.
 *
 * @throws Flux2cError F2C715 for weights that the original has not, or in another shape
 */
export async function compareWeights(
  original: Flux2Model,
  other: Flux2Model,
  onlyEncoded: boolean,
  report: ReportProgress,
  signal: AbortSignal | undefined,
): Promise<WeightsQuality | null> {
  if (original.listWeights === undefined || other.listWeights === undefined) return null;
  const pairs: Pair[] = [];
  for (const component of components) {
    const originals = new Map(original.listWeights(component).map((weight) => [weight.name, weight]));
    for (const weight of other.listWeights(component)) {
      const match = originals.get(weight.name);
      const shapeOf = (one: HeldWeight | undefined): string => (one ? `[${one.shape.join(', ')}]` : 'no such weight');
      requireAlike(`${component}.${weight.name}`, shapeOf(match), shapeOf(weight));
      pairs.push({ component, original: match!, other: weight });
    }
  }
  const chosen = pairs.filter((pair) => !onlyEncoded || pair.other.encoding !== undefined);
  const compared: Compared[] = [];
  for (const pair of chosen) {
    report({ stage: 'compare', step: compared.length, of: chosen.length, secondsLeft: undefined });
    compared.push({ pair, error: await compareNumbers(pair, signal) });
  }
  report({ stage: 'compare', step: chosen.length, of: chosen.length, secondsLeft: undefined });
  const sum = (bytesOf: (pair: Pair) => number): number => pairs.reduce((total, pair) => total + bytesOf(pair), 0);
  return {
    each: compared.map(describeWeight),
    byBlock: groupBy(compared, ({ component, block }) => `${component} ${block}`),
    byKind: groupBy(compared, ({ component, kind }) => `${component} ${kind}`),
    compared: describeGroup('all', compared),
    originalBytes: sum((pair) => pair.original.bytes),
    otherBytes: sum((pair) => pair.other.bytes),
  };
}

async function compareNumbers({ original, other }: Pair, signal: AbortSignal | undefined): Promise<RelativeError> {
  const error = new RelativeError();
  const others = other.read()[Symbol.asyncIterator]();
  for await (const values of original.read()) {
    signal?.throwIfAborted();
    const next = await others.next();
    error.add(values, next.done === true ? new Float32Array() : next.value);
  }
  return error;
}

interface Place {
  readonly component: Component;
  readonly block: string;
  readonly kind: string;
}

const blockFamilies: Readonly<Record<string, string>> = {
  transformer_blocks: 'double',
  single_transformer_blocks: 'single',
  'model.layers': 'layer',
};

/** `transformer_blocks.2.attn.to_q.weight` is of block `double.2` and of the kind `double attn.to_q`. */
function placeOf({ component, other: { name } }: Pair): Place {
  const found = /^(transformer_blocks|single_transformer_blocks|model\.layers)\.(\d+)\.(.+?)(?:\.weight)?$/.exec(name);
  if (found === null) return { component, block: 'others', kind: 'others' };
  const [, group, index, layer] = found;
  const family = blockFamilies[group!]!;
  return { component, block: `${family}.${index}`, kind: `${family} ${layer}` };
}

function groupBy(compared: readonly Compared[], nameOf: (place: Place) => string): readonly WeightGroup[] {
  const groups = new Map<string, Compared[]>();
  for (const one of compared) {
    const name = nameOf(placeOf(one.pair));
    groups.set(name, [...(groups.get(name) ?? []), one]);
  }
  return [...groups].map(([name, members]) => describeGroup(name, members)).sort((a, b) => byNumber(a.name, b.name));
}

/** `double.2` before `double.10`. */
function byNumber(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}

function describeWeight({ pair: { component, original, other }, error }: Compared): WeightQuality {
  return {
    component,
    name: other.name,
    shape: other.shape,
    encoding: other.encoding ?? null,
    originalBytes: original.bytes,
    otherBytes: other.bytes,
    relativeL2: error.value,
  };
}

function describeGroup(name: string, members: readonly Compared[]): WeightGroup {
  const sum = (countOf: (pair: Pair) => number): number =>
    members.reduce((total, { pair }) => total + countOf(pair), 0);
  const numbers = sum(({ other }) => countElements(other.shape));
  const otherBytes = sum(({ other }) => other.bytes);
  return {
    name,
    weights: members.length,
    numbers,
    originalBytes: sum(({ original }) => original.bytes),
    otherBytes,
    bitsPerWeight: numbers === 0 ? 0 : (8 * otherBytes) / numbers,
    relativeL2: members.reduce((all, { error }) => all.join(error), new RelativeError()).value,
  };
}

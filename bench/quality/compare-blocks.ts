/** Residual streams of two transformers that are given the same inputs, one transformer after the other. */
import type { TransformerConfig } from '../../models/flux2/config.js';
import type { Flux2Model, NetworkTensor } from '../../models/flux2/networks.js';
import type { ReportProgress } from '../../models/flux2/progress.js';
import { blockNames, type StreamName, streamNames, streamResult } from '../../models/flux2/residual-streams.js';
import { RelativeError } from './errors.js';
import type { BlockQuality } from './result.js';

/** One pass of the transformer. */
export interface TransformerPass {
  /** Of the denoising steps, from 0. */
  readonly step: number;
  /** Of `addTransformer`. */
  readonly inputs: Readonly<Record<string, NetworkTensor>>;
}

/** Limits of what is held at a time. */
export interface StreamLimits {
  /** Of results on the device: where all blocks' streams are more, the pass is made several times, each for some blocks. */
  readonly deviceBytes: number;
  /** Of the original's streams in host memory: where they are more, evenly spaced tokens stand for all. */
  readonly hostBytes: number;
}

export const defaultLimits: StreamLimits = { deviceBytes: 2 ** 31, hostBytes: 2 ** 28 };

/** Streams of some model, by step and result. */
export type KeptStreams = ReadonlyMap<string, Float32Array>;

interface StreamValues {
  readonly step: number;
  readonly block: string;
  readonly stream: StreamName;
  /** [tokens, width], of some tokens. */
  readonly values: Float32Array;
}

/** The block that the velocity is said to be of. */
const VELOCITY = 'velocity';

/** Whether a model shows its streams: those whose functions were made beforehand do not. */
export function showsStreams({ openResidualStreams, description }: Flux2Model): boolean {
  return openResidualStreams !== undefined && description.transformer !== undefined;
}

/** The streams of the original, which `showsStreams`, to compare another model's with. Errors as `Flux2Model.open`. */
export async function keepStreams(
  model: Flux2Model,
  passes: readonly TransformerPass[],
  limits: StreamLimits,
  report: ReportProgress,
  signal: AbortSignal | undefined,
): Promise<KeptStreams> {
  const kept = new Map<string, Float32Array>();
  const keep = (one: StreamValues): void => void kept.set(keyOf(one), one.values);
  await readStreams(model, passes, limits, keep, report, signal);
  return kept;
}

/** How far another model's streams are from the original's. Errors as `Flux2Model.open`. */
export async function compareStreams(
  model: Flux2Model,
  passes: readonly TransformerPass[],
  original: KeptStreams,
  limits: StreamLimits,
  report: ReportProgress,
  signal: AbortSignal | undefined,
): Promise<readonly BlockQuality[]> {
  const blocks: BlockQuality[] = [];
  const compare = (one: StreamValues): void => {
    const { step, block, stream, values } = one;
    const relativeL2 = new RelativeError().add(original.get(keyOf(one))!, values).value;
    blocks.push({ step, block, stream, relativeL2 });
  };
  await readStreams(model, passes, limits, compare, report, signal);
  // A group of blocks is run for all passes: steps first is the order of the result.
  return blocks.map((one, at) => ({ one, at })).sort((a, b) => a.one.step - b.one.step || a.at - b.at).map(({ one }) => one); // prettier-ignore
}

function keyOf({ step, block, stream }: Omit<StreamValues, 'values'>): string {
  return `${step} ${block} ${stream}`;
}

async function readStreams(
  model: Flux2Model,
  passes: readonly TransformerPass[],
  limits: StreamLimits,
  take: (one: StreamValues) => void,
  report: ReportProgress,
  signal: AbortSignal | undefined,
): Promise<void> {
  const transformer = model.description.transformer!;
  const groups = groupBlocks(transformer, passes[0]!, limits.deviceBytes);
  const tokensKept = countKeptTokens(transformer, passes.length, limits.hostBytes);
  let done = 0;
  for (const [at, blocks] of groups.entries()) {
    const isLast = at === groups.length - 1;
    const network = await model.openResidualStreams!(blocks, isLast, report, signal);
    try {
      for (const { step, inputs } of passes) {
        signal?.throwIfAborted();
        report({ stage: 'blocks', step: done, of: groups.length * passes.length, secondsLeft: undefined });
        const results = await network.run(inputs, signal && { signal });
        for (const block of blocks) {
          for (const stream of streamNames) {
            const values = takeTokens(results[streamResult(block, stream)]!, tokensKept);
            take({ step, block, stream, values });
          }
        }
        if (isLast)
          take({ step, block: VELOCITY, stream: 'image', values: takeTokens(results['sample']!, tokensKept) });
        done++;
      }
    } finally {
      await network.destroy();
    }
  }
  report({ stage: 'blocks', step: done, of: done, secondsLeft: undefined });
}

/** Blocks in order, as many at a time as have streams of at most so many bytes together; at least one. */
export function groupBlocks(
  transformer: TransformerConfig,
  { inputs }: TransformerPass,
  deviceBytes: number,
): readonly (readonly string[])[] {
  const tokens = inputs['hidden_states']!.shape[1]! + inputs['encoder_hidden_states']!.shape[1]!;
  const bytesOfBlock = tokens * transformer.hidden * Float32Array.BYTES_PER_ELEMENT;
  const size = Math.max(1, Math.floor(deviceBytes / bytesOfBlock));
  const names = blockNames(transformer);
  return Array.from({ length: Math.ceil(names.length / size) }, (_, at) => names.slice(at * size, (at + 1) * size));
}

function countKeptTokens(transformer: TransformerConfig, passes: number, hostBytes: number): number {
  const streams = streamNames.length * blockNames(transformer).length * passes;
  return Math.max(1, Math.floor(hostBytes / (streams * transformer.hidden * Float32Array.BYTES_PER_ELEMENT)));
}

/** At most so many tokens of [1, tokens, width], evenly spaced: how far streams are apart differs little between so many. */
function takeTokens({ shape, values }: NetworkTensor, most: number): Float32Array {
  const [, tokens = 0, width = 0] = shape;
  const floats = values as Float32Array;
  if (tokens <= most) return floats;
  const taken = new Float32Array(most * width);
  for (let at = 0; at < most; at++) {
    const token = Math.floor((at * tokens) / most);
    taken.set(floats.subarray(token * width, (token + 1) * width), at * width);
  }
  return taken;
}

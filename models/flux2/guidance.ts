/** What a guidance scale and a scale of classifier-free guidance mean for a model. */
import { Flux2cError } from '../../ir/diagnostics.js';
import type { TransformerConfig } from './config.js';
import type { PipelineConfig } from './pipeline-config.js';

export interface GuidanceRequest {
  /** The model's own guidance: the value of the embedding, or of classifier-free guidance on a base model. */
  readonly guidance?: number;
  /** Classifier-free guidance on any model; 1 is off. */
  readonly cfgScale?: number;
}

export interface Guidance {
  /** Input of the guidance embedding; undefined for networks without one. */
  readonly embedded: number | undefined;
  /** velocity = negative + scale * (positive - negative); undefined when the negative prompt is not run. */
  readonly cfgScale: number | undefined;
  /** What of the request has no effect, as sentences. */
  readonly notices: readonly string[];
}

/**
 * Resolves a request by the reference pipelines' rules: dev feeds the scale to its embedding; a base model takes it as
 * the scale of classifier-free guidance, which is off at 1 and below; distilled models take none. F2C660 for scales that
 * contradict each other, F2C661 for one that is no finite number of at least 0.
 */
export function resolveGuidance(
  request: GuidanceRequest,
  transformer: Pick<TransformerConfig, 'guidanceEmbeds'>,
  pipeline: Pick<PipelineConfig, 'distilled' | 'sampling'>,
): Guidance {
  const { guidance, cfgScale } = request;
  requireScale('guidance', guidance);
  requireScale('cfg-scale', cfgScale);
  const { sampling } = pipeline;
  const unlessOff = (scale: number): number | undefined => (scale === 1 ? undefined : scale);
  if (transformer.guidanceEmbeds) {
    const embedded = guidance ?? sampling.guidanceScale;
    return { embedded, cfgScale: unlessOff(cfgScale ?? sampling.cfgScale), notices: [] };
  }
  if (pipeline.distilled) {
    const notices =
      guidance === undefined || guidance === 1
        ? []
        : ['This distilled model takes no guidance scale: --guidance has no effect. --cfg-scale works on any model.'];
    return { embedded: undefined, cfgScale: unlessOff(cfgScale ?? sampling.cfgScale), notices };
  }
  if (guidance !== undefined && cfgScale !== undefined && guidance !== cfgScale) {
    throw new Flux2cError('F2C660', 'two different scales are given for the same guidance', {
      expected: '--guidance or --cfg-scale',
      found: `${guidance} and ${cfgScale}`,
      hint: 'This base model has no guidance embedding: both mean the scale of classifier-free guidance.',
    });
  }
  const scale = cfgScale ?? Math.max(1, guidance ?? sampling.guidanceScale);
  return { embedded: undefined, cfgScale: unlessOff(scale), notices: [] };
}

function requireScale(what: string, value: number | undefined): void {
  if (value === undefined || (Number.isFinite(value) && value >= 0)) return;
  throw new Flux2cError('F2C661', `the ${what} is not a scale`, {
    expected: 'a number of at least 0',
    found: String(value),
  });
}

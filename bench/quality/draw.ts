/** Prompts and pictures of one model, and what its transformer was given on the way. */
import { buildSchedule } from '../../models/flux2/schedule.js';
import { resolveGuidance } from '../../models/flux2/guidance.js';
import type { ResolvedRequest } from '../../models/flux2/generate-request.js';
import type { GivenTensor } from '../../models/flux2/initial-noise.js';
import type { Flux2Model, NetworkTensor } from '../../models/flux2/networks.js';
import type { RgbImage } from '../../models/flux2/picture.js';
import type { GenerateObserver } from '../../models/flux2/generate-observer.js';
import { Flux2Pipeline } from '../../models/flux2/pipeline.js';
import { imagePositionIds, textPositionIds } from '../../models/flux2/position-ids.js';
import type { TransformerPass } from './compare-blocks.js';

/** What both models draw. */
export interface DrawRequest {
  readonly prompts: readonly string[];
  /** Each prompt is drawn from the noise of each. */
  readonly seeds: readonly bigint[];
  readonly width?: number;
  readonly height?: number;
  readonly steps?: number;
  readonly guidance?: number;
  readonly cfgScale?: number;
}

export interface Drawn {
  readonly settings: ResolvedRequest;
  /** [1, tokens, width] of each prompt. */
  readonly prompts: readonly GivenTensor[];
  /** All seeds of the first prompt, then of the next. */
  readonly pictures: readonly RgbImage[];
  /** [tokens, channels] of each picture after the last step. */
  readonly latents: readonly Float32Array[];
  /** Of the first picture, before each step. */
  readonly firstLatents: readonly Float32Array[];
}

/** Draws all seeds of all prompts. Networks are open one at a time, and none afterwards. Errors as `Flux2Pipeline.generate`. */
export async function draw(model: Flux2Model, request: DrawRequest, observer: GenerateObserver): Promise<Drawn> {
  const pipeline = new Flux2Pipeline(model, { freeStages: true });
  try {
    const { prompts, negative } = await encode(pipeline, request, observer);
    const { seeds, prompts: texts, ...sampling } = request;
    const count = texts.length * seeds.length;
    const latents: Float32Array[] = [];
    const firstLatents: Float32Array[] = [];
    let settings: ResolvedRequest | undefined;
    const { pictures } = await pipeline.generate(
      {
        ...sampling,
        promptEmbeds: joinRows(prompts.flatMap((one) => seeds.map(() => one))),
        ...(negative && { negativePromptEmbeds: negative }),
        seeds: texts.flatMap(() => seeds),
        count,
      },
      {
        ...observer,
        onSettings: (resolved) => {
          settings = resolved;
          firstLatents.push(resolved.noise.slice(0, resolved.noise.length / count));
        },
        onLatents: (step, first, values) => {
          const { steps, batchSize } = settings!;
          const here = Math.min(batchSize, count - first);
          const size = values.length / here;
          if (first === 0 && step + 1 < steps) firstLatents.push(values.slice(0, size));
          if (step + 1 < steps) return;
          for (let at = 0; at < here; at++) latents.push(values.slice(at * size, (at + 1) * size));
        },
      },
    );
    return { settings: settings!, prompts, pictures: pictures.map(({ image }) => image), latents, firstLatents };
  } finally {
    await pipeline.release();
  }
}

/** One prompt at a time: text encoders are large, and so are their activations. */
async function encode(
  pipeline: Flux2Pipeline,
  { prompts: texts, guidance, cfgScale }: DrawRequest,
  observer: GenerateObserver,
): Promise<{ readonly prompts: readonly GivenTensor[]; readonly negative: GivenTensor | undefined }> {
  const { transformer, pipeline: config } = pipeline.model.description;
  const prompts: GivenTensor[] = [];
  for (const text of texts) {
    observer.signal?.throwIfAborted();
    prompts.push(await pipeline.encodePrompts([text], observer));
  }
  // Models that are not complete are refused by `generate`.
  const scales = { ...(guidance !== undefined && { guidance }), ...(cfgScale !== undefined && { cfgScale }) };
  const isGuided = transformer && config && resolveGuidance(scales, transformer, config).cfgScale !== undefined;
  const negative = isGuided ? await pipeline.encodePrompts([config.sampling.negativePrompt], observer) : undefined;
  await pipeline.release();
  return { prompts, negative };
}

function joinRows(rows: readonly GivenTensor[]): GivenTensor {
  const size = rows[0]?.values.length ?? 0;
  const values = new Float32Array(rows.length * size);
  for (const [at, row] of rows.entries()) values.set(row.values, at * size);
  return { shape: [rows.length, ...(rows[0]?.shape.slice(1) ?? [])], values };
}

/** What draws the same with another model: guidance and sizes as they were resolved. */
export function repeatRequest({ prompts, seeds }: DrawRequest, { settings }: Drawn): DrawRequest {
  const { width, height, steps, guidance } = settings;
  return {
    prompts,
    seeds,
    width,
    height,
    steps,
    ...(guidance.embedded !== undefined && { guidance: guidance.embedded }),
    cfgScale: guidance.cfgScale ?? 1,
  };
}

/** The transformer's inputs at the first step, one in the middle and the last of the first picture, with its prompt. */
export function passesOf({ settings, prompts, firstLatents }: Drawn): readonly TransformerPass[] {
  const { grid, steps, guidance } = settings;
  const tokens = grid.height * grid.width;
  const { modelTimesteps } = buildSchedule(tokens, steps);
  const [prompt] = prompts;
  const textTokens = prompt!.shape[1]!;
  const floats = (shape: readonly number[], values: Float32Array): NetworkTensor => ({ dtype: 'f32', shape, values });
  const ids = (count: number, values: Int32Array): NetworkTensor => ({ dtype: 'i32', shape: [count, 4], values });
  return [...new Set([0, Math.floor(steps / 2), steps - 1])].map((step) => ({
    step,
    inputs: {
      hidden_states: floats([1, tokens, grid.channels], firstLatents[step]!),
      encoder_hidden_states: floats(prompt!.shape, prompt!.values),
      timestep: floats([1], modelTimesteps.slice(step, step + 1)),
      img_ids: ids(tokens, imagePositionIds(grid.height, grid.width)),
      txt_ids: ids(textTokens, textPositionIds(textTokens)),
      ...(guidance.embedded !== undefined && { guidance: floats([1], Float32Array.of(guidance.embedded)) }),
    },
  }));
}

/** Draws a set of scenes under several settings, all from the same noise, and counts what came out right. */
import type { RgbImage } from '../../models/flux2/picture.js';
import type { Flux2Pipeline } from '../../models/flux2/pipeline.js';
import type { Scene } from './scenes.js';
import { type Score, scorePicture } from './score.js';

export interface Setting {
  readonly steps: number;
  /** Scale of classifier-free guidance; 1 is off. */
  readonly cfgScale: number;
}

export interface SettingResult extends Setting {
  /** In the order of the scenes. */
  readonly scores: readonly Score[];
  readonly images: readonly RgbImage[];
  /** For one picture, without compiling and encoding prompts. */
  readonly secondsPerPicture: number;
}

/** Percent of pictures, and the mean overlap of shapes with their templates. */
export interface Summary extends Setting {
  readonly pictures: number;
  readonly background: number;
  readonly colors: number;
  readonly kinds: number;
  readonly place: number;
  readonly right: number;
  readonly rightOfOneShape: number;
  readonly rightOfTwoShapes: number;
  readonly meanOverlap: number;
  readonly secondsPerPicture: number;
}

/** Pictures denoised at once: as many as keep a step's activations in the processor's cache. */
const BATCH = 8;

/** One result for each setting; picture i of each starts from the noise of seed `firstSeed` + i. */
export async function measureQuality(
  pipeline: Flux2Pipeline,
  scenes: readonly Scene[],
  settings: readonly Setting[],
  firstSeed: number,
  onSetting: (result: SettingResult) => void,
): Promise<readonly SettingResult[]> {
  const promptEmbeds = await pipeline.encodePrompts(scenes.map(({ prompt }) => prompt));
  const negativePromptEmbeds = await pipeline.encodePrompts(['']);
  const seeds = scenes.map((_, i) => BigInt(firstSeed + i));
  const common = { promptEmbeds, negativePromptEmbeds, seeds, count: scenes.length, batchSize: BATCH };
  // Kernels are compiled and weights loaded before the clock starts.
  const warmUp = { promptEmbeds: firstRow(promptEmbeds), negativePromptEmbeds, seeds: [0n], steps: 1 };
  for (const cfgScale of [1, 2]) await pipeline.generate({ ...warmUp, cfgScale });
  const results: SettingResult[] = [];
  for (const setting of settings) {
    const started = performance.now();
    const { pictures } = await pipeline.generate({ ...common, ...setting });
    const secondsPerPicture = (performance.now() - started) / 1000 / scenes.length;
    const images = pictures.map(({ image }) => image);
    const result = {
      ...setting,
      images,
      scores: scenes.map((scene, i) => scorePicture(images[i]!, scene)),
      secondsPerPicture,
    };
    results.push(result);
    onSetting(result);
  }
  return results;
}

/** Counts `scores`, which belong to `scenes` one by one. */
export function summarize(result: Omit<SettingResult, 'images'>, scenes: readonly Scene[]): Summary {
  const { scores, steps, cfgScale, secondsPerPicture } = result;
  const percent = (some: readonly Score[], what: keyof Omit<Score, 'overlap'>): number =>
    (100 * some.filter((score) => score[what]).length) / some.length;
  const withShapes = (count: number): readonly Score[] => scores.filter((_, i) => scenes[i]!.shapes.length === count);
  return {
    steps,
    cfgScale,
    pictures: scores.length,
    background: percent(scores, 'background'),
    colors: percent(scores, 'colors'),
    kinds: percent(scores, 'kinds'),
    place: percent(scores, 'place'),
    right: percent(scores, 'right'),
    rightOfOneShape: percent(withShapes(1), 'right'),
    rightOfTwoShapes: percent(withShapes(2), 'right'),
    meanOverlap: scores.reduce((sum, { overlap }) => sum + overlap, 0) / scores.length,
    secondsPerPicture,
  };
}

/** A table in Markdown, a row for each setting. */
export function formatSummaries(summaries: readonly Summary[]): string {
  const head = [
    'steps',
    'cfg-scale',
    'background',
    'colours',
    'kinds',
    'place',
    'everything',
    'one shape',
    'two shapes',
    'mean overlap',
    's/picture',
  ];
  const whole = (percent: number): string => (Number.isNaN(percent) ? '-' : `${Math.round(percent)} %`);
  const rows = summaries.map((one) => [
    String(one.steps),
    String(one.cfgScale),
    whole(one.background),
    whole(one.colors),
    whole(one.kinds),
    whole(one.place),
    whole(one.right),
    whole(one.rightOfOneShape),
    whole(one.rightOfTwoShapes),
    one.meanOverlap.toFixed(3),
    one.secondsPerPicture.toFixed(2),
  ]);
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |\n`).join('');
}

function firstRow({ shape, values }: { readonly shape: readonly number[]; readonly values: Float32Array }): {
  readonly shape: readonly number[];
  readonly values: Float32Array;
} {
  const [rows = 1, ...rest] = shape;
  return { shape: [1, ...rest], values: values.slice(0, values.length / rows) };
}

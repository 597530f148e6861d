/**
 * How well the embedded checkpoint draws what it is asked for, under several scales of classifier-free guidance and
 * numbers of steps: `node dist/bench/shapes-quality.js --help`. The table of docs/quality.md comes from here.
 */
import { writeFile } from 'node:fs/promises';
import { Command, InvalidArgumentError, Option } from 'commander';
import { chooseDevice } from '../cli/choose-device.js';
import { openModel } from '../cli/open-model.js';
import { type DeviceName, deviceNames } from '../runtime/node/open-device.js';
import { Flux2Pipeline } from '../models/flux2/pipeline.js';
import { writeContactSheet } from './shapes/contact-sheet.js';
import {
  formatSummaries,
  measureQuality,
  type Setting,
  type SettingResult,
  summarize,
} from './shapes/measure-quality.js';
import { makeScenes, type Scene } from './shapes/scenes.js';

interface QualityOptions {
  readonly prompts: readonly number[];
  readonly seed: readonly number[];
  readonly cfgScale: readonly number[];
  readonly steps: readonly number[];
  readonly device: DeviceName;
  readonly json?: string;
  readonly sheet?: string;
  readonly sheetRows: readonly number[];
}

const program = new Command('shapes-quality')
  .description('counts what the embedded checkpoint draws right')
  .option('--prompts <number>', 'scenes to draw', numbersOf, [40])
  .option('--seed <number>', 'of the scenes; picture i starts from the noise of this seed + i', numbersOf, [1])
  .option('--cfg-scale <list>', 'scales of classifier-free guidance', numbersOf, [1, 1.5, 2, 2.5, 3])
  .option('--steps <list>', 'numbers of steps', numbersOf, [20, 8])
  .addOption(new Option('--device <kind>').choices(deviceNames).default('auto'))
  .option('--json <file>', 'write prompts, scores and summaries')
  .option('--sheet <file>', 'write a sheet of pictures (.png): a row for each prompt, a column for each setting')
  .option('--sheet-rows <number>', 'prompts on the sheet', numbersOf, [5])
  .action(run);
await program.parseAsync();

async function run(options: QualityOptions): Promise<void> {
  const say = (sentence: string): void => void process.stderr.write(`${sentence}\n`);
  const [count, seed, sheetRows] = [options.prompts[0]!, options.seed[0]!, options.sheetRows[0]!];
  const scenes = makeScenes(count, seed);
  const settings = options.steps.flatMap((steps) => options.cfgScale.map((cfgScale): Setting => ({ steps, cfgScale })));
  const device = await chooseDevice(options, say);
  try {
    const pipeline = new Flux2Pipeline(await openModel({}, device));
    try {
      const results = await measureQuality(pipeline, scenes, settings, seed, (result) => {
        const { steps, cfgScale, right } = summarize(result, scenes);
        say(`${steps} steps, scale ${cfgScale}: ${Math.round(right)} % right`);
      });
      const summaries = results.map((result) => summarize(result, scenes));
      process.stdout.write(formatSummaries(summaries));
      if (options.json !== undefined) {
        await writeFile(options.json, formatJson({ device: device.description, seed, summaries }, results, scenes));
      }
      if (options.sheet !== undefined) await writeSheet(options.sheet, results, sheetRows);
    } finally {
      await pipeline.close();
    }
  } finally {
    await device.destroy();
  }
}

function formatJson(head: object, results: readonly SettingResult[], scenes: readonly Scene[]): string {
  const pictures = scenes.map((scene, i) => {
    const scores = results.map(({ steps, cfgScale, scores }) => ({ steps, cfgScale, ...scores[i] }));
    return { ...scene, scores };
  });
  return `${JSON.stringify({ ...head, pictures }, undefined, 1)}\n`;
}

async function writeSheet(path: string, results: readonly SettingResult[], rows: number): Promise<void> {
  const cells = Array.from({ length: rows }, (_, i) =>
    results.flatMap(({ images, scores }) => {
      const [image, score] = [images[i], scores[i]];
      return image && score ? [{ image, isRight: score.right }] : [];
    }),
  );
  await writeContactSheet(
    path,
    cells.filter((row) => row.length > 0),
  );
}

function numbersOf(text: string): readonly number[] {
  const numbers = text.split(',').map(Number);
  if (numbers.every((number) => Number.isFinite(number) && number > 0)) return numbers;
  throw new InvalidArgumentError('Expected numbers above 0, with commas between them.');
}

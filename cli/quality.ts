/** `flux2c quality`: how far a model in fewer bits is from the one that it was made from. */
import { basename, resolve } from 'node:path';
import { Command } from 'commander';
import { measureQuality, type MeasuredQuality } from '../bench/quality/measure.js';
import { defaultLimits } from '../bench/quality/compare-blocks.js';
import { renderQualityPage } from '../bench/quality/report-html.js';
import { formatQuality } from '../bench/quality/report-text.js';
import { makeScenes } from '../bench/shapes/scenes.js';
import { writeFileAtomically } from '../frontend/checkpoint/node/write-file.js';
import type { Flux2Model } from '../models/flux2/networks.js';
import type { Device } from '../runtime/device.js';
import type { CliContext } from './context.js';
import { requireFolderOf } from './generate-options.js';
import { resolveMemory } from './memory-budget.js';
import { addMemoryOptions, type MemoryOptions } from './memory-options.js';
import { addComponentOptions, addDeviceOptions, addReportOptions, collect, type ComponentOptions, contradiction, type DeviceOptions, integerOf, numberOf, type ReportOptions, seedsOf } from './options.js'; // prettier-ignore
import { createProgressLine, type ProgressLine } from './progress-line.js';
import { addQuantizeOptions, type QuantizeCliOptions } from './quantize-options.js';
import { addScheduleOption, loadScheduleChoice, type ScheduleOptions } from './schedule-options.js';
import { VERSION } from './version.js';

interface QualityOptions
  extends DeviceOptions, ComponentOptions, ReportOptions, MemoryOptions, QuantizeCliOptions, ScheduleOptions {
  readonly prompt?: readonly string[];
  readonly seeds?: readonly bigint[];
  readonly width?: number;
  readonly height?: number;
  readonly steps?: number;
  readonly guidance?: number;
  readonly cfgScale?: number;
  readonly html?: string;
}

const help = `
Weights are compared as numbers; blocks of the transformer by their residual streams, both models given the first one's latents and
prompt at the first, a middle and the last step; pictures by PSNR, from the same noise. The models run one after the other.

Examples:
  $ flux2c quality --quantize int4
  $ flux2c quality ./FLUX.2-klein-4B --quantize nf4 --keep "single_transformer_blocks.0.*" --html nf4.html
  $ flux2c quality ./FLUX.2-dev ./flux2-dev-Q4_K_M.gguf --memory-budget 12GiB --prompt "a lighthouse at dawn" --seeds 1,2`;

/** For models that draw more than shapes. */
const generalPrompts: readonly string[] = [
  'a lighthouse on a cliff at dawn, waves breaking below, photograph',
  'a shop window with the words "OPEN DAILY" in red letters, a cat asleep behind the glass',
];
const SCENES = 4;
const defaultSeeds: readonly bigint[] = [1n, 2n, 3n, 4n];
const EMBEDDED = 'flux2-shapes';

export function qualityCommand(context: CliContext): Command {
  const command = new Command('quality')
    .description('how far a model in fewer bits is from its original: weights, blocks, pictures')
    .argument('[original]', 'a model or an artifact (default: the embedded flux2-shapes)')
    .argument(
      '[other]',
      'a model that was made from it, instead of --quantize; what it does not bring is taken from the original',
    )
    .option('--prompt <text>', 'what to draw, may be repeated (default: a few)', collect)
    .option('--seeds <numbers>', 'each prompt is drawn from the noise of each (default: 1,2,3,4)', seedsOf('--seeds'))
    .option('--width <pixels>', 'multiple of 16', integerOf('--width', 16))
    .option('--height <pixels>', 'multiple of 16', integerOf('--height', 16))
    .option('--steps <number>', 'denoising steps', integerOf('--steps', 1, 1000))
    .option('--guidance <scale>', "the model's own guidance, as in generate", numberOf('--guidance', 0))
    .option('--cfg-scale <scale>', 'classifier-free guidance, as in generate', numberOf('--cfg-scale', 0))
    .option('--html <file>', 'write a page with the pictures side by side')
    .addHelpText('after', help);
  addQuantizeOptions(command);
  addScheduleOption(addComponentOptions(addDeviceOptions(addReportOptions(command, 'everything measured'))));
  addMemoryOptions(command);
  return command.action((original: string | undefined, other: string | undefined, options: QualityOptions) =>
    quality(original, other, options, context),
  );
}

async function quality(
  original: string | undefined,
  other: string | undefined,
  options: QualityOptions,
  context: CliContext,
): Promise<void> {
  if ((other === undefined) === (options.quantize === undefined)) {
    throw contradiction(
      other === undefined ? 'there is nothing to compare the model with' : 'the second model and --quantize both say what to compare with', // prettier-ignore
      'Name a second model, or say with --quantize what to make of the first.',
    );
  }
  if (options.html !== undefined) await requireFolderOf(options.html);
  const line = createProgressLine(context.stderr, options.quiet === true);
  const choice = { ...options, ...(original !== undefined && { model: original }) };
  const device = await context.openDevice(choice, (sentence) => line.notice(sentence));
  try {
    const measured = await measureBoth(original, other, options, { context, device, line });
    line.finish();
    if (options.html !== undefined) {
      const page = await renderQualityPage(measured, VERSION);
      await writeFileAtomically(options.html, new TextEncoder().encode(page));
    }
    const { result } = measured;
    context.stdout.write(options.json === true ? `${JSON.stringify(result, null, 2)}\n` : formatQuality(result));
  } finally {
    line.finish();
    await device.destroy();
  }
}

interface Surroundings {
  readonly context: CliContext;
  readonly device: Device;
  readonly line: ProgressLine;
}

async function measureBoth(
  first: string | undefined,
  second: string | undefined,
  options: QualityOptions,
  { context, device, line }: Surroundings,
): Promise<MeasuredQuality> {
  const notice = (sentence: string): void => line.notice(sentence);
  const memory = resolveMemory(options, device, notice);
  const { quantize, keep, ...shared } = options;
  const open = async (model: string | undefined, more: object): Promise<Flux2Model> => {
    const { schedules } = await loadScheduleChoice(options, model, device, notice);
    return context.openModel({ ...shared, ...(model !== undefined && { model }), ...more, schedules, memory }, device);
  };
  const original = await open(first, {});
  try {
    const encoded = { ...(quantize !== undefined && { quantize }), ...(keep && { keep }) };
    const other = await (second === undefined ? open(first, encoded) : open(second, { base: first }));
    try {
      const { prompt, seeds = defaultSeeds, width, height, steps, guidance, cfgScale } = options;
      const name = original.description.name;
      const request = {
        original,
        other,
        names: [name, second === undefined ? `${name} in ${quantize}` : nameOf(second, name)] as const,
        device: device.description,
        isSameFiles: second === undefined,
        draw: {
          prompts: prompt ?? (name === EMBEDDED ? makeScenes(SCENES, 1).map((scene) => scene.prompt) : generalPrompts),
          seeds,
          ...(width !== undefined && { width }),
          ...(height !== undefined && { height }),
          ...(steps !== undefined && { steps }),
          ...(guidance !== undefined && { guidance }),
          ...(cfgScale !== undefined && { cfgScale }),
        },
        limits: { ...defaultLimits, deviceBytes: Math.min(defaultLimits.deviceBytes, memory.deviceBytes / 8) },
      };
      return await measureQuality(request, {
        signal: context.signal,
        onProgress: (progress) => line.update(progress),
        onNotice: notice,
      });
    } finally {
      await other.close();
    }
  } finally {
    await original.close();
  }
}

/** The last part of a path, all of it where the original is called the same. */
function nameOf(path: string, original: string): string {
  const name = basename(resolve(path));
  return name === original ? path : name;
}

/** `flux2c generate`: from a prompt to picture files. */
import { mkdir } from 'node:fs/promises';
import { Command, Option } from 'commander';
import type { ResolvedRequest } from '../models/flux2/generate-request.js';
import { pictureFormatOf, writeImage } from '../models/flux2/node/image-files.js';
import type { PictureMetadata } from '../models/flux2/picture-metadata.js';
import { Flux2Pipeline } from '../models/flux2/pipeline.js';
import { artifactMemory } from './artifact-folder.js';
import type { CliContext } from './context.js';
import { checkGenerateOptions, type GenerateOptions, readGenerateRequest, tileOf } from './generate-options.js';
import { createPreview, describePicture, LatentRecorder, showPicture, writeReport } from './generate-output.js';
import {
  addComponentOptions,
  addDeviceOptions,
  addReportOptions,
  collect,
  integerOf,
  numberOf,
  seedsOf,
} from './options.js';
import { defaultOutput, numberedOutput } from './output-names.js';
import { createProgressLine } from './progress-line.js';
import { resolveMemory } from './memory-budget.js';
import { addMemoryOptions } from './memory-options.js';
import { addQuantizeOptions } from './quantize-options.js';
import { addScheduleOption, loadScheduleChoice } from './schedule-options.js';

const examples = `
Examples:
  $ flux2c generate "a red circle on a white background" -o circle.png
  $ flux2c generate "a yellow star on a blue background" --count 4 --seed 7
  $ flux2c generate "make the circle blue" --image circle.png --cfg-scale 2.5
  $ flux2c generate "a lighthouse at dawn" --model ./FLUX.2-dev --width 1344 --height 768 --steps 28
  $ flux2c generate "a lighthouse at dawn" --model ./FLUX.2-dev --memory-budget 8GiB --host-budget 48GiB`;

export function generateCommand(context: CliContext): Command {
  const command = new Command('generate')
    .description('draw pictures from a prompt, and from reference pictures')
    .argument('[prompt]', 'what to draw')
    .option(
      '--model <path>',
      'folder in diffusers layout, safetensors file or artifact (default: the embedded flux2-shapes)',
    )
    .option('-o, --output <file>', '.png, .jpg or .webp (default: named after the prompt); several are numbered')
    .option('--image <file>', 'reference picture, may be repeated up to 10 times', collect)
    .option('--width <pixels>', 'multiple of 16', integerOf('--width', 16))
    .option('--height <pixels>', 'multiple of 16', integerOf('--height', 16))
    .option('--steps <number>', 'denoising steps', integerOf('--steps', 1, 1000))
    .option(
      '--seed <number>',
      'seed of the noise (default: random); with commas one for each picture',
      seedsOf('--seed'),
    )
    .option('--count <number>', 'pictures to draw', integerOf('--count', 1, 10000))
    .option(
      '--guidance <scale>',
      "the model's own guidance: its embedding, or classifier-free on base models",
      numberOf('--guidance', 0),
    )
    .option(
      '--cfg-scale <scale>',
      "classifier-free guidance on any model; 1 is off (default: the model's, off for most)",
      numberOf('--cfg-scale', 0),
    )
    .option('--negative-prompt <text>', 'what to go away from with classifier-free guidance')
    .option('--noise <file>', 'safetensors with the initial noise: in.noise')
    .addOption(
      new Option('--noise-dtype <type>', 'type to draw the noise in; the reference pipelines draw in bf16')
        .choices(['f32', 'bf16'])
        .default('f32'),
    )
    .option(
      '--prompt-embeds <file>',
      'safetensors with in.prompt_embeds and in.negative_prompt_embeds, in place of the prompt',
    )
    .option('--save-latents <file>', 'write mid.latents.N of every step and out.decoded as safetensors')
    .option('--batch-size <number>', 'pictures denoised at once', integerOf('--batch-size', 1))
    .option('--tile <tokens|off>', 'decode in tiles of so many tokens a side (16 pixels each)', tileOf)
    .option('--preview [folder]', 'write intermediate pictures there, or show them in the terminal')
    .option(
      '--preview-every <steps>',
      'steps between previews (default: a fifth of all)',
      integerOf('--preview-every', 1),
    )
    .option('--show', 'show the pictures in the terminal (kitty, iTerm2 and sixel graphics)')
    .addHelpText('after', examples);
  addQuantizeOptions(command);
  addMemoryOptions(
    addScheduleOption(addComponentOptions(addDeviceOptions(addReportOptions(command, 'files, seeds and settings')))),
  );
  return command.action((prompt: string | undefined, options: GenerateOptions) => generate(prompt, options, context));
}

async function generate(prompt: string | undefined, options: GenerateOptions, context: CliContext): Promise<void> {
  const started = Date.now();
  const output = options.output ?? defaultOutput(prompt);
  pictureFormatOf(output);
  await checkGenerateOptions(prompt, output, options);
  const request = await readGenerateRequest(prompt, options);
  if (typeof options.preview === 'string') await mkdir(options.preview, { recursive: true });
  const line = createProgressLine(context.stderr, options.quiet === true);
  const notice = (sentence: string): void => line.notice(sentence);
  const device = await context.openDevice(options, notice);
  try {
    const { schedules } = await loadScheduleChoice(options, options.model, device, notice);
    const model = await context.openModel(
      { ...options, schedules, memory: resolveMemory(options, device, notice, await artifactMemory(options.model)) },
      device,
    );
    const pipeline = new Flux2Pipeline(model, { freeStages: true });
    const latents = options.saveLatents === undefined ? undefined : new LatentRecorder();
    const files: { path: string; metadata: PictureMetadata }[] = [];
    let settings: ResolvedRequest | undefined;
    try {
      await pipeline.generate(request, {
        signal: context.signal,
        onProgress: (progress) => line.update(progress),
        onNotice: notice,
        onSettings: (resolved) => (settings = resolved),
        ...(latents && { onLatents: latents.record.bind(latents) }),
        ...createPreview(options, context, notice),
        onPicture: async ({ index, image, decoded }) => {
          latents?.recordDecoded(decoded);
          const path = numberedOutput(output, index, settings!.count);
          const metadata = describePicture(index, prompt, options, settings!, model.description.name);
          await writeImage(path, image, metadata);
          files.push({ path, metadata });
          if (options.show !== true) return;
          line.finish();
          await showPicture(image, context, notice);
        },
      });
      if (latents && settings) await latents.write(options.saveLatents!, settings);
    } finally {
      line.finish();
      await pipeline.close();
    }
    const seconds = (Date.now() - started) / 1000;
    writeReport({ files, device: device.description, seconds }, options, context);
  } finally {
    await device.destroy();
  }
}

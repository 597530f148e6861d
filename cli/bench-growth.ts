/** `flux2c bench growth`: how the costs of a denoising step grow with sizes. */
import { Command } from 'commander';
import { describeProcessor } from '../bench/processor.js';
import { measureGrowth } from '../bench/measure-growth.js';
import { growthFigure } from '../bench/plot-growth.js';
import { formatGrowth, type GrowthResult, renderGrowthPage } from '../bench/report-growth.js';
import { writeFileAtomically } from '../frontend/checkpoint/node/write-file.js';
import { describeModel } from '../models/flux2/compiled-model.js';
import { closeModel, loadModel } from '../models/flux2/load-model.js';
import { openModelFiles } from '../models/flux2/node/open-model.js';
import type { CliContext } from './context.js';
import { addDeviceOptions, type DeviceOptions, integerOf } from './options.js';
import { createProgressLine } from './progress-line.js';
import { VERSION } from './version.js';

interface GrowthOptions extends DeviceOptions {
  readonly largest: number;
  readonly repeats: number;
  readonly json?: string;
  readonly html?: string;
  readonly svg?: string;
  readonly quiet?: boolean;
}

const help = `
Sizes are doubled from 64 image tokens on, one kind at a time; blocks are added to the network of the embedded flux2-shapes.
Each series is fitted as a + b n + c n², and said to be worse than it may be where its exponent at the largest sizes is.

Examples:
  $ flux2c bench growth --device cpu --html growth.html
  $ flux2c bench growth --adapter llvmpipe --largest 1024 --svg growth.svg`;

export function growthCommand(context: CliContext): Command {
  const command = new Command('growth')
    .description('how time, work, memory and launches of a step grow with image, text and reference tokens and blocks')
    .option('--largest <tokens>', 'tokens of the largest picture', integerOf('--largest', 128, 65536), 4096)
    .option('--repeats <number>', 'measured repetitions', integerOf('--repeats', 1, 1000), 3)
    .option('--json <file>', 'write points and fits')
    .option('--html <file>', 'write plot and table as one page')
    .option('--svg <file>', 'write the plot alone')
    .option('-q, --quiet', 'no progress and no notices on stderr')
    .option('--debug', 'stack traces with errors')
    .addHelpText('after', help);
  addDeviceOptions(command);
  return command.action((options: GrowthOptions) => growth(options, context));
}

async function growth(options: GrowthOptions, context: CliContext): Promise<void> {
  const line = createProgressLine(context.stderr, options.quiet === true);
  const device = await context.openDevice(options, (sentence) => line.notice(sentence));
  try {
    const model = await loadModel(await openModelFiles(undefined, {}));
    await closeModel(model);
    const series = await measureGrowth({
      description: describeModel(model),
      dtypes: () => 'bf16',
      device,
      ...(options.operands && { operands: options.operands }),
      largest: options.largest,
      repetition: { warmups: 1, repeats: options.repeats, signal: context.signal },
      onPoint: (variable, value) => {
        context.signal.throwIfAborted();
        line.notice(`measuring ${value} ${variable}`);
      },
    });
    const result: GrowthResult = {
      model: model.name,
      device: device.description,
      processor: describeProcessor(),
      date: new Date().toISOString(),
      compiler: VERSION,
      series,
    };
    const write = (path: string, text: string): Promise<void> =>
      writeFileAtomically(path, new TextEncoder().encode(text));
    if (options.json !== undefined) await write(options.json, `${JSON.stringify(result, null, 2)}\n`);
    if (options.html !== undefined) await write(options.html, renderGrowthPage(result));
    if (options.svg !== undefined) await write(options.svg, growthFigure(series));
    context.stdout.write(formatGrowth(result));
  } finally {
    line.finish();
    await device.destroy();
  }
}

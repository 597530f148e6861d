/** `flux2c run`: one network, tensors in and tensors out. */
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Command, Option } from 'commander';
import { Flux2cError } from '../ir/diagnostics.js';
import type { NetworkName, NetworkTensor } from '../models/flux2/networks.js';
import { artifactMemory } from './artifact-folder.js';
import type { CliContext } from './context.js';
import { addComponentOptions, addDeviceOptions, addReportOptions, integersOf } from './options.js';
import type { ComponentOptions, DeviceOptions, ReportOptions } from './options.js';
import { createProgressLine, formatSeconds } from './progress-line.js';
import { resolveMemory } from './memory-budget.js';
import { addMemoryOptions, type MemoryOptions } from './memory-options.js';
import { addQuantizeOptions, type QuantizeCliOptions } from './quantize-options.js';
import { addScheduleOption, loadScheduleChoice, type ScheduleOptions } from './schedule-options.js';
import { TensorFile, writeTensors } from './tensor-files.js';

const components = ['transformer', 'text_encoder', 'vae_encoder', 'vae_decoder'] as const satisfies NetworkName[];

type ComponentName = (typeof components)[number];

/** An input that only this network has. */
const tellingInputs: Readonly<Record<ComponentName, string>> = {
  transformer: 'hidden_states',
  text_encoder: 'input_ids',
  vae_encoder: 'image',
  vae_decoder: 'latents',
};

interface RunOptions
  extends DeviceOptions, ComponentOptions, MemoryOptions, QuantizeCliOptions, ReportOptions, ScheduleOptions {
  readonly component?: ComponentName;
  readonly inputs: string;
  readonly outputs: string;
  readonly layers?: readonly number[];
}

const help = `
Inputs are named NAME or in.NAME, results are written as out.NAME:
  transformer   hidden_states, encoder_hidden_states, timestep, guidance, img_ids, txt_ids -> sample
  text_encoder  input_ids, attention_mask -> prompt_embeds
  vae_encoder   image -> mode, normalized
  vae_decoder   latents -> image

Examples:
  $ flux2c run ./FLUX.2-dev --component vae_decoder --inputs latents.safetensors --outputs image.safetensors
  $ flux2c run ./FLUX.2-dev/text_encoder --component text_encoder --layers 10,20,30 --inputs ids.safetensors --outputs embeds.safetensors`;

export function runCommand(context: CliContext): Command {
  const command = new Command('run')
    .description('run one network of a model on tensors')
    .argument('<model>', "a model's or a component's folder, a safetensors file or an artifact")
    .addOption(
      new Option('--component <name>', 'which network (default: by the names of the inputs)').choices(components),
    )
    .requiredOption('--inputs <file>', 'safetensors with the inputs')
    .requiredOption('--outputs <file>', 'safetensors to write the results to')
    .option('--layers <numbers>', 'hidden states that the text encoder joins: 1,3,5', integersOf('--layers', 0))
    .addHelpText('after', help);
  addQuantizeOptions(command);
  addMemoryOptions(
    addScheduleOption(addComponentOptions(addDeviceOptions(addReportOptions(command, 'shapes and times')))),
  );
  return command.action((model: string, options: RunOptions) => run(model, options, context));
}

async function run(model: string, options: RunOptions, context: CliContext): Promise<void> {
  const started = Date.now();
  await checkOutputFolder(options.outputs);
  const component = options.component ?? (await inferComponent(options.inputs));
  const line = createProgressLine(context.stderr, options.quiet === true);
  const device = await context.openDevice({ ...options, model }, (sentence) => line.notice(sentence));
  try {
    const { schedules } = await loadScheduleChoice(options, model, device, (sentence) => line.notice(sentence));
    const opened = await context.openModel(
      {
        ...options,
        model,
        schedules,
        memory: resolveMemory(options, device, (sentence) => line.notice(sentence), await artifactMemory(model)),
      },
      device,
    );
    try {
      const network = await opened.open(component, (progress) => line.update(progress), context.signal);
      const names = network.inputs.map(({ name }) => name);
      const file = await TensorFile.read(options.inputs, names);
      const inputs: Record<string, NetworkTensor> = {};
      for (const { name, dtype, shape } of network.inputs) inputs[name] = file.input(name, dtype, shape.length);
      const results = Object.entries(await network.run(inputs, { signal: context.signal }));
      line.finish();
      await writeTensors(options.outputs, new Map(results.map(([name, tensor]) => [`out.${name}`, tensor])));
      const shapes = results.map(([name, { shape }]) => ({ name: `out.${name}`, shape }));
      const seconds = (Date.now() - started) / 1000;
      if (options.json === true) {
        context.stdout.write(
          `${JSON.stringify({ outputs: options.outputs, results: shapes, device: device.description, seconds })}\n`,
        );
      } else if (options.quiet !== true) {
        const listed = shapes.map(({ name, shape }) => `${name} [${shape.join(', ')}]`).join(', ');
        context.stderr.write(`${listed} in ${formatSeconds(seconds)} on ${device.description}\n`);
      }
    } finally {
      line.finish();
      await opened.close();
    }
  } finally {
    await device.destroy();
  }
}

/** The network whose input the file has. F2C703 when there is none or more than one. */
async function inferComponent(path: string): Promise<ComponentName> {
  const file = await TensorFile.read(path, Object.values(tellingInputs));
  const fitting = components.filter((component) => file.has(tellingInputs[component]));
  const [component] = fitting;
  if (component !== undefined && fitting.length === 1) return component;
  throw new Flux2cError('F2C703', 'the inputs do not say which network they are for', {
    where: [path],
    expected: `one of ${Object.values(tellingInputs).join(', ')}`,
    found: fitting.length === 0 ? 'none' : fitting.map((name) => tellingInputs[name]).join(' and '),
    hint: `Name it: --component ${components.join('|')}.`,
  });
}

async function checkOutputFolder(path: string): Promise<void> {
  const status = await stat(dirname(path)).catch(() => undefined);
  if (status?.isDirectory() === true) return;
  throw new Flux2cError('F2C707', 'the folder of the output does not exist', {
    where: [path],
    hint: `Make it first: mkdir -p ${dirname(path)}`,
  });
}

/** Options that several commands share, and how their values are read. */
import { type Command, Option } from 'commander';
import { Flux2cError } from '../ir/diagnostics.js';
import type { Operands } from '../passes/compile.js';
import { type DeviceName, deviceNames } from '../runtime/node/open-device.js';

/** The error of an option whose value cannot be used. */
export function wrongValue(option: string, expected: string, found: string, hint?: string): Flux2cError {
  return new Flux2cError('F2C702', `the value of ${option} cannot be used`, {
    where: [option],
    expected,
    found,
    ...(hint !== undefined && { hint }),
  });
}

/** The error of options that exclude or need each other. */
export function contradiction(message: string, hint: string): Flux2cError {
  return new Flux2cError('F2C703', message, { hint });
}

/** Reads a decimal integer in a range. */
export function integerOf(option: string, least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  const expected =
    most === Number.MAX_SAFE_INTEGER ? `an integer of at least ${least}` : `an integer from ${least} to ${most}`;
  return (text) => {
    const value = /^[+-]?\d+$/.test(text) ? Number(text) : NaN;
    if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
    throw wrongValue(option, expected, text);
  };
}

/** Reads a finite decimal number of at least `least`. */
export function numberOf(option: string, least: number): (text: string) => number {
  return (text) => {
    const value = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : NaN;
    if (Number.isFinite(value) && value >= least) return value;
    throw wrongValue(option, `a number of at least ${least}`, text);
  };
}

/** Reads `1,3,5`: integers of at least `least`. */
export function integersOf(option: string, least: number): (text: string) => readonly number[] {
  const one = integerOf(option, least);
  return (text) => text.split(',').map((part) => one(part.trim()));
}

/** Reads `42` or `1,2,3`: integers of up to 64 bits, as PyTorch takes them. */
export function seedsOf(option: string): (text: string) => readonly bigint[] {
  return (text) =>
    text.split(',').map((part) => {
      const digits = part.trim();
      const value = /^[+-]?\d+$/.test(digits) ? BigInt(digits) : undefined;
      if (value !== undefined && value >= -(2n ** 63n) && value < 2n ** 64n) return value;
      throw wrongValue(option, 'an integer of up to 64 bits, or several with commas between', text);
    });
}

/** Gathers the values of an option that may be repeated. */
export function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}

/** How much a command says, in what form. */
export interface ReportOptions {
  readonly quiet?: boolean;
  readonly json?: boolean;
}

export function addReportOptions(command: Command, json: string): Command {
  return command
    .option('--json', `print ${json} as JSON on stdout`)
    .option('-q, --quiet', 'no progress and no notices on stderr')
    .option('--debug', 'stack traces with errors');
}

/** Which device computes. */
export interface DeviceOptions {
  readonly device: DeviceName;
  readonly adapter?: string;
  /** What the factors of products are rounded to before they are multiplied. */
  readonly operands?: Operands;
}

export function addDeviceOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--device <kind>', 'where to compute: an NVIDIA GPU, a WebGPU adapter, the processor; or the best')
        .choices(deviceNames)
        .default('auto'),
    )
    .option(
      '--adapter <name>',
      'WebGPU adapter, or GPU with --device cuda, by a part of its name or its number in `flux2c devices`',
    )
    .addOption(operandsOption());
}

const operandTypes: readonly Operands[] = ['f32', 'f16', 'bf16', 'fp8', 'int8'];

export function operandsOption(): Option {
  const what =
    'what the factors of products are rounded to; sums stay f32. f16 needs shader-f16 on WebGPU; in autoencoders, whose numbers ' +
    'outgrow it, only products of what was normalised have it (the others f32; with CUDA all bf16). fp8 (e4m3 with scales by ' +
    'rows, in the linear layers of transformer and text encoder; the others bf16) needs an NVIDIA GPU of sm_89 or later; int8, ' +
    'with such scales in the same layers (the others f32), WebGPU or the processor';
  return new Option(
    '--operands <type>',
    `${what} (default: with CUDA what the weights are stored in, otherwise f32)`,
  ).choices(operandTypes);
}

/** Components that a model does not bring. */
export interface ComponentOptions {
  readonly vae?: string;
  readonly textEncoder?: string;
  readonly tokenizer?: string;
  /** Of a model whose files do not say it. */
  readonly cachedReferences?: boolean;
}

export function addComponentOptions(command: Command): Command {
  return command
    .option('--vae <path>', 'folder or file of the autoencoder, when the model has none')
    .option('--text-encoder <folder>', 'folder of the text encoder, when the model has none')
    .option('--tokenizer <folder>', "folder of the tokenizer (default: in or beside the text encoder's)")
    .option(
      '--cached-references',
      'run reference pictures once, before the steps: for a klein 9b-kv without its model_index.json, which says so itself',
    );
}

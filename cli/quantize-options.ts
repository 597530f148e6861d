/** Weights in fewer bits: which, and how many. */
import type { Command } from 'commander';
import { requireEncodable } from '../ir/encode-rows.js';
import { findEncoding } from '../ir/encoding.js';
import type { QuantizeOptions } from '../models/flux2/quantized-tensors.js';
import { collect, contradiction, wrongValue } from './options.js';

export interface QuantizeFlags {
  /** An encoding's text. */
  readonly quantize?: string;
  readonly keep?: readonly string[];
}

/** Short names: groups of 64 are what quality asks for and cost a quarter of a bit. */
const shortNames: Readonly<Record<string, string>> = {
  int4: 'int4:64',
  int4z: 'int4z:64',
  nf4: 'nf4:64',
  fp4: 'fp4:64',
  fp8: 'f8e4m3',
};

function encodingOf(text: string): string {
  const encoding = findEncoding(shortNames[text] ?? text);
  if (encoding === undefined) {
    throw wrongValue('--quantize', 'int8, int4, int4z, nf4, fp4 or fp8; those of 4 bits with a group: int4:32', text);
  }
  requireEncodable(encoding);
  return encoding.text;
}

export function addQuantizeOptions(command: Command): Command {
  return command
    .option(
      '--quantize <format>',
      'hold the weights of the blocks in fewer bits: int8, int4, nf4, fp8, or with a group, int4:32; those that files hold so stay',
      encodingOf,
    )
    .option('--keep <pattern>', "with --quantize, leave these tensors as they are: 'transformer_blocks.0.*'; may be repeated", collect); // prettier-ignore
}

export function quantizeOptionsOf({ quantize, keep = [] }: QuantizeFlags): QuantizeOptions | undefined {
  if (quantize !== undefined) return { encoding: quantize, keep };
  if (keep.length > 0)
    throw contradiction('nothing is quantised, so nothing is to be kept', 'Add --quantize, or leave out --keep.');
  return undefined;
}

/** Weights in fewer bits than the files have them in. */
import { type Command } from 'commander';
import { requireEncodable } from '../ir/encode-rows.js';
import { findEncoding } from '../ir/encoding.js';
import { Flux2cError } from '../ir/diagnostics.js';
import type { QuantizeOptions } from '../models/flux2/quantized-tensors.js';
import { collect, contradiction, wrongValue } from './options.js';

export interface QuantizeCliOptions {
  /** Canonical: `int4:64`. */
  readonly quantize?: string;
  readonly keep?: readonly string[];
}

/** What users call encodings for short. */
const shortNames: Readonly<Record<string, string>> = { int4: 'int4:64', int4z: 'int4z:64', nf4: 'nf4:64', fp4: 'fp4:64', fp8: 'f8e4m3' }; // prettier-ignore

const expected =
  'int8, int4, int4z (with zero points), nf4, fp4 or fp8; those of 4 bits with a group size as int4:32 (default 64)';

function encodingOf(text: string): string {
  const encoding = findEncoding(shortNames[text] ?? text);
  if (encoding === undefined) throw wrongValue('--quantize', expected, text);
  try {
    requireEncodable(encoding);
  } catch (error) {
    if (!(error instanceof Flux2cError)) throw error;
    throw wrongValue('--quantize', expected, text, error.detail.hint);
  }
  return encoding.text;
}

/** Adds `--quantize` and `--keep`; `quantizeOf` reads them. F2C702 for what is no encoding that flux2c makes. */
export function addQuantizeOptions(command: Command): Command {
  return command
    .option(
      '--quantize <encoding>',
      "hold the weights of the blocks' linear layers in fewer bits: int8, int4, nf4, fp4, fp8; int4:32 for groups of 32 (default 64)",
      encodingOf,
    )
    .option(
      '--keep <pattern>',
      'with --quantize, leave these weights as they are, with * for any characters, as single_transformer_blocks.0.*; may be repeated',
      collect,
    );
}

/** Undefined without `--quantize`. F2C703 for patterns without it. */
export function quantizeOf({ quantize, keep }: QuantizeCliOptions): QuantizeOptions | undefined {
  if (quantize !== undefined) return { encoding: quantize, keep: keep ?? [] };
  if (keep === undefined) return undefined;
  throw contradiction('--keep names weights that are not quantised', 'Take it together with --quantize.');
}

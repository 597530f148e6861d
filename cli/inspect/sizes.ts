/** The sizes for which a function is looked at or timed. */
import type { DimBinding } from '../../ir/dim.js';
import type { NetworkName } from '../../models/flux2/networks.js';
import { wrongValue } from '../options.js';
import type { SizeDefaults } from './subject.js';

export interface SizeOptions {
  readonly width?: number;
  readonly height?: number;
  readonly steps?: number;
  /** Reference pictures, of the picture's own size. */
  readonly references?: number;
  readonly textTokens?: number;
}

export interface PictureSizes {
  readonly width: number;
  readonly height: number;
  readonly steps: number;
  readonly references: number;
  readonly textTokens: number;
  /** Latent tokens down and across. */
  readonly rows: number;
  readonly columns: number;
}

/** Fills in the model's defaults. F2C702 for a side that is no whole number of tokens. */
export function resolveSizes(options: SizeOptions, defaults: SizeDefaults): PictureSizes {
  const { pixelsPerToken: pixels } = defaults;
  const width = options.width ?? defaults.width;
  const height = options.height ?? defaults.height;
  for (const [option, value] of Object.entries({ '--width': width, '--height': height })) {
    if (value % pixels !== 0) throw wrongValue(option, `a multiple of ${pixels}`, `${value}`);
  }
  return {
    width,
    height,
    steps: options.steps ?? defaults.steps,
    references: options.references ?? 0,
    textTokens: options.textTokens ?? defaults.textTokens,
    rows: height / pixels,
    columns: width / pixels,
  };
}

/** The symbols of a function's plan. */
export function bindSizesOf(name: NetworkName, sizes: PictureSizes): DimBinding {
  const image = sizes.rows * sizes.columns;
  const references = sizes.references * image;
  return {
    batch: 1,
    // One pass of the transformer takes the reference tokens with the picture's.
    img: name === 'transformer' ? image + references : image,
    ref: references,
    txt: sizes.textTokens,
    steps: sizes.steps,
    h: sizes.rows,
    w: sizes.columns,
  };
}

/** `1024x1024, 4096 image + 512 text tokens, 50 steps`, as far as the function depends on it. */
export function describeSizes(name: NetworkName, sizes: PictureSizes): string {
  const picture = `${sizes.width}x${sizes.height}`;
  const text = `${sizes.textTokens} text tokens`;
  const references = sizes.references === 0 ? '' : `, ${sizes.references} references`;
  switch (name) {
    case 'text_encoder':
      return text;
    case 'vae_encoder':
    case 'vae_decoder':
      return picture;
    case 'transformer':
      return `${picture}, ${sizes.rows * sizes.columns} image + ${text}${references}`;
    case 'denoise':
    case 'denoise_cfg':
    case 'denoise_cached':
      return `${picture}, ${sizes.rows * sizes.columns} image + ${text}${references}, ${sizes.steps} steps`;
  }
}

/** What a written picture says about how it was made. */
import { readPngText } from './png-text.js';

export interface PictureMetadata {
  readonly prompt: string;
  readonly negativePrompt?: string;
  /** Decimal digits: seeds have 64 bits. */
  readonly seed: string;
  /** Everything else that changes the picture: steps, guidance, size, model, … */
  readonly settings: Readonly<Record<string, string | number | boolean>>;
}

/** The PNG texts of `metadata`: `flux2c` holds it as JSON, `parameters` in the words that galleries show. */
export function metadataTexts(metadata: PictureMetadata): Readonly<Record<string, string>> {
  const { prompt, negativePrompt, seed, settings } = metadata;
  const pairs = Object.entries({ seed, ...settings }).map(([key, value]) => `${spaceWords(key)}: ${value}`);
  const negative = negativePrompt === undefined || negativePrompt === '' ? [] : [`Negative prompt: ${negativePrompt}`];
  return {
    flux2c: JSON.stringify(metadata),
    parameters: [prompt, ...negative, pairs.join(', ')].join('\n'),
  };
}

/** The metadata that `metadataTexts` put into `png`, or undefined when there is none. F2C633 for a broken file. */
export function readPictureMetadata(png: Uint8Array): PictureMetadata | undefined {
  const text = readPngText(png).get('flux2c');
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return isMetadata(value) ? value : undefined;
  } catch {
    // Another program's text under the same key is no error of the picture.
    return undefined;
  }
}

/** `guidanceScale` as `Guidance scale`. */
function spaceWords(key: string): string {
  const words = key.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function isMetadata(value: unknown): value is PictureMetadata {
  if (typeof value !== 'object' || value === null) return false;
  const { prompt, seed, settings } = value as Partial<Record<keyof PictureMetadata, unknown>>;
  return typeof prompt === 'string' && typeof seed === 'string' && typeof settings === 'object' && settings !== null;
}

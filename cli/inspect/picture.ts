/** What a written picture says about how it was made. */
import { readFile } from 'node:fs/promises';
import { Flux2cError } from '../../ir/diagnostics.js';
import { type PictureMetadata, readPictureMetadata } from '../../models/flux2/picture-metadata.js';

/** Errors: F2C401 when it cannot be read, F2C633 when it is no PNG file, F2C710 when flux2c did not write it. */
export async function readMetadata(path: string): Promise<PictureMetadata> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw new Flux2cError('F2C401', 'the picture cannot be read', { where: [path], found: String(cause), cause });
  });
  const metadata = readPictureMetadata(bytes);
  if (metadata !== undefined) return metadata;
  throw new Flux2cError('F2C710', 'the picture does not say how it was made', {
    where: [path],
    expected: 'a PNG file that flux2c wrote',
    hint: 'Programs that edit or send pictures often remove what is written in them.',
  });
}

export function formatMetadata({ prompt, negativePrompt, seed, settings }: PictureMetadata): string {
  const entries: [string, unknown][] = [
    ['prompt', prompt],
    ...(negativePrompt === undefined ? [] : [['negative prompt', negativePrompt] as [string, unknown]]),
    ['seed', seed],
    ...Object.entries(settings),
  ];
  const width = Math.max(...entries.map(([key]) => key.length));
  return entries.map(([key, value]) => `${key.padEnd(width)}  ${String(value)}\n`).join('');
}

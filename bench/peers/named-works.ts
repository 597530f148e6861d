/** Sets of shapes under a name: what FLUX.2 [klein] 4B computes for one picture. */
import { parseWork, type Work } from './works.js';

/**
 * Hidden size 3072, 24 heads, 512 text tokens; the transformer with one block of each kind, a single block's projection in
 * and out, its attention, and the decoder's convolutions of most channels and of most pixels. What matters most comes first: time
 * on a GPU may be short.
 *
 * @param side of the picture, in pixels
 */
function klein4b(side: number): readonly Work[] {
  const textTokens = 512;
  const imageTokens = (side / 16) ** 2;
  const tokens = imageTokens + textTokens;
  return [
    // What the device's rate of products is measured on.
    parseWork('product', '8192x8192x8192'),
    parseWork('transformer', `24x128,1+1,${imageTokens}+${textTokens}`),
    parseWork('product', `${tokens}x3072x27648`),
    parseWork('product', `${tokens}x12288x3072`),
    parseWork('attention', `24x${tokens}x128`),
    parseWork('convolution', `512x512@${side / 8}`),
    parseWork('convolution', `128x128@${side}`),
  ];
}

export const namedWorks = {
  'klein-4b@512': klein4b(512),
  'klein-4b@1024': klein4b(1024),
} as const satisfies Readonly<Record<string, readonly Work[]>>;

export type WorksName = keyof typeof namedWorks;

export const worksNames = Object.keys(namedWorks) as readonly WorksName[];

export function isNamedWorks(name: string): name is WorksName {
  return Object.hasOwn(namedWorks, name);
}

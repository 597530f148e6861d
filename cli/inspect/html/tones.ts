/** Colours of blocks: a kind of block has the same one everywhere on a page. */

const tones: Readonly<Record<string, number>> = { single: 0, double: 1, layer: 0, up: 0, down: 0, mid: 1, other: 8 };

/** Number of the page's tone for a kind of block. */
export function toneOf(family: string): number {
  return tones[family] ?? 8;
}

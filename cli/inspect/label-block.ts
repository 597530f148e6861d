/** Which block of its network a value, a weight or a launch belongs to, from its name. */

export interface BlockName {
  /** What equal blocks have in common: `single`, `layer`, `up`. */
  readonly family: string;
  readonly index: number | undefined;
}

/** Names in modules (`single.3.mul`) and in checkpoints (`single_transformer_blocks.3.attn`), most specific first. */
const patterns: readonly (readonly [RegExp, string])[] = [
  [/(?:^|[^a-z_])single(?:_transformer_blocks)?\.(\d+)\./, 'single'],
  [/(?:^|[^a-z_])(?:double|transformer_blocks)\.(\d+)\./, 'double'],
  [/(?:^|[^a-z_])layers?\.(\d+)\./, 'layer'],
  [/(?:^|[^a-z_])down(?:_blocks)?\.(\d+)\./, 'down'],
  [/(?:^|[^a-z_])up(?:_blocks)?\.(\d+)\./, 'up'],
  [/(?:^|[^a-z_])mid(?:_block)?\./, 'mid'],
];

/** The block of `label`, or undefined for what stands between the blocks. */
export function blockOf(label: string): BlockName | undefined {
  for (const [pattern, family] of patterns) {
    const match = pattern.exec(label);
    if (match !== null) return { family, index: match[1] === undefined ? undefined : Number(match[1]) };
  }
  return undefined;
}

/** `single.3`, `mid`, or `other`. */
export function blockLabel(block: BlockName | undefined): string {
  if (block === undefined) return 'other';
  return block.index === undefined ? block.family : `${block.family}.${block.index}`;
}

import { describe, expect, it } from 'vitest';
import { blockLabel, blockOf } from './label-block.js';

describe('blockOf', () => {
  it.each([
    ['single.3.mul.1', 'single.3'],
    ['transformer.single_transformer_blocks.12.attn.to_out.weight', 'single.12'],
    ['double.0.rope', 'double.0'],
    ['transformer.transformer_blocks.7.ff.linear_in.weight', 'double.7'],
    ['text_encoder.model.layers.4.mlp.down_proj.weight', 'layer.4'],
    ['layer.5.add', 'layer.5'],
    ['vae.decoder.up_blocks.2.resnets.0.conv1.weight', 'up.2'],
    ['vae.encoder.down_blocks.1.downsamplers.0.conv.weight', 'down.1'],
    ['mid.attention', 'mid'],
    ['vae.decoder.mid_block.resnets.0.conv1.weight', 'mid'],
    ['transformer.double_stream_modulation_img.single_stream_modulation.linear.weight', 'other'],
    ['transformer.x_embedder.weight', 'other'],
    ['split.42', 'other'],
  ])('%s is of %s', (label, block) => {
    expect(blockLabel(blockOf(label))).toBe(block);
  });
});

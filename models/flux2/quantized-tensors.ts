import type { MayQuantize } from '../../passes/compile.js';

/**
 * With operands in fp8: the projections inside of the transformer's and the text encoder's blocks, where nearly all of the work and of
 * the weights are, and what they add to a residual stream that stays f32. Not the embedders, the modulation and the final layer: they
 * are little work, and an error there is in every block or in the velocity itself. Attention multiplies no weights, and the
 * autoencoder, whose errors are in the picture, is convolutions but for one attention.
 */
export const mayQuantize: MayQuantize = (tensor) =>
  /^(?:transformer_blocks|single_transformer_blocks|model\.layers)\.\d+\./.test(tensor);

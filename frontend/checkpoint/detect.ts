/** Configurations from the shapes of weights, never from the names of files. */
export { detectTransformer, transformerWeightShapes, type TransformerDimensions } from './detect-transformer.js';
export {
  detectTextEncoder,
  laterLayerTensors,
  textEncoderWeightShapes,
  type TextEncoderDimensions,
} from './detect-text-encoder.js';
export {
  autoencoderWeightShapes,
  detectAutoencoder,
  ignorableAutoencoderTensors,
  type AutoencoderDimensions,
} from './detect-autoencoder.js';

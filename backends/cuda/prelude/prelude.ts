import { deviceOpeningText, deviceText } from './device.js';
import { elementsText } from './elements.js';
import { f8e4m3Text } from './f8e4m3.js';
import { functionsText } from './functions.js';
import { deviceMatrixText } from './matrix.js';
import { coordinatesText, deviceTensorText } from './tensor.js';
import { vectorsText } from './vectors.js';
import { deviceWgmmaText } from './wgmma.js';

/**
 * The parts of `flux2c.cuh` that do not depend on who compiles them. They declare what depends on it: whoever includes them
 * defines `F2C_FUNCTION`, `F2C_PLACE`, `F2C_HERE` and `F2C_RSQRT` before, and the functions behind.
 */
export const portablePrelude = [vectorsText, functionsText, elementsText, f8e4m3Text, coordinatesText].join('');

/** The name kernels include. */
export const cudaPreludeName = 'flux2c.cuh';

/**
 * `flux2c.cuh` for nvcc and NVRTC. A module, not a file beside it: it is in the package wherever that is, also where a
 * bundler or a browser put it, and in what an artifact keeps.
 */
export const cudaPrelude = [
  deviceOpeningText,
  portablePrelude,
  deviceText,
  deviceMatrixText,
  deviceWgmmaText,
  deviceTensorText,
].join('');

import { portablePrelude } from '../../../backends/cuda/prelude/prelude.js';
import { barriersText } from './barriers.js';
import { fibersText } from './fibers.js';
import { emulatorOpeningText, intrinsicsText } from './intrinsics.js';
import { launchText } from './launch.js';
import { matrixText } from './matrix.js';
import { memoryText } from './memory.js';
import { orderingText } from './ordering.js';
import { schedulerText } from './scheduler.js';
import { tensorText } from './tensor.js';
import { wgmmaText } from './wgmma.js';

/**
 * Stands for `flux2c.cuh` when g++ compiles the text of a kernel: the same registers, functions and conversions, with
 * threads as fibers and memory that reports what a GPU leaves undefined.
 */
export const emulatorHeader = [
  emulatorOpeningText,
  portablePrelude,
  fibersText,
  orderingText,
  memoryText,
  intrinsicsText,
  matrixText,
  wgmmaText,
  barriersText,
  tensorText,
  schedulerText,
  launchText,
].join('');

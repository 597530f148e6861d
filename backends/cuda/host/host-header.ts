import { deviceText } from './header/device.js';
import { elementsText } from './header/elements.js';
import { filesText } from './header/files.js';
import { inputsText } from './header/inputs.js';
import { jsonText } from './header/json.js';
import { launchText } from './header/launch.js';
import { mainText } from './header/main.js';
import { openingText } from './header/opening.js';
import { operationsText } from './header/operations.js';
import { runText } from './header/run.js';
import { tensorMapsText } from './header/tensor-maps.js';
import { weightsText } from './header/weights.js';

/** The name under which `host.cu` includes it. */
export const hostHeaderName = 'flux2c-host.h';

/** What a host program needs and no model changes. A module for the same reason as `cudaPrelude`. */
export const hostHeader = [
  openingText,
  elementsText,
  jsonText,
  filesText,
  weightsText,
  operationsText,
  inputsText,
  tensorMapsText,
  deviceText,
  runText,
  launchText,
  mainText,
].join('');

import { deviceText } from './runtime/device.js';
import { elementsText } from './runtime/elements.js';
import { filesText } from './runtime/files.js';
import { inputsText } from './runtime/inputs.js';
import { jsonText } from './runtime/json.js';
import { launchText } from './runtime/launch.js';
import { mainText } from './runtime/main.js';
import { openingText } from './runtime/opening.js';
import { operationsText } from './runtime/operations.js';
import { runText } from './runtime/run.js';
import { weightsText } from './runtime/weights.js';

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
  deviceText,
  runText,
  launchText,
  mainText,
].join('');

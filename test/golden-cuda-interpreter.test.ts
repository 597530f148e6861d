/** The transformers' golden cases as CUDA computes them, by the thread interpreter: matrix fragments, operands in bf16. */
import { describe } from 'vitest';
import { cudaTarget } from '../backends/cuda/cuda-target.js';
import { InterpreterDevice } from '../runtime/interpreter-device.js';
import { goldenNetworks } from './golden-cases.js';
import { describeGoldenCases } from './golden-on-device.js';

/** bf16 has 8 bits; the differences of a whole network stay within two hundredths. */
const tolerance = { maxAbs: 0.1, relativeL2: 2e-2 };

describe('golden cases with operands in bf16 on CUDA, interpreted', () => {
  const device = new InterpreterDevice(cudaTarget(['sm_80']));
  const transformers = goldenNetworks.filter(({ name }) => name.startsWith('transformer'));
  // One case each: the interpreter takes seconds for it.
  const networks = transformers.map((network) => ({ ...network, cases: network.cases.slice(0, 1) }));
  describeGoldenCases(() => device, networks, tolerance, { operands: 'bf16' });
});

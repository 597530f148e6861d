/** Golden cases as GPUs compute them through WebGPU with f16 operands, by the thread interpreter: matrices of subgroups. */
import { describe } from 'vitest';
import { InterpreterDevice } from '../runtime/interpreter-device.js';
import { hopperWebgpu } from './webgpu-targets.js';
import { boundedTolerance } from './bounded-factors.js';
import { type GoldenNetwork, goldenNetworks } from './golden-cases.js';
import { describeGoldenCases } from './golden-on-device.js';

/** Halves have 11 bits; the differences of a whole network stay within a hundredth. */
const tolerance = { maxAbs: 0.1, relativeL2: 1e-2 };

describe('golden cases with operands in f16 on a GPU through WebGPU, interpreted', () => {
  const device = new InterpreterDevice(hopperWebgpu);
  // One case of each function: the interpreter takes seconds for it.
  const networksIn = (...folders: readonly string[]): readonly GoldenNetwork[] =>
    folders.flatMap((folder) => {
      const network = goldenNetworks.find(({ name }) => name.startsWith(folder));
      const first = new Map(network?.cases.toReversed().map((one) => [one.function, one]));
      return network === undefined ? [] : [{ ...network, cases: [...first.values()] }];
    });
  const networks = networksIn('transformer-tiny', 'vae-tiny', 'text-encoder-tiny');
  describeGoldenCases(() => device, networks, tolerance, { operands: 'f16' });
  describe('where a norm bounds them', () => {
    describeGoldenCases(() => device, networksIn('vae-tiny'), boundedTolerance, { operands: 'f16_where_bounded' });
  });
});

import { afterAll, describe, expect, it } from 'vitest';
import { cudaTarget } from '../backends/cuda/cuda-target.js';
import { CudaEmulatorDevice } from '../runtime/cuda/node/emulator-device.js';
import { hasProgram } from './cuda-tools.js';
import { goldenNetworks } from './golden-cases.js';
import { describeGoldenCases } from './golden-on-device.js';

/** bf16 has 8 bits: two hundredths of the whole result, whatever a single element is off by. */
const tolerance = { maxAbs: Infinity, relativeL2: 2e-2 };

/** Stored in bf16, so that matrix fragments multiply them; one case of each kind of function. */
const networks = ['transformer-klein-tiny', 'vae-tiny', 'text-encoder'].flatMap((folder) =>
  goldenNetworks
    .filter(({ name }) => name.startsWith(folder))
    .map((network) => {
      const kinds = new Set(network.cases.map((golden) => golden.function));
      const cases = [...kinds].map((kind) => network.cases.find((golden) => golden.function === kind)!);
      return { ...network, cases };
    }),
);

if (await hasProgram('g++', 'golden cases in bf16 on the CUDA emulator')) {
  describe.each(['sm_80', 'sm_90a'] as const)(
    'golden cases with operands in bf16 for %s on the CUDA emulator',
    (name) => {
      const device = new CudaEmulatorDevice({ target: cudaTarget([name]) });
      afterAll(() => device.destroy());
      it('has networks of every kind', () => {
        expect(networks.length).toBeGreaterThanOrEqual(4);
      });
      describeGoldenCases(() => device, networks, tolerance, { operands: 'bf16' });
    },
  );
}

import { afterAll, describe, expect, it } from 'vitest';
import { boundedTolerance } from './bounded-factors.js';
import { goldenNetworks } from './golden-cases.js';
import { describeGoldenCases, openTestDevice } from './golden-on-device.js';

/** Halves have 11 bits; the differences of a whole network stay within a hundredth. */
const tolerance = { maxAbs: 0.1, relativeL2: 1e-2 };

/** The first case of each kind of network: the policy is the same in all. */
const folders = ['transformer-tiny', 'vae-tiny', 'text-encoder-tiny'];
const networks = folders.flatMap((folder) => {
  const network = goldenNetworks.find(({ name }) => name.startsWith(folder));
  return network === undefined ? [] : [{ ...network, cases: network.cases.slice(0, 1) }];
});

const device = await openTestDevice('lavapipe', 'golden cases with operands in f16');
if (device !== undefined) {
  afterAll(() => device.destroy());
  describe('golden cases on lavapipe with operands in f16', () => {
    it('has a device with f16 and three networks', () => {
      expect(device.target.f16).toBe(true);
      expect(networks).toHaveLength(folders.length);
    });
    describeGoldenCases(() => device, networks, tolerance, { operands: 'f16' });
  });
  describe('golden cases of the autoencoder on lavapipe with operands in f16 where a norm bounds them', () => {
    const autoencoders = goldenNetworks.filter(({ name }) => name.startsWith('vae-tiny'));
    describeGoldenCases(() => device, autoencoders, boundedTolerance, { operands: 'f16_where_bounded' });
  });
}

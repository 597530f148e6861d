/** The embedded autoencoder with factors in f16, rounded by the reference: where a norm bounds them, and everywhere. */
import { beforeAll, describe, expect, it } from 'vitest';
import { portableWebgpu } from '../backends/target.js';
import type { HostTensor } from '../ir/host-tensor.js';
import { type CompileOptions, passesFor } from '../passes/compile.js';
import { runGraphPasses } from '../passes/pass.js';
import { differenceInLevels, type EmbeddedAutoencoder, openEmbeddedAutoencoder } from './embedded-autoencoder.js';
import { interpretWith } from './flux2-components.js';

const target = { ...portableWebgpu, f16: true };

describe('the embedded autoencoder', () => {
  let autoencoder: EmbeddedAutoencoder;
  beforeAll(async () => {
    autoencoder = await openEmbeddedAutoencoder();
  });

  /** The picture that the graph behind all passes makes of the latents. */
  const decode = (operands: NonNullable<CompileOptions['operands']>): HostTensor => {
    const { module, weights, latents } = autoencoder;
    const functions = new Map([['vae_decoder', module.functions.get('vae_decoder')!]]);
    const made = runGraphPasses({ ...module, functions }, passesFor(module, target, { operands }), target);
    return interpretWith([weights], made, 'vae_decoder', { latents }, 'f32').get('image')!;
  };

  it('has weights that f16 holds', () => {
    const largest = [...autoencoder.weights.tensors.values()].map(({ data }) => data.reduce((most, value) => Math.max(most, Math.abs(value)), 0)); // prettier-ignore
    expect(largest.length).toBeGreaterThan(100);
    expect(Math.max(...largest)).toBeLessThan(100);
  });

  it('decodes to within a level of 255 with f16 where a norm bounds the factors, and to nothing with f16 everywhere', () => {
    const wide = decode('f32');
    const difference = differenceInLevels(decode('f16_where_bounded'), wide);
    expect(difference).toBeGreaterThan(0.01);
    expect(difference).toBeLessThan(1);
    expect(differenceInLevels(decode('f16'), wide)).toBeNaN();
  });
});

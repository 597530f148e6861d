/** The embedded autoencoder with factors in f16, rounded by the reference: where a norm bounds them, and everywhere. */
import { beforeAll, describe, expect, it } from 'vitest';
import { portableWebgpu } from '../backends/target.js';
import { isProduct } from '../ir/graph/products.js';
import type { HostTensor } from '../ir/host-tensor.js';
import { type CompileOptions, passesFor } from '../passes/compile.js';
import { chooseFactors } from '../passes/graph/choose-factors.js';
import { decompose } from '../passes/graph/decompose.js';
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

  it('reads tens in products with factors in f16, and in others what f16 does not hold', () => {
    const { module, weights, latents } = autoencoder;
    const functions = new Map([['vae_decoder', module.functions.get('vae_decoder')!]]);
    const passes = [decompose, chooseFactors({ type: 'f16', of: 'bounded' })];
    const made = runGraphPasses({ ...module, functions }, passes, target);
    const fn = made.functions.get('vae_decoder')!;
    const products = fn.body.operations.filter(isProduct);
    const resultNames = products.map((_, at) => `left${at}`);
    const shown = { ...fn, resultNames, body: { ...fn.body, results: products.map(({ operands: [x] }) => x!) } };
    const showing = { ...made, functions: new Map([['vae_decoder', shown]]) };
    const results = interpretWith([weights], showing, 'vae_decoder', { latents }, 'f32');
    const largest = { f16: 0, f32: 0 };
    products.forEach(({ attributes }, at) => {
      const of = attributes.factors === 'f16' ? 'f16' : 'f32';
      const { data } = results.get(`left${at}`)!;
      largest[of] = data.reduce((most, value) => Math.max(most, Math.abs(value)), largest[of]);
    });
    expect(largest.f16).toBeGreaterThan(1);
    expect(largest.f16).toBeLessThan(64);
    expect(largest.f32).toBeGreaterThan(65504);
  });

  it('decodes to within a level of 255 with f16 where a norm bounds the factors, and to nothing with f16 everywhere', () => {
    const wide = decode('f32');
    const difference = differenceInLevels(decode('f16_where_bounded'), wide);
    expect(difference).toBeGreaterThan(0.01);
    expect(difference).toBeLessThan(1);
    expect(differenceInLevels(decode('f16'), wide)).toBeNaN();
  });
});

/** Golden transformers and text encoders with operands in int8, on any device. */
import { expect, it } from 'vitest';
import { mayQuantize } from '../models/flux2/quantized-tensors.js';
import type { Device } from '../runtime/device.js';
import { oneCaseOfEachFunction } from './golden-cases.js';
import { describeGoldenCases } from './golden-on-device.js';

/**
 * Of the whole result; what a single element is off by says nothing. Measured on the processor: 0.0080 klein (up to 0.0143 keys of
 * references), 0.034 dev, 0.021 and 0.030 the text encoders. In fp8 they are off by 0.024, 0.123, 0.074 and 0.125.
 */
const tolerances: Readonly<Record<string, number>> = {
  'transformer-klein-tiny': 0.02,
  'transformer-tiny': 0.045,
  'text-encoder-tiny': 0.03,
  'text-encoder-qwen3-tiny': 0.04,
};

const networks = oneCaseOfEachFunction(tolerances);

export function describeGoldenInt8(device: () => Device): void {
  it('has networks of every kind', () => {
    expect(networks.length).toBeGreaterThanOrEqual(5);
  });
  describeGoldenCases(device, networks, undefined, { operands: 'int8', mayQuantize });
}

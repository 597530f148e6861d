import { expect } from 'vitest';
import { kernelPrinter } from '../backends/print-kernel.js';
import { interpretFunction } from '../ir/graph/interpret.js';
import { parseModule } from '../ir/graph/parse.js';
import { compareTensors, type HostTensor } from '../ir/host-tensor.js';
import { compileModule, type CompileOptions } from '../passes/compile.js';
import type { Device } from '../runtime/device.js';
import { fromHostTensor, toHostTensor } from '../runtime/host-array.js';
import { Session } from '../runtime/session.js';
import { memoryWeights } from '../runtime/weight-provider.js';
import type { Tolerance } from './golden-cases.js';
import { Random } from './random.js';

/**
 * Golden cases of autoencoders with f16 where a norm bounds the factors. Measured: at most 1.3e-3 and 6.2e-4 where products are rounded as
 * asked (all factors in f16: 2.4e-3 and 9.2e-4). lavapipe, whose compiler drops the rounding of what is in registers, is off by 4e-6.
 */
export const boundedTolerance: Tolerance = { maxAbs: 2.5e-3, relativeL2: 1.2e-3 };

/** A block of an autoencoder's: one convolution reads what a norm makes of the stream, the other the stream. */
const text = `weight @after : f32[32, 3, 3, 64] = tensor "after"
weight @beside : f32[32, 1, 1, 64] = tensor "beside"
weight @scale : f32[64] = tensor "scale"
weight @shift : f32[64] = tensor "shift"
func @f(%x: f32[1, h, 10, 64]) -> (normalised: %a, raw: %b) {
  %norm = group_norm(%x, @scale, @shift) {groups = 4, eps = 1e-6}
  %act = silu(%norm)
  %a = conv2d(%act, @after) {stride = 1, padding = [1, 1, 1, 1]}
  %b = conv2d(%x, @beside) {stride = 1, padding = [0, 0, 0, 0]}
}`;

/** Relative L2 of what a device computes against the reference in f64; NaN where a result is not finite. */
export interface BlockDifferences {
  readonly normalised: number;
  readonly raw: number;
}

/** Runs the block on a stream with numbers up to 2·10⁵. */
export async function measureBlock(
  device: Device,
  operands: NonNullable<CompileOptions['operands']>,
): Promise<BlockDifferences> {
  const module = parseModule(text);
  const random = new Random(11);
  const fill = (shape: readonly number[], of: (at: number) => number): HostTensor => {
    const length = shape.reduce((count, size) => count * size, 1);
    return { dtype: 'f32', shape, data: Float64Array.from({ length }, (_, at) => Math.fround(of(at))) };
  };
  const weights = new Map(
    [...module.weights].map(([name, { type }]) => {
      const shape = type.shape.map((size) => size.evaluate({}));
      return [name, fill(shape, () => random.between(-0.1, 0.1))];
    }),
  );
  const x = fill([1, 9, 10, 64], () => random.between(-1e5, 2e5));
  const { plans, kernels } = compileModule(module, device.target, { print: kernelPrinter(device.target), operands });
  const session = await Session.create({ plan: plans.get('f')!, kernels, device, weights: memoryWeights(weights) });
  const got = await session.run(new Map([['x', fromHostTensor(x)]]));
  await session.destroy();
  const want = interpretFunction(module, 'f', new Map([['x', x]]), (name) => weights.get(name)!, { precision: 'f64' });
  const difference = (name: string): number => {
    const tensor = toHostTensor(got.get(name)!);
    return tensor.data.every(Number.isFinite) ? compareTensors(tensor, want.get(name)!).relativeL2 : NaN;
  };
  return { normalised: difference('normalised'), raw: difference('raw') };
}

/** f16 has 11 bits: factors that are rounded to it cost a product a relative 2^-12 or so. */
export function expectOneInHalves({ normalised, raw }: BlockDifferences): void {
  expect(raw).toBeLessThan(1e-6);
  expect(normalised).toBeGreaterThan(1e-4);
  expect(normalised).toBeLessThan(5e-4);
}

/** Products of random shapes with random epilogues, in every way that GPUs multiply matrices, on the interpreter and as CUDA C++. */
import { afterAll, describe, it } from 'vitest';
import { printCuda } from '../backends/cuda/cuda.js';
import { add, attention, linear, mul, reshape, silu, split, transpose } from '../frontend/index.js';
import type { FunctionGraph, Tensor } from '../frontend/index.js';
import { CudaEmulatorDevice } from '../runtime/cuda/node/emulator-device.js';
import { InterpreterDevice } from '../runtime/interpreter-device.js';
import { hasProgram } from './cuda-tools.js';
import { expectSameNumbers, type MatrixCase, matrixTargets, prepareMatrixCase } from './matrix-cases.js';
import { Random } from './random.js';

type RandomCase = Omit<MatrixCase, 'fragments' | 'shared' | 'walking'>;

/** Rows, columns and depth around whole tiles and far from them; depths are whole pieces of 16 bytes. */
function randomProduct(random: Random): RandomCase {
  const rows = random.pick([1, 17, 64, 65, 128, 129, random.integer(2, 420)]);
  const columns = 2 * random.pick([1, 33, 64, 128, 129, random.integer(2, 300)]);
  const depth = 8 * random.pick([1, 8, 9, 16, random.integer(1, 60)]);
  const kind = random.pick(['plain', 'bias', 'residual', 'gated'] as const);
  const build = (g: FunctionGraph): void => {
    const x = silu(g.input('x', 'f32', ['batch', 'tokens', depth]));
    const product = linear(x, g.weight('w', 'bf16', [columns, depth]));
    const bias = (): Tensor<'f32', 3> => add(product, g.input('bias', 'f32', [columns]));
    if (kind === 'plain') g.output({ y: product });
    else if (kind === 'bias') g.output({ y: bias() });
    else if (kind === 'residual')
      g.output({ y: add(bias(), g.input('residual', 'f32', ['batch', 'tokens', columns])) });
    else {
      const [gate, up] = split(product, 2, [columns / 2, columns / 2]);
      g.output({ y: mul(silu(gate), up) });
    }
  };
  const batch = random.pick([1, 1, 2]);
  const inputs = {
    x: [batch, rows, depth],
    ...(kind !== 'plain' && kind !== 'gated' && { bias: [columns] }),
    ...(kind === 'residual' && { residual: [batch, rows, columns] }),
  };
  return { what: `${kind} product ${batch}×${rows}×${depth} to ${columns}`, build, inputs };
}

function randomAttention(random: Random): RandomCase {
  const [heads, size] = [random.pick([1, 2, 3]), random.pick([32, 64, 80, 128])];
  const tokens = random.pick([1, 63, 128, 129, random.integer(2, 280)]);
  const [masked, causal] = [random.chance(0.3), random.chance(0.4)];
  const build = (g: FunctionGraph): void => {
    const x = silu(g.input('x', 'f32', ['batch', 'tokens', heads * size]));
    const project = (name: string): Tensor<'f32', 4> => {
      const projected = linear(x, g.weight(name, 'bf16', [heads * size, heads * size]));
      return transpose(reshape(projected, ['batch', 'tokens', heads, size]), [0, 2, 1, 3]);
    };
    const allowed = masked ? { mask: g.input('mask', 'bool', ['batch', 'tokens']) } : {};
    g.output({ y: attention(project('q'), project('k'), project('v'), { ...allowed, causal }) });
  };
  const inputs = { x: [1, tokens, heads * size], ...(masked && { mask: [1, tokens] }) };
  const what = `${causal ? 'causal ' : ''}${masked ? 'masked ' : ''}attention of ${heads} heads of ${size}, ${tokens} tokens`;
  return { what, build, inputs };
}

function randomCases(seed: number): readonly MatrixCase[] {
  const random = new Random(seed);
  const cases = [
    ...Array.from({ length: 7 }, () => randomProduct(random)),
    randomAttention(random),
    randomAttention(random),
  ];
  return cases.map((one) => ({ ...one, fragments: 0, shared: 0, walking: 0 }));
}

const hasCompiler = await hasProgram('g++', 'random products on the CUDA emulator');

describe.each(matrixTargets)('random products %s', (_, target) => {
  const device = new CudaEmulatorDevice({ target });
  afterAll(() => device.destroy());

  it.each(randomCases(matrixTargets.findIndex(([, one]) => one === target) + 11))('$what', async (test) => {
    await expectSameNumbers(
      prepareMatrixCase(test, target, () => ''),
      new InterpreterDevice(target),
    );
    if (hasCompiler) await expectSameNumbers(prepareMatrixCase(test, target, printCuda), device);
  });
});

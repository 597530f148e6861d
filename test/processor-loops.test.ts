/** Schedules of the processor, tiles in memory and sections, against the graph: by the thread interpreter and on the device. */
import { afterAll, describe, expect, it } from 'vitest';
import { cpuTarget } from '../backends/target.js';
import type { DimBinding } from '../ir/dim.js';
import { interpretFunction } from '../ir/graph/interpret.js';
import { parseModule } from '../ir/graph/parse.js';
import { compareTensors } from '../ir/host-tensor.js';
import { verifyThreadKernel } from '../ir/kernel/thread-verify.js';
import { createWeightReader } from '../passes/validate.js';
import { createCpuDevice } from '../runtime/cpu/node/cpu-device.js';
import { compile, tensor } from '../runtime/index.js';
import { patternCases, patternWeights } from './run-pass.js';
import { validatePlan } from './validate-plan.js';

const device = createCpuDevice({ threads: 2 });
afterAll(() => device.destroy());

/** Holds the only function of a module against the graph; gives the schedules of its kernels. */
async function validate(text: string, sizes: DimBinding): Promise<readonly string[]> {
  const module = parseModule(text);
  const [sample] = patternCases(module, sizes);
  if (sample === undefined) throw new Error('no function');
  const { functionName, inputs } = sample;
  const readTensor = patternWeights(module);
  const { compiled } = validatePlan({ module, functionName, inputs, readTensor }, cpuTarget);
  for (const { thread } of compiled.kernels.values()) verifyThreadKernel(thread, cpuTarget);
  const names = [...module.weights.values()].map(({ source }) => (source.kind === 'tensor' ? source.tensor : ''));
  const weights = Object.fromEntries(
    names.map((name) => {
      const { shape, data } = readTensor(name);
      return [name, tensor('f32', shape, [...data])];
    }),
  );
  const model = await compile(module, device).load(device, { weights });
  const given = Object.fromEntries(
    [...inputs].map(([name, { dtype, shape, data }]) => [name, tensor(dtype as 'f32' | 'bool', shape, [...data])]),
  );
  const results = await model.run(functionName, given);
  const want = interpretFunction(module, functionName, inputs, createWeightReader(module, readTensor), {
    precision: 'f64',
  });
  for (const [name, expected] of want) {
    const data = Float64Array.from(results.get(name, 'f32').data);
    expect(compareTensors({ ...expected, data }, expected).relativeL2, name).toBeLessThan(2e-6);
  }
  await model.destroy();
  return [...compiled.kernels.values()].map(({ schedule }) => JSON.stringify(schedule));
}

describe('attention in loops over memory', () => {
  it.each([
    // size, query heads, key heads, queries, keys
    [4, 1, 1, 1, 1],
    [16, 2, 1, 3, 5],
    [32, 4, 2, 7, 33],
    [64, 2, 2, 34, 17],
    [128, 2, 1, 5, 70],
    [512, 1, 1, 9, 18],
  ])('of heads of %i, %i for %i, %i queries and %i keys', async (size, heads, keyHeads, queries, keys) => {
    for (const attributes of ['causal = false', 'causal = true']) {
      const text = `func @f(%q: f32[2, ${heads}, n, ${size}], %k: f32[2, ${keyHeads}, m, ${size}], %v: f32[2, ${keyHeads}, m, ${size}]) -> (y: %y) {
        %y = attention(%q, %k, %v) {scale = 0.75, ${attributes}}
      }`;
      const [schedule] = await validate(text, { n: queries, m: keys });
      expect(schedule).toContain('"walked":true');
    }
  });

  it.each([
    [8, 6, 11],
    [64, 70, 40],
  ])('with a mask, heads of %i, %i queries and %i keys', async (size, n, m) => {
    const text = `func @f(%q: f32[2, 2, n, ${size}], %k: f32[2, 2, m, ${size}], %v: f32[2, 2, m, ${size}], %mask: bool[2, m]) -> (y: %y) {
      %y = attention(%q, %k, %v, %mask) {scale = 0.5, causal = false}
    }`;
    expect((await validate(text, { n, m }))[0]).toContain('"walked":true');
  });

  it('keeps heads that are no vectors in registers', async () => {
    const text = `func @f(%q: f32[1, 2, n, 6], %k: f32[1, 2, m, 6], %v: f32[1, 2, m, 6]) -> (y: %y) {
      %y = attention(%q, %k, %v) {scale = 0.5, causal = false}
    }`;
    expect((await validate(text, { n: 5, m: 9 }))[0]).not.toContain('"walked"');
  });
});

describe('convolutions in sections', () => {
  it.each([
    // rows, columns, channels in and out, filter, stride, padding
    [5, 7, 4, 4, [3, 3], 1, [1, 1, 1, 1]],
    [9, 6, 12, 5, [3, 3], 2, [0, 0, 1, 1]],
    [8, 3, 8, 10, [2, 5], 1, [3, 2, 0, 3]],
    [1, 1, 36, 32, [3, 3], 1, [1, 1, 1, 1]],
    [6, 5, 4, 3, [1, 3], 1, [0, 1, 0, 1]],
  ] as const)('of %i×%i with %i to %i channels, filter %j', async (rows, columns, c, o, filter, stride, padding) => {
    const text = `weight @w : f32[${o}, ${filter.join(', ')}, ${c}] = tensor "w"
      weight @b : f32[${o}] = tensor "b"
      func @f(%x: f32[2, ${rows}, ${columns}, ${c}]) -> (y: %y) {
        %c = conv2d(%x, @w) {stride = ${stride}, padding = [${padding.join(', ')}]}
        %y = add(%c, @b)
      }`;
    const schedules = await validate(text, {});
    expect(schedules.some((schedule) => schedule.includes(`"section":${c}`))).toBe(true);
  });

  it('of sizes that vary, of a picture made larger and of one tap', async () => {
    const text = (taps: number, padding: number): string => `weight @w : f32[8, ${taps}, ${taps}, 8] = tensor "w"
      func @f(%x: f32[1, n, m, 8]) -> (y: %y) {
        %s = silu(%x)
        %l = upsample_nearest(%s) {factor = 2}
        %y = conv2d(%l, @w) {stride = 1, padding = [${padding}, ${padding}, ${padding}, ${padding}]}
      }`;
    for (const sizes of [
      { n: 3, m: 5 },
      { n: 1, m: 2 },
      { n: 11, m: 4 },
    ]) {
      expect((await validate(text(3, 1), sizes)).join()).toContain('"section":8');
      expect((await validate(text(1, 0), sizes)).join()).not.toContain('"section"');
    }
  });
});

describe('products whose lanes run along the columns', () => {
  it.each([
    [1, 1, 4],
    [5, 7, 12],
    [34, 9, 20],
    [70, 33, 64],
  ])('of %i rows, depth %i and %i columns', async (rows, depth, columns) => {
    const text = `weight @w : f32[${depth}, ${columns}] = tensor "w"
      func @f(%x: f32[n, ${depth}], %a: f32[2, n, ${depth}], %b: f32[2, ${depth}, ${columns}]) -> (y: %y, z: %z) {
        %p = matmul(%x, @w) {transposeB = false}
        %y = silu(%p)
        %z = matmul(%a, %b) {transposeB = false}
      }`;
    const schedules = await validate(text, { n: rows });
    expect(schedules).toHaveLength(2);
    for (const schedule of schedules) expect(schedule).toContain('"k":{"threads":1,"registers":1,"vector":1}');
  });
});

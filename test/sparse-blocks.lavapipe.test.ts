/** One double and one single block of klein-4b, with weights out of a file of the real size, on a software driver. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kernelPrinter } from '../backends/print-kernel.js';
import { canonicalizeTransformer, type Checkpoint, type WeightTable } from '../frontend/checkpoint/index.js';
import { openCheckpoint } from '../frontend/checkpoint/node/open-checkpoint.js';
import { createModule, type FunctionGraph } from '../frontend/index.js';
import type { DimBinding } from '../ir/dim.js';
import { f32ToBf16 } from '../ir/dtype.js';
import type { Module } from '../ir/graph/graph.js';
import { compareTensors, countElements, type HostTensor } from '../ir/host-tensor.js';
import { applyDoubleBlock, applySingleBlock } from '../models/flux2/transformer-blocks.js';
import { buildJointRope, type Modulation } from '../models/flux2/transformer-conditioning.js';
import { variants } from '../models/flux2/variants.js';
import { ComponentWeights } from '../models/flux2/weights.js';
import { compileModule } from '../passes/compile.js';
import { createCpuDevice } from '../runtime/cpu/node/cpu-device.js';
import type { Device } from '../runtime/device.js';
import { fromHostTensor, toHostTensor } from '../runtime/host-array.js';
import { planWithinBudget } from '../runtime/memory/plan-memory.js';
import type { BoundPlan } from '../runtime/plan/bound-plan.js';
import { Session } from '../runtime/session.js';
import { checkpointWeights } from '../runtime/weights.js';
import { compilingTimeoutMs, openTestDevice } from './golden-on-device.js';
import { Random } from './random.js';
import { tensorsOf, writeSparseCheckpoint } from './sparse-checkpoint.js';

const variant = variants['klein-4b'];
const config = variant.transformer;
/** Blocks whose weights lie behind 4 GiB of the file, which has them in the order of their names. */
const [singleIndex, doubleIndex] = [9, 4];
const [img, txt] = [6, 5];

/** Adds an input f32[1, 1, hidden] for each of shift, scale and gate. */
function modulationInput(graph: FunctionGraph, name: string): Modulation {
  const part = (kind: string) => graph.input(`${name}_${kind}`, 'f32', [1, 1, config.hidden]);
  return { shift: part('shift'), scale: part('scale'), gate: part('gate') };
}

/** (text f32[1, txt, H], image f32[1, img, H], modulations, ids) -> the streams after a block. */
function buildBlock(kind: 'double' | 'single'): Module {
  const module = createModule();
  const graph = module.function('block');
  const context = { weights: new ComponentWeights(graph, 'transformer', () => 'bf16'), config };
  const ids = (name: string) => graph.input(`${name}_ids`, 'i32', [name, config.ropeAxes.length]);
  const ropes = buildJointRope(config, ids('txt'), ids('img'));
  if (kind === 'single') {
    const tokens = graph.input('tokens', 'f32', [1, 'txt+img', config.hidden]);
    const modulation = modulationInput(graph, 'single');
    graph.output({ tokens: applySingleBlock(context, singleIndex, tokens, modulation, ropes.joint).tokens });
    return module.build();
  }
  const text = graph.input('text', 'f32', [1, 'txt', config.hidden]);
  const image = graph.input('image', 'f32', [1, 'img', config.hidden]);
  const stream = (name: string) => ({
    attention: modulationInput(graph, `${name}_attention`),
    feedForward: modulationInput(graph, `${name}_feed_forward`),
  });
  const modulations = { text: stream('text'), image: stream('image') };
  const after = applyDoubleBlock(context, doubleIndex, { text, image }, modulations, ropes);
  graph.output({ text: after.text, image: after.image });
  return module.build();
}

/** Numbers for every input of the function, by its declared shape. */
function makeInputs(module: Module): ReadonlyMap<string, HostTensor> {
  const random = new Random(11);
  const { parameters } = module.functions.get('block')!.body;
  return new Map(
    parameters.map(({ name, type }) => {
      const shape = type.shape.map((dim) => dim.evaluate({ img, txt }));
      const number = type.dtype === 'i32' ? () => random.integer(0, 40) : () => Math.fround(random.between(-1, 1));
      return [name, { dtype: type.dtype, shape, data: Float64Array.from({ length: countElements(shape) }, number) }];
    }),
  );
}

interface Weights {
  readonly checkpoint: Checkpoint;
  readonly table: WeightTable;
}

type RunBlock = (
  module: Module,
  device: Device,
  weights: Weights,
  inputs: ReadonlyMap<string, HostTensor>,
) => Promise<ReadonlyMap<string, HostTensor>>;

/** With all of the block's weights on the device. */
const runResident: RunBlock = (module, device, weights, inputs) => runBlockOn(module, device, weights, inputs);

/** A block's weights need 240 or 300 MB: they take turns in a third of that. */
const runWithBudget: RunBlock = (module, device, weights, inputs) =>
  runBlockOn(module, device, weights, inputs, 100 * 2 ** 20);

async function runBlockOn(
  module: Module,
  device: Device,
  { checkpoint, table }: Weights,
  inputs: ReadonlyMap<string, HostTensor>,
  budgetBytes?: number,
): Promise<ReadonlyMap<string, HostTensor>> {
  const compiled = compileModule(module, device.target, { print: kernelPrinter(device.target) });
  const { kernels } = compiled;
  const plan = compiled.plans.get('block')!;
  const planFor = (sizes: DimBinding, deviceBytes: number): BoundPlan =>
    planWithinBudget(plan, sizes, device.target, kernels, { deviceBytes }).bound;
  const memory = budgetBytes && { deviceBytes: budgetBytes, plan: (sizes: DimBinding) => planFor(sizes, budgetBytes) };
  const weights = checkpointWeights(checkpoint, table);
  const session = await Session.create({ plan, kernels, device, weights, ...(memory && { memory }) });
  const arrays = new Map([...inputs].map(([name, input]) => [name, fromHostTensor(input)]));
  const results = await session.run(arrays);
  if (budgetBytes !== undefined) expect(device.usage.bytes).toBeLessThanOrEqual(budgetBytes);
  await session.destroy();
  expect(device.usage.bytes).toBe(0);
  return new Map([...results].map(([name, array]) => [name, toHostTensor(array)]));
}

/** How a block is run. */
const runs: readonly (readonly [string, RunBlock])[] = [
  ['resident', runResident],
  ['streamed', runWithBudget],
];

/** A prime number of them, so that no two rows of a matrix are the same. */
const patternLength = 65_537;

function pattern(seed: number, low: number, high: number): Uint8Array {
  const random = new Random(seed);
  const numbers = Uint16Array.from({ length: patternLength }, () => f32ToBf16(random.between(low, high)));
  return new Uint8Array(numbers.buffer);
}

/** The single block's weights, and the double block's but for the text's after attention, which stay 0. */
function someContents(): ReadonlyMap<string, Uint8Array> {
  const names = [...tensorsOf('transformer', variant).keys()].filter(
    (name) =>
      name.startsWith(`single_transformer_blocks.${singleIndex}.`) ||
      (name.startsWith(`transformer_blocks.${doubleIndex}.`) && !/ff_context|to_add_out/.test(name)),
  );
  return new Map(
    names.map((name, index) => [name, name.includes('norm') ? pattern(index, 0.5, 1.5) : pattern(index, -0.03, 0.03)]),
  );
}

const root = mkdtempSync(join(tmpdir(), 'flux2c-sparse-blocks-'));
afterAll(() => rmSync(root, { recursive: true }));

const device = await openTestDevice('lavapipe', 'blocks of klein-4b');
describe.runIf(device !== undefined)('a block of klein-4b', () => {
  const opened = new Map<string, Weights>();
  beforeAll(async () => {
    for (const [name, contents] of [
      ['zeros', new Map<string, Uint8Array>()] as const,
      ['numbers', someContents()] as const,
    ]) {
      await writeSparseCheckpoint(join(root, name), 'klein-4b', { shardBytes: Infinity, contents });
      const checkpoint = await openCheckpoint(join(root, name, 'transformer'));
      opened.set(name, { checkpoint, table: canonicalizeTransformer(checkpoint) });
    }
  });
  afterAll(async () => {
    for (const { checkpoint } of opened.values()) await checkpoint.close();
    await device?.destroy();
  });

  describe.each(runs)('%s', { timeout: compilingTimeoutMs }, (_, runBlock) => {
    it.each(['double', 'single'] as const)(
      'of the %s kind leaves tokens as they are where weights are zeros',
      async (kind) => {
        const module = buildBlock(kind);
        const inputs = makeInputs(module);
        const results = await runBlock(module, device!, opened.get('zeros')!, inputs);
        for (const [name, { data }] of results) expect(data).toEqual(inputs.get(name)!.data);
      },
    );

    it.each(['double', 'single'] as const)('of the %s kind computes what the processor does', async (kind) => {
      const module = buildBlock(kind);
      for (const { source } of module.weights.values()) {
        if (source.kind !== 'tensor') throw new Error('blocks declare plain tensors');
        expect(opened.get('numbers')!.checkpoint.tensors.get(source.tensor)!.offset).toBeGreaterThan(2 ** 32);
      }
      const inputs = makeInputs(module);
      const processor = createCpuDevice();
      const want = await runResident(module, processor, opened.get('numbers')!, inputs);
      await processor.destroy();
      const results = await runBlock(module, device!, opened.get('numbers')!, inputs);
      for (const [name, result] of results) {
        expect(compareTensors(result, want.get(name)!).relativeL2, name).toBeLessThan(2e-5);
        const change = compareTensors(result, inputs.get(name)!).relativeL2;
        if (name === 'text') expect(change).toBe(0);
        else expect(change).toBeGreaterThan(0.1);
      }
    });
  });
});

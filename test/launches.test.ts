/** What a denoising step launches, and the bytes that it moves, where invocations multiply numbers of their own. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { cpuTarget, portableWebgpu, type Target } from '../backends/target.js';
import { leastTraffic } from '../cli/inspect/traffic.js';
import { createModule } from '../frontend/index.js';
import type { DimBinding } from '../ir/dim.js';
import { parseModule } from '../ir/graph/parse.js';
import { storageBytes } from '../ir/kernel/thread-interpret-memory.js';
import type { LaunchStep, Plan, PlanStep } from '../ir/plan.js';
import { parseTransformerConfig, type TransformerConfig } from '../models/flux2/config.js';
import { addDenoise } from '../models/flux2/denoise.js';
import { variants } from '../models/flux2/variants.js';
import { compileModule } from '../passes/compile.js';
import type { CompiledModule } from '../passes/compiled.js';

const path = 'models/flux2/checkpoint/transformer/config.json';
const configs: readonly (readonly [string, TransformerConfig])[] = [
  ['flux2-shapes', parseTransformerConfig(readFileSync(path, 'utf8'), path)],
  ['dev', variants.dev.transformer],
  ['klein-9b', variants['klein-9b'].transformer],
  ['klein-4b', variants['klein-4b'].transformer],
];
const lavapipe: Target = {
  ...portableWebgpu,
  stagingPays: false,
  maxStorageBuffers: 16,
  subgroups: { min: 8, max: 8 },
};
const targets: readonly (readonly [string, Target])[] = [
  ['any WebGPU adapter', portableWebgpu],
  ['a WebGPU driver in software', lavapipe],
  ['the processor', cpuTarget],
];

function compileDenoise(
  config: TransformerConfig,
  target: Target,
  references = false,
  encoding?: string,
): CompiledModule {
  const module = createModule();
  addDenoise(module, config, { guidance: config.guidanceEmbeds, cfg: false, references }, () => 'bf16');
  const encodingOf = (tensor: string): string | undefined => (tensor.includes('blocks.') ? encoding : undefined);
  return compileModule(module.build(), target, { print: () => '', ...(encoding !== undefined && { encodingOf }) });
}

function stepOf({ plans }: CompiledModule): readonly PlanStep[] {
  const [plan] = plans.values();
  const loop = plan?.steps.find((step) => step.kind === 'loop');
  if (loop === undefined) throw new Error('the plan has no loop');
  return loop.steps;
}

const launchesOf = (steps: readonly PlanStep[]): readonly LaunchStep[] =>
  steps.filter((step): step is LaunchStep => step.kind === 'launch');

/** The operations of a kernel's name, without its digest. */
const workOf = ({ kernel }: LaunchStep): string => kernel.slice(0, kernel.lastIndexOf('_'));

const kindsOfStep = [
  'attention',
  'layer_norm_mul_add',
  // Latents in and velocity out.
  'matmul',
  'matmul_matmul_silu_mul',
  'matmul_mul_add',
  'matmul_split_rms_norm_3more',
  // Text before the first block: its norm is that of every step.
  'mul_add',
];
/** Heads and gated pairs of a single block together. */
const jointKind = 'matmul_split_split_6more';
const joins = ({ stagingPays }: Target): boolean => !stagingPays;

describe.each(targets)('a denoising step on %s', (_, target) => {
  describe.each(configs)('of %s', (_, config) => {
    const count = (doubleBlocks: number, singleBlocks: number, references = false): number =>
      launchesOf(stepOf(compileDenoise({ ...config, doubleBlocks, singleBlocks }, target, references))).length;

    const ofSingle = joins(target) ? 4 : 5;
    it.each([false, true])(`has ${ofSingle} launches a single block, 11 a double one; references: %s`, (references) => {
      const some = count(2, 2, references);
      expect(count(2, 3, references) - some).toBe(ofSingle);
      expect(count(3, 2, references) - some).toBe(11);
    });

    it('moves nothing for its own sake, and copies the latents alone', () => {
      const steps = stepOf(compileDenoise({ ...config, doubleBlocks: 2, singleBlocks: 2 }, target));
      const kinds = new Set(launchesOf(steps).map(workOf));
      for (const kind of ['', 'copy', 'transpose', 'concat', 'slice', 'split', 'reshape', 'broadcast'])
        expect(kinds).not.toContain(kind);
      expect([...kinds].sort()).toEqual([...kindsOfStep, ...(joins(target) ? [jointKind] : [])].sort());
      // Those of the next step.
      expect(steps.filter(({ kind }) => kind === 'copy')).toHaveLength(1);
    });
  });
});

describe.each(targets.slice(1))('a denoising step with encoded weights on %s', (_, target) => {
  it.each(['q4_1', 'nf4:64', 'int8'])('launches what it does with dense ones: %s', (encoding) => {
    for (const [, config] of configs) {
      const few = { ...config, doubleBlocks: 2, singleBlocks: 2 };
      const worksWith = (one?: string): readonly string[] =>
        launchesOf(stepOf(compileDenoise(few, target, false, one))).map(workOf);
      const works = worksWith(encoding);
      expect(works.filter((work) => work.includes('dequantize')).length).toBeGreaterThan(10);
      expect(works.length).toBe(worksWith().length);
      expect(works.filter((work) => !work.includes('matmul') && work.includes('dequantize'))).toEqual([]);
    }
  });
});

/** A step's bytes by the plan's account, in launches and copies. */
function bytesOf(steps: readonly PlanStep[], { storages }: Plan, sizes: DimBinding): number {
  return steps.reduce((sum, step) => {
    if (step.kind === 'launch') return sum + step.bytes.evaluate({ ...sizes, step: 0 });
    if (step.kind !== 'copy') throw new Error(`a ${step.kind} in a step`);
    return sum + 2 * step.size.evaluate(sizes) * storageBytes(storages[step.to.storage]?.storage ?? 'f32');
  }, 0);
}

describe('the bytes of a step', () => {
  it.each(configs)('are at most 1.15 × those of products and attentions: %s', (_, config) => {
    // Where heads and gates are products of their own, whose operand counts twice: joining them moves less.
    const apart = compileDenoise(config, portableWebgpu);
    const [planApart] = apart.plans.values();
    for (const [, target] of targets.slice(0, 2)) {
      const compiled = compileDenoise(config, target);
      const [plan] = compiled.plans.values();
      for (const [img, txt] of [
        [64, 24],
        [1024, 512],
        [4096, 512],
      ] as const) {
        const sizes = { batch: 1, img, txt, steps: 4 };
        const least = leastTraffic(planApart!, sizes, apart.kernels);
        const bytes = bytesOf(stepOf(compiled), plan!, sizes);
        expect(bytes).toBeGreaterThan(leastTraffic(plan!, sizes, compiled.kernels));
        if (joins(target)) expect(bytes).toBeLessThan(bytesOf(stepOf(apart), planApart!, sizes));
        expect(bytes / least, `${img} and ${txt} tokens`).toBeLessThan(1.15);
      }
    }
  });

  it('have each weight once, and what products read and write', () => {
    const text = `weight @w : f32[8, 8] = tensor "w"
    func @f(%x: f32[n, 8], %y: f32[n, 8]) -> (a: %a, b: %b, c: %c) {
      %a = matmul(%x, @w) {transposeB = true}
      %b = matmul(%y, @w) {transposeB = true}
      %c = layer_norm(%a) {eps = 0.001}
    }`;
    const { plans, kernels } = compileModule(parseModule(text), cpuTarget, { print: () => '' });
    // Two products of 10 rows in and out, one weight; the norm counts nothing.
    expect(leastTraffic(plans.get('f')!, { n: 10 }, kernels)).toBe(4 * (2 * (80 + 80) + 64));
  });
});

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { cudaTarget } from '../backends/cuda/cuda-target.js';
import { cpuTarget, portableWebgpu } from '../backends/target.js';
import { createModule } from '../frontend/index.js';
import { parseModule } from '../ir/graph/parse.js';
import type { LaunchStep, Plan, PlanStep } from '../ir/plan.js';
import { parseTransformerConfig } from '../models/flux2/config.js';
import { addDenoise } from '../models/flux2/denoise.js';
import { addTransformer } from '../models/flux2/transformer.js';
import { compileModule } from '../passes/compile.js';
import type { CompiledModule } from '../passes/compiled.js';
import { instantiatePlan } from '../runtime/instantiate.js';

const path = 'test/golden/transformer-tiny/config.json';
const config = parseTransformerConfig(readFileSync(path, 'utf8'), path);

function compileTransformer(): CompiledModule {
  const module = createModule();
  addTransformer(module, config, () => 'bf16');
  addDenoise(module, config, { guidance: true, cfg: false, references: false }, () => 'bf16');
  return compileModule(module.build(), portableWebgpu, { print: () => '' });
}

function compileText(text: string, target = portableWebgpu): CompiledModule {
  return compileModule(parseModule(text), target, { print: () => '' });
}

function flatten(steps: readonly PlanStep[]): readonly PlanStep[] {
  return steps.flatMap((step) => (step.kind === 'loop' ? flatten(step.steps) : step));
}

function launchesOf(steps: readonly PlanStep[]): readonly LaunchStep[] {
  return flatten(steps).filter((step) => step.kind === 'launch');
}

/** What a kernel does, from its name: the operations without the digest. */
function workOf({ kernel }: LaunchStep): string {
  return kernel.slice(0, kernel.lastIndexOf('_'));
}

/** The launches after that of one weight up to that of another. */
function between(launches: readonly LaunchStep[], after: string, to: string): readonly LaunchStep[] {
  const at = (weight: string): number => launches.findIndex(({ label }) => label === weight);
  return launches.slice(at(after) + 1, at(to) + 1);
}

const compiled = compileTransformer();
const stepsOf = (name: string): readonly PlanStep[] => compiled.plans.get(name)?.steps ?? [];
const single = (block: number): string => `transformer.single_transformer_blocks.${block}.attn.to_out.weight`;

describe('the plan of the tiny transformer', () => {
  const launches = launchesOf(stepsOf('transformer'));

  it('has five launches a single-stream block', () => {
    const block = between(launches, single(0), single(1));
    expect(block.map(workOf)).toEqual([
      'layer_norm_mul_add',
      'matmul_split_rms_norm_3more',
      'attention',
      'matmul_matmul_silu_mul',
      'matmul_mul_add',
    ]);
  });

  it('has eleven launches a double-stream block', () => {
    const block = launches.filter(({ label }) => /^(transformer\.transformer_blocks|double)\.1\./.test(label));
    const ofStream = ['matmul_split_rms_norm_3more', 'matmul_mul_add', 'matmul_matmul_silu_mul', 'matmul_mul_add'];
    // Text and image, in an order that the graph gives; their norms are one.
    const norms = ['layer_norm_mul_add', 'layer_norm_mul_add'];
    expect(block.map(workOf).sort()).toEqual([...norms, ...ofStream, ...ofStream, 'attention'].sort());
  });

  it('lets attention and the MLP write in place what the output product reads', () => {
    const [, , attention, mlp, output] = between(launches, single(0), single(1)) as readonly LaunchStep[];
    const written = [attention, mlp].map((step) => step?.bindings.at(-1));
    const read = output?.bindings[0];
    expect(written.map((binding) => binding?.storage)).toEqual([read?.storage, read?.storage]);
    expect(written.map((binding) => binding?.offset.text)).toEqual(['0', `${config.hidden}`]);
    expect(written.map((binding) => binding?.access)).toEqual(['write', 'write']);
  });

  it('lets both residual streams lie in what their norm reads', () => {
    const norm = launches.find(({ label }) => label.startsWith('double.1.add.1'));
    const before = launches.slice(0, launches.indexOf(norm as LaunchStep));
    const writes = before.flatMap(({ bindings }) => bindings.filter(({ access }) => access === 'write'));
    const read = norm?.bindings.filter(({ storage }) => writes.filter((one) => one.storage === storage).length === 2);
    expect(read?.map(({ offset }) => offset.text)).toEqual(['0']);
  });

  it('joins text and image where the products write them', () => {
    // Queries, keys and values of both streams: six parts of three storages that one attention reads.
    const attention = launches.find(({ label }) => label === 'double.0.attention');
    const joined = attention?.bindings.slice(0, 3).map(({ storage }) => storage) ?? [];
    expect(new Set(joined).size).toBe(3);
    const before = launches.slice(0, launches.indexOf(attention as LaunchStep));
    const writes = before.flatMap(({ bindings }) => bindings.filter(({ access }) => access === 'write'));
    for (const storage of joined) expect(writes.filter((binding) => binding.storage === storage)).toHaveLength(2);
  });

  it.each(['transformer', 'denoise'])('moves nothing for its own sake: %s', (name) => {
    const steps = flatten(stepsOf(name));
    const moving = ['copy', 'transpose', 'concat', 'reshape', 'slice', 'split', 'broadcast', ''];
    expect(launchesOf(steps).filter((step) => moving.includes(workOf(step)))).toEqual([]);
    // The loop's first latents and those of the next step.
    const copies = steps.flatMap((step) => (step.kind === 'copy' ? [step.label] : []));
    expect(copies).toHaveLength(name === 'denoise' ? 2 : 0);
  });

  it('shares kernels among blocks, double and single, and among functions', () => {
    const kernelsOf = (block: number): readonly string[] =>
      between(launches, single(block), single(block + 1)).map(({ kernel }) => kernel);
    expect(kernelsOf(1)).toEqual(kernelsOf(0));
    expect(kernelsOf(2)).toEqual(kernelsOf(0));
    const double = launches.filter(({ label }) => label.startsWith('transformer.transformer_blocks.'));
    expect(double.length).toBeGreaterThan(10);
    expect(new Set(double.map(({ kernel }) => kernel)).size).toBeLessThanOrEqual(5);
    const used = new Set(
      [...compiled.plans.values()].flatMap(({ steps }) => launchesOf(steps).map(({ kernel }) => kernel)),
    );
    expect([...compiled.kernels.keys()].sort()).toEqual([...used].sort());
  });
});

describe('the plan of the tiny transformer on CUDA', () => {
  const module = createModule();
  addTransformer(module, config, () => 'bf16');
  const { plans } = compileModule(module.build(), cudaTarget(['sm_80']), { print: () => '', operands: 'bf16' });
  const launches = launchesOf(plans.get('transformer')?.steps ?? []);

  it('has five launches a single-stream block', () => {
    const block = between(launches, single(0), single(1));
    expect(block.map(workOf)).toEqual([
      'layer_norm_mul_add',
      'matmul_split_rms_norm_3more',
      'attention',
      'matmul_matmul_silu_mul',
      'matmul_mul_add',
    ]);
  });

  it('has thirteen launches a double-stream block', () => {
    const block = launches.filter(({ label }) => /^(transformer\.transformer_blocks|double)\.1\./.test(label));
    expect(block).toHaveLength(13);
  });
});

describe('a group norm', () => {
  it('reads no more of a large picture than fits a binding, many rows at a time', () => {
    const text = `weight @w : f32[128] = tensor "w"
    func @f(%x: f32[b, h, w, 128]) -> (y: %y) {
      %y = group_norm(%x, @w, @w) {groups = 32, eps = 0.000001}
    }`;
    const { plans, kernels } = compileText(text);
    const plan = plans.get('f') as Plan;
    expect(launchesOf(plan.steps).map(workOf)).toEqual(['group_moments', 'combine_moments', 'group_apply']);
    const { steps } = instantiatePlan(plan, { b: 1, h: 1024, w: 1024 }, portableWebgpu, kernels);
    const pieces = steps.filter((step) => step.kind === 'launch' && step.kernel.startsWith('group_moments'));
    expect(pieces).toHaveLength(4);
    for (const piece of pieces) {
      expect(piece).toMatchObject({ workgroups: [8, 256, 1], bindings: [{ byteLength: 128 * 2 ** 20 }, {}] });
    }
  });
});

describe('kernels', () => {
  it('are one for other names of sizes, with the sizes of each use', () => {
    const text = `weight @a : bf16[8, 4] = tensor "a"
    weight @b : bf16[8, 4] = tensor "b"
    func @f(%x: f32[img, 4], %y: f32[img, txt]) -> (y: %p, z: %s) {
      %p = matmul(%x, @a) {transposeB = true}
      %t = transpose(%y) {permutation = [1, 0]}
      %s = silu(%t)
    }
    func @g(%x: f32[2*k, 4], %y: f32[n, m]) -> (y: %p, z: %s) {
      %p = matmul(%x, @b) {transposeB = true}
      %t = transpose(%y) {permutation = [1, 0]}
      %s = silu(%t)
    }`;
    const { plans, kernels } = compileText(text);
    const [f, g] = ['f', 'g'].map((name) => launchesOf(plans.get(name)?.steps ?? []));
    expect(f?.[1]?.kernel).toBe(g?.[1]?.kernel);
    const sizesOf = (step: LaunchStep | undefined): readonly string[] => step?.parameters.map(({ value }) => value.text) ?? []; // prettier-ignore
    expect(sizesOf(f?.[1])).toEqual(['txt', 'img']);
    expect(sizesOf(g?.[1])).toEqual(['m', 'n']);
    expect(f?.[0]?.grid[0].extent.text).toBe('img');
    expect(g?.[0]?.grid[0].extent.text).toBe('2*k');
    expect(kernels.size).toBe(3);
  });

  it('bind as many storage buffers as the target has, not more', () => {
    const text = `func @f(%x: f32[img, 4], %a: f32[img, 4], %b: f32[img, 4], %c: f32[4], %d: f32[4]) -> (y: %r) {
      %p = add(%x, %a)
      %q = mul(%p, %b)
      %s = mul(%q, %c)
      %r = add(%s, %d)
    }`;
    const countOf = (most: number): readonly number[] =>
      launchesOf(compileText(text, { ...cpuTarget, maxStorageBuffers: most }).plans.get('f')?.steps ?? []).map(({ bindings }) => bindings.length); // prettier-ignore
    expect(countOf(8)).toEqual([6]);
    expect(countOf(4)).toEqual([4, 4]);
  });
});

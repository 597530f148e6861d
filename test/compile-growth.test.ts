/** What compiling a network does for each of its blocks. */
import { expect, it } from 'vitest';
import { portableWebgpu } from '../backends/target.js';
import type { LaunchStep, Plan } from '../ir/plan.js';
import { describeRelease } from '../models/flux2/compiled-model.js';
import { buildFunction } from '../models/flux2/component-functions.js';
import { compileModule, KernelCache } from '../passes/compile.js';

const release = describeRelease('klein-4b');

function compile(blocks: number, cache = new KernelCache()): { readonly plan: Plan; readonly printed: number } {
  const transformer = { ...release.transformer!, doubleBlocks: blocks / 4, singleBlocks: (3 * blocks) / 4 };
  const module = buildFunction({ ...release, transformer }, 'transformer', () => 'bf16');
  let printed = 0;
  const print = (): string => `text ${printed++}`;
  const { plans } = compileModule(module, portableWebgpu, { print, cache });
  return { plan: plans.get('transformer')!, printed };
}

const launchesOf = ({ steps }: Plan): readonly LaunchStep[] => steps.filter((step) => step.kind === 'launch');

it('makes a kernel for each kind of group, however many blocks have it', () => {
  const [few, many] = [compile(8), compile(32)];
  expect(launchesOf(many.plan).length).toBeGreaterThan(3 * launchesOf(few.plan).length);
  expect(many.printed).toBe(few.printed);
  // What a launch takes of its kernel is the very object that the first such launch took: nothing was built again.
  const distinct = (plan: Plan): number => new Set(launchesOf(plan).map(({ parameters }) => parameters)).size;
  expect(distinct(many.plan)).toBe(distinct(few.plan));
});

it('takes the kernels of a module compiled before, and gives the plan that it would give alone', () => {
  const cache = new KernelCache();
  const [first, second] = [compile(8, cache), compile(16, cache)];
  expect(first.printed).toBeGreaterThan(0);
  expect(second.printed).toBe(0);
  expect(JSON.stringify(second.plan)).toBe(JSON.stringify(compile(16).plan));
});

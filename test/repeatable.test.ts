/** Compiling again gives the same bytes, whatever was compiled before. */
import { describe, expect, it } from 'vitest';
import { cpuTarget, portableWebgpu, type Target } from '../backends/target.js';
import { compileFunctions } from '../models/flux2/compile-artifact.js';
import { describeModel } from '../models/flux2/compiled-model.js';
import { availableFunctions } from '../models/flux2/component-functions.js';
import { encodeDescription } from '../models/flux2/description-json.js';
import { closeModel, loadModel, storedTypes } from '../models/flux2/load-model.js';
import type { NetworkName } from '../models/flux2/networks.js';
import { openModelFiles } from '../models/flux2/node/open-model.js';
import { encodeArtifact } from '../runtime/artifact.js';

/** The embedded checkpoint as an artifact: texts by path. */
async function compileEmbedded(
  target: Target,
  order: (names: readonly NetworkName[]) => readonly NetworkName[],
): Promise<ReadonlyMap<string, string>> {
  const loaded = await loadModel(await openModelFiles());
  try {
    const description = describeModel(loaded);
    const { functions, kernels } = compileFunctions({
      description,
      functions: order(availableFunctions(description)),
      target,
      dtypesOf: (component) => storedTypes(component, loaded[component]!),
    });
    const model = encodeDescription(description);
    const plans = new Map([...functions].map(([name, { plan }]) => [name, plan]));
    const builds = new Map([['only', { target, architectures: [], plans, kernels }]]);
    const parts = { compiler: 'test', model, functions, builds, files: new Map(), weights: null };
    const files = await encodeArtifact(parts);
    return new Map([...files].map(([path, bytes]) => [path, new TextDecoder().decode(bytes)]));
  } finally {
    await closeModel(loaded);
  }
}

describe('an artifact of the embedded checkpoint', () => {
  it.each([
    ['WebGPU', portableWebgpu],
    ['the processor', cpuTarget],
  ] as const)('for %s is the same when it is compiled again, in any order', async (_, target) => {
    const first = await compileEmbedded(target, (names) => names);
    expect([...first.keys()].filter((path) => path.startsWith('plans/'))).toHaveLength(6);
    expect(first.size).toBeGreaterThan(50);
    const again = await compileEmbedded(target, (names) => names.toReversed());
    expect([...again.keys()].sort()).toEqual([...first.keys()].sort());
    for (const [path, text] of first) expect(again.get(path) === text, path).toBe(true);
  });
});

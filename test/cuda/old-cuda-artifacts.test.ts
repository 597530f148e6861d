/** Artifacts of version 3 for GPUs, which had no builds: what is found in them, and which devices run them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CudaArchitecture, cudaTarget } from '../../backends/cuda/cuda-target.js';
import { openArtifactFolder, openArtifactModel, writeArtifactFolder } from '../../cli/artifact-folder.js';
import { compileBuilds } from '../../cli/compile-builds.js';
import { planWeights } from '../../cli/compile-weights.js';
import { usedTensors } from '../../models/flux2/compile-artifact.js';
import { describeModel } from '../../models/flux2/compiled-model.js';
import { encodeDescription } from '../../models/flux2/description-json.js';
import { closeModel, loadModel, storedTypes } from '../../models/flux2/load-model.js';
import { openModelFiles } from '../../models/flux2/node/open-model.js';
import { encodeArtifact } from '../../runtime/artifact.js';
import { createCpuDevice } from '../../runtime/cpu/node/cpu-device.js';
import { kernelHeaders } from '../../runtime/cuda/node/open-cuda.js';
import { runCommandLine } from '../cli-harness.js';
import { type Json, rewriteManifest, withoutBuilds } from '../rewrite-manifest.js';
import { openMockDevice } from './mock-device.js';
import { encode } from './artifact-encoding.js';

const root = mkdtempSync(join(tmpdir(), 'flux2c-old-cuda-artifacts-'));
afterAll(() => rmSync(root, { recursive: true }));

/** The embedded text encoder as version 3 wrote it: with kernels that copy no boxes, and machine code for these GPUs. */
async function writeVersion3(name: string, architectures: readonly CudaArchitecture[]): Promise<string> {
  const path = join(root, name);
  const { tensorCopies: _, fp8: _fp8, ...target } = cudaTarget(architectures);
  const model = await loadModel(await openModelFiles(undefined, {}));
  try {
    const description = describeModel(model);
    const builds = compileBuilds({
      description,
      functions: ['text_encoder'],
      targets: [{ target, architectures }],
      operands: 'bf16',
      dtypesOf: (component) => storedTypes(component, model[component]!),
      onFunction: () => undefined,
    });
    const [build] = builds as [(typeof builds)[0]];
    const kernels = [...build.kernels].map(([kernel, compiled]) => {
      const code = architectures.map((architecture) => [architecture, new TextEncoder().encode(kernel)] as const);
      return [kernel, { ...compiled, binaries: new Map(code) }] as const;
    });
    const plans = new Map([...build.functions].map(([fn, { plan }]) => [fn, plan]));
    const planned = await planWeights(model, usedTensors(builds), true);
    const files = await encodeArtifact({
      compiler: 'test',
      model: encodeDescription(description),
      functions: build.functions,
      builds: new Map([[build.name, { target: build.target, architectures, plans, kernels: new Map(kernels) }]]),
      headers: kernelHeaders,
      files: new Map(),
      weights: planned.weights,
    });
    await writeArtifactFolder(path, files, (folder) => planned.write(folder));
  } finally {
    await closeModel(model);
  }
  rewriteManifest(path, (fields) => {
    const { target: now, ...old } = withoutBuilds(fields);
    const { narrowStores, tileWalks, mixedAccess, ...then } = now as Json;
    expect([narrowStores, tileWalks, mixedAccess]).toEqual([true, true, true]);
    return { ...old, target: then, version: 3 };
  });
  return path;
}

describe('an artifact of version 3 for GPUs', () => {
  let want: readonly number[] = [];
  beforeAll(async () => {
    const path = join(root, 'processor');
    const { exitCode, stderr } = await runCommandLine([
      ...['compile', '-o', path, '--component', 'text_encoder', '--target', 'cpu'],
    ]);
    if (exitCode !== 0) throw new Error(stderr);
    const cpu = createCpuDevice();
    want = await encode(path, cpu);
    await cpu.destroy();
  });

  it.each([
    ['mma', ['sm_80', 'sm_86'], [8, 6]],
    ['wgmma', ['sm_90a'], [9, 0]],
  ] as const)('is one build, %s for %j, which runs on %j', async (family, architectures, capability) => {
    const path = await writeVersion3(family, architectures);
    const { manifest, loadBuild } = await openArtifactFolder(path);
    expect(manifest.version).toBe(3);
    expect([...manifest.builds.keys()]).toEqual([family]);
    const build = manifest.builds.get(family)!;
    expect(build.architectures).toEqual(architectures);
    expect([...build.plans.keys()]).toEqual(['text_encoder']);
    expect(build.kernels).toEqual([...manifest.kernels.keys()]);
    expect(build.target).toMatchObject({ backend: 'cuda', matrix: family, narrowStores: true, tileWalks: true });
    expect(build.target).not.toHaveProperty('tensorCopies');
    const { kernels } = await loadBuild(family);
    expect(kernels.size).toBe(build.kernels.length);
    expect([...kernels.values()].some(({ source }) => source.includes(`f2c::${family}_m`))).toBe(true);

    const { device, compiler, driver } = openMockDevice({ capability });
    expect(device.target.tensorCopies).toBe(family === 'wgmma' ? true : undefined);
    const got = await encode(path, device);
    // Factors are bf16, of 8 bits; the processor's are f32.
    const largest = Math.max(...want.map(Math.abs));
    expect(Math.max(...got.map((value, index) => Math.abs(value - want[index]!))) / largest).toBeLessThan(2e-2);
    expect(compiler.compiled).toEqual([]);
    await device.destroy();
    expect(driver.leaks).toEqual([]);
  });

  it('for sm_90a asks for what other GPUs have not', async () => {
    const path = await writeVersion3('refused', ['sm_90a']);
    const { device } = openMockDevice({ capability: [8, 9] });
    await expect(openArtifactModel(path, device)).rejects.toMatchObject({
      code: 'F2C533',
      detail: { expected: expect.stringMatching(/^wgmma for sm_90a, which needs matrix products by wgmma/) as unknown },
    });
    await device.destroy();
  });
});

import { describe, expect, it } from 'vitest';
import { cudaTarget } from '../../backends/cuda/cuda-target.js';
import { cpuTarget, portableWebgpu } from '../../backends/target.js';
import { ARTIFACT_VERSION } from './manifest-body.js';
import { decodeManifest, encodeManifest, type ArtifactManifest } from './manifest.js';

describe('manifest', () => {
  it.each([
    ['CPU', cpuTarget],
    ['WebGPU', portableWebgpu],
    ['sm_80', cudaTarget(['sm_80'])],
    ['sm_90a', cudaTarget(['sm_90a'])],
  ])('keeps what a target can do: %s', async (_, target) => {
    const manifest: ArtifactManifest = {
      version: ARTIFACT_VERSION,
      compiler: 'test',
      model: null,
      functions: new Map(),
      builds: new Map([['one', { target, architectures: [], plans: new Map(), kernels: [] }]]),
      files: [],
      weights: null,
      kernels: new Map(),
      headers: [],
    };
    const bytes = new TextEncoder().encode(await encodeManifest(manifest));
    expect((await decodeManifest(bytes, 'manifest')).builds.get('one')?.target).toEqual(target);
  });
});

/** Operands in int8 on the command line and in artifacts: what asks for them, what refuses them and with what words. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { cudaTarget } from '../backends/cuda/cuda-target.js';
import { portableWebgpu, type Target } from '../backends/target.js';
import { openArtifactFolder } from '../cli/artifact-folder.js';
import { parseModule } from '../ir/graph/parse.js';
import { compileModule } from '../passes/compile.js';
import { chooseBuild } from '../runtime/artifact/choose-build.js';
import { targetOfAdapter, type AdapterFacts } from '../runtime/webgpu/webgpu-target.js';
import { runCommandLine } from './cli-harness.js';

const root = mkdtempSync(join(tmpdir(), 'flux2c-byte-artifacts-'));
afterAll(() => rmSync(root, { recursive: true }));

async function compile(name: string, ...options: readonly string[]) {
  const path = join(root, name);
  return { path, ...(await runCommandLine(['compile', '-o', path, ...options])) };
}

const buildsOf = async (path: string) => (await openArtifactFolder(path)).manifest.builds;

function without(target: Target): Target {
  const { packedDots: _, ...others } = target;
  return others;
}

describe('operands in int8', () => {
  const module = parseModule('func @f(%x: f32[n]) -> (y: %y) {\n %y = silu(%x)\n}');

  it.each([
    ['an NVIDIA GPU with 8-bit floats', cudaTarget(['sm_89']), 'f32, f16, bf16 or fp8', '--operands fp8'],
    ['an older one', cudaTarget(['sm_80']), 'f32, f16, bf16', '--operands fp8'],
    ['WebGPU without them', without(portableWebgpu), 'f32', 'packed_4x8_integer_dot_product'],
  ])('are refused on %s, with what there is', (_, target, expected, hint) => {
    expect(() => compileModule(module, target, { print: () => '', operands: 'int8' })).toThrow(
      expect.objectContaining({
        code: 'F2C307',
        detail: expect.objectContaining({ expected, hint: expect.stringContaining(hint) as string }) as object,
      }),
    );
  });

  it('are what adapters have whose language has products of packed bytes', () => {
    const facts: AdapterFacts = {
      limits: {
        maxComputeWorkgroupStorageSize: 16384,
        maxComputeInvocationsPerWorkgroup: 256,
        maxComputeWorkgroupSizeX: 256,
        maxComputeWorkgroupsPerDimension: 65535,
        maxStorageBufferBindingSize: 2 ** 27,
        maxBufferSize: 2 ** 28,
        maxStorageBuffersPerShaderStage: 8,
        minStorageBufferOffsetAlignment: 256,
      },
      features: new Set(),
      info: { isFallbackAdapter: false, subgroupMinSize: 4, subgroupMaxSize: 128 },
    };
    const language = new Set(['packed_4x8_integer_dot_product']);
    expect(targetOfAdapter(facts, {}, language).packedDots).toBe(true);
    expect(targetOfAdapter(facts, { packedDots: false }, language)).not.toHaveProperty('packedDots');
    expect(targetOfAdapter(facts)).not.toHaveProperty('packedDots');
  });

  it('show in what inspect prints, but not for CUDA', async () => {
    const denoise = ['inspect', '--component', 'denoise', '--operands', 'int8'];
    const graph = await runCommandLine([...denoise, '--stop-after', 'quantize-products']);
    expect(graph.stdout).toMatch(/weight @transformer\.\S+\.i8 : i8\[.*quantize_rows\(.*, i8\)/);
    // Not what comes in, what the timestep says and what goes out.
    for (const name of ['x_embedder', 'context_embedder', 'modulation', 'proj_out', 'time_guidance_embed']) {
      expect(graph.stdout).toMatch(new RegExp(`weight @transformer\\.\\S*${name}`));
      expect(graph.stdout).not.toMatch(new RegExp(`weight @transformer\\.\\S*${name}\\S* : i8`));
    }
    const source = await runCommandLine([...denoise, '--emit', 'source', '--kernel', 'matmul']);
    expect(source.stdout).toContain('dot4I8Packed(');
    const refused = await runCommandLine([...denoise, '--target', 'cuda']);
    expect(refused.stderr).toContain('error F2C307');
    expect(refused.stderr).toContain('--operands fp8');
  });
});

describe('an artifact with operands in int8', () => {
  it('is refused by a device without products of packed bytes', async () => {
    const { path, exitCode, stderr } = await compile('webgpu', '--component', 'denoise', '--operands', 'int8');
    expect(exitCode, stderr).toBe(0);
    const builds = await buildsOf(path);
    expect([...builds.values()].map(({ target }) => target.packedDots)).toEqual([true]);
    expect(chooseBuild(path, builds, { target: portableWebgpu, description: 'a browser' })).toBe('webgpu');
    const refusal = expect.objectContaining({
      code: 'F2C533',
      detail: expect.objectContaining({
        expected: expect.stringContaining('packed_4x8_integer_dot_product') as string,
        hint: expect.stringContaining('--target webgpu and other --operands than int8') as string,
      }) as object,
    }) as Error;
    const old = { target: without(portableWebgpu), description: 'an old browser' };
    expect(() => chooseBuild(path, builds, old)).toThrow(refusal);
  });

  it.each([
    ['other operands', ['--component', 'denoise']],
    ['nothing that is quantised', ['--component', 'vae_decoder', '--operands', 'int8']],
  ])('asks for them only where kernels use them: not with %s', async (name, options) => {
    const { path } = await compile(name.replaceAll(' ', '-'), ...options);
    for (const { target } of (await buildsOf(path)).values()) expect(target).not.toHaveProperty('packedDots');
  });
});

/** Dawn's compiler on a device that runs nothing: what it accepts of products of subgroups, on any machine. */
import { beforeAll, describe, expect, it } from 'vitest';
import { printWgsl } from '../backends/webgpu/wgsl.js';
import { parseThreadKernel } from '../ir/kernel/thread-parse.js';
import { verifyThreadKernel } from '../ir/kernel/thread-verify.js';
import { largeCase, smallCase, subgroupProductKernel, type SubgroupProductCase } from './subgroup-products.js';

// Subgroups of this device have up to 128 invocations, and workgroups must be whole ones.
const cases: readonly SubgroupProductCase[] = [
  largeCase,
  { ...largeCase, byDepth: true },
  { ...smallCase, subgroupSize: 32, subgroups: 4 },
  { ...smallCase, subgroupSize: 16, subgroups: 8, byDepth: false },
  { ...largeCase, product: { rows: 8, columns: 16, depth: 16 }, subgroupSize: 16, subgroups: 8 },
];
const features = [
  'chromium-experimental-subgroup-matrix',
  'shader-f16',
  'subgroups',
  'subgroup-size-control',
] as unknown as readonly GPUFeatureName[];

let device: GPUDevice;
// Dawn destroys everything when the object of `create` is collected.
const held: unknown[] = [];

beforeAll(async () => {
  // Dawn polls through setImmediate and would keep a core busy.
  globalThis.setImmediate = ((callback: (...values: unknown[]) => void, ...values: unknown[]) =>
    setTimeout(callback, 1, ...values)) as unknown as typeof setImmediate;
  const { create } = await import('webgpu');
  const gpu = create(['backend=null', 'enable-dawn-features=allow_unsafe_apis']);
  held.push(gpu);
  const adapter = await gpu.requestAdapter();
  if (adapter === null) throw new Error('Dawn has no null device');
  device = await adapter.requestDevice({ requiredFeatures: [...features] });
});

/** The compiler's message, or `accepted`. */
async function compile(code: string): Promise<string> {
  device.pushErrorScope('validation');
  const module = device.createShaderModule({ code });
  held.push(device.createComputePipeline({ layout: 'auto', compute: { module } }));
  return (await device.popErrorScope())?.message ?? 'accepted';
}

describe('WGSL of products of subgroups', () => {
  it.each(cases)('is accepted: $product, subgroups of $subgroupSize, by depth $byDepth', async (one) => {
    const kernel = parseThreadKernel(subgroupProductKernel(one));
    verifyThreadKernel(kernel, {
      workgroupMemory: 16384,
      maxWorkgroupInvocations: 256,
      matrix: 'subgroup',
      subgroupProduct: one.product,
    });
    expect(await compile(printWgsl(kernel))).toBe('accepted');
  });

  it('is refused where an index differs within a subgroup, as by the verifier', async () => {
    const text = subgroupProductKernel(largeCase).replace('slab[subgroup_index *', 'slab[local_index / 64 *');
    const kernel = parseThreadKernel(text);
    expect(await compile(printWgsl(kernel))).toMatch(/to be uniform/);
    const limits = {
      workgroupMemory: 16384,
      maxWorkgroupInvocations: 256,
      matrix: 'subgroup',
      subgroupProduct: largeCase.product,
    } as const;
    expect(() => verifyThreadKernel(kernel, limits)).toThrow(expect.objectContaining({ code: 'F2C225' }) as Error);
  });
});

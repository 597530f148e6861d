import { describe, expect, it } from 'vitest';
import { cudaTarget } from '../backends/cuda/cuda-target.js';
import { portableWebgpu } from '../backends/target.js';
import { mappedProduct, productParameters } from '../test/cuda/mapped-product.js';
import type { BoundLaunch, DeviceBuffer } from './device.js';
import { checkBufferAccess } from './launch-check.js';

const one: DeviceBuffer = { byteLength: 4096, label: 'one', destroy: () => undefined };

/** x, w and what is written of the product, each 256 bytes of one buffer. */
function launchAt(offsets: readonly [number, number, number]): BoundLaunch {
  return {
    kernel: 'mapped_product',
    label: 'to_out',
    bindings: offsets.map((byteOffset) => ({ buffer: one, byteOffset, byteLength: 256 })),
    parameters: productParameters({}),
    workgroups: [1, 1, 1],
  };
}

describe('bindings of one buffer', () => {
  const access = (target: typeof portableWebgpu, ...offsets: [number, number, number]) => {
    return (): void => checkBufferAccess(target, mappedProduct, launchAt(offsets));
  };
  const refusal = (expected: string): Error =>
    expect.objectContaining({
      code: 'F2C514',
      detail: expect.objectContaining({ expected, where: ['launch to_out', 'kernel mapped_product', 'buffer one'] }) as unknown,
    }) as Error; // prettier-ignore

  it('are not read and written by a launch of WebGPU, wherever they lie', () => {
    expect(access(portableWebgpu, 0, 256, 512)).toThrow(
      refusal('read-only and writable bindings in different buffers'),
    );
  });

  it('may be read and written by a launch of CUDA, in different places', () => {
    const cuda = cudaTarget(['sm_90a']);
    expect(access(cuda, 0, 256, 512)).not.toThrow();
    expect(access(cuda, 0, 0, 512)).not.toThrow();
    expect(access(cuda, 0, 512, 256 + 16)).toThrow(refusal('disjoint ranges'));
    expect(access(cuda, 512, 0, 768 - 16)).toThrow(refusal('disjoint ranges'));
  });
});

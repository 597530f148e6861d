/** What is used of onnxruntime, the same in its packages for Node.js and for browsers. */
import { decodeHalves } from '../half-floats.js';
import type { Numbers } from '../numbers.js';

export interface OrtTensor {
  getData(): Promise<unknown>;
  dispose(): void;
}

export interface OrtTensors {
  readonly [name: string]: OrtTensor;
}

export interface OrtSession {
  run(feeds: OrtTensors, fetches?: OrtTensors): Promise<OrtTensors>;
  release(): Promise<void>;
}

export type OrtType = 'float32' | 'float16';

export const ortTypes: Readonly<Record<Numbers, OrtType>> = { f32: 'float32', f16: 'float16' };

export interface Ort {
  readonly env: {
    readonly wasm: { numThreads?: number; wasmBinary?: Uint8Array };
    readonly webgpu: { readonly device: Promise<GPUDevice> | GPUDevice };
  };
  readonly InferenceSession: { create(model: Uint8Array, options: object): Promise<OrtSession> };
  readonly Tensor: {
    /** 16-bit words are bits of f16. */
    new (type: OrtType, values: Float32Array | Uint16Array, shape: readonly number[]): OrtTensor;
    fromGpuBuffer(
      buffer: GPUBuffer,
      options: { readonly dataType: OrtType; readonly dims: readonly number[] },
    ): OrtTensor;
  };
}

/** A copy: the tensor's memory is used again. */
export async function readNumbers(tensor: OrtTensor): Promise<Float32Array> {
  const data = (await tensor.getData()) as Float32Array | Uint16Array;
  if (data instanceof Float32Array) return data.slice();
  // Where JavaScript has arrays of f16 it is one of those.
  return decodeHalves(new Uint16Array(data.buffer, data.byteOffset, data.length));
}

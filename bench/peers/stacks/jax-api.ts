/**
 * What is used of jax-js. Its arrays count references: an operation takes its operands, `ref` gives one more to take. All
 * functions here that use an array keep to that.
 */
export interface JaxArray {
  readonly ref: this;
  readonly shape: readonly number[];
  add(other: JaxArray | number): JaxArray;
  sub(other: JaxArray): JaxArray;
  mul(other: JaxArray | number): JaxArray;
  div(other: JaxArray): JaxArray;
  mean(axis: number, options: { readonly keepdims: boolean }): JaxArray;
  astype(dtype: 'float16' | 'float32'): JaxArray;
  reshape(shape: readonly number[]): JaxArray;
  data(): Promise<ArrayLike<number>>;
  blockUntilReady(): Promise<unknown>;
  dispose(): void;
}

export type JaxDevice = 'webgpu' | 'wasm';

export interface JaxTensors {
  readonly [name: string]: JaxArray;
}

export interface Jax {
  init(...devices: readonly JaxDevice[]): Promise<readonly JaxDevice[]>;
  defaultDevice(device: JaxDevice): void;
  getWebGPUDevice(): GPUDevice;
  jit(program: (tensors: JaxTensors) => JaxArray): (tensors: JaxTensors) => JaxArray;
  readonly numpy: {
    array(values: Float32Array, options: { readonly shape: readonly number[] }): JaxArray;
    matmul(a: JaxArray, b: JaxArray): JaxArray;
    sqrt(x: JaxArray): JaxArray;
    square(x: JaxArray): JaxArray;
    split(x: JaxArray, at: readonly number[] | number, axis: number): JaxArray[];
    concatenate(parts: readonly JaxArray[], axis: number): JaxArray;
  };
  readonly nn: {
    silu(x: JaxArray): JaxArray;
    standardize(x: JaxArray, axis: number, options: { readonly epsilon: number }): JaxArray;
    /** [tokens, heads, headDim] each. */
    dotProductAttention(q: JaxArray, k: JaxArray, v: JaxArray): JaxArray;
  };
  readonly lax: {
    /** Channels before pixels. */
    conv(x: JaxArray, weight: JaxArray, strides: readonly number[], padding: 'SAME'): JaxArray;
  };
}

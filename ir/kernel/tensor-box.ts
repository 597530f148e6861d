import type { BufferParameter, TensorMap, ThreadKernel } from './thread.js';
import { storageBytes } from './thread-interpret-memory.js';

type Buffers = Pick<ThreadKernel, 'buffers'>;

/** Bytes of an element of the buffer that a tensor map is of. */
export function tensorElementBytes({ buffers }: Buffers, { buffer }: Pick<TensorMap, 'buffer'>): number {
  return storageBytes((buffers.find(({ name }) => name === buffer) as BufferParameter).storage);
}

/** Bytes that a copy of one box brings, whether its elements are within the extents or not. */
export function tensorBoxBytes(kernel: Buffers, map: TensorMap): number {
  return map.dimensions.reduce((bytes, { box }) => bytes * box, tensorElementBytes(kernel, map));
}

import { storageBytes } from '../../ir/kernel/thread-interpret-memory.js';
import type { BufferParameter, TensorMap, ThreadKernel } from '../../ir/kernel/thread.js';

/** Bytes of an element of the buffer that a tensor map is of. */
export function tensorElementBytes({ buffers }: Pick<ThreadKernel, 'buffers'>, { buffer }: TensorMap): number {
  return storageBytes((buffers.find(({ name }) => name === buffer) as BufferParameter).storage);
}

/** Bytes that a copy of one box brings. */
export function tensorBoxBytes(kernel: Pick<ThreadKernel, 'buffers'>, map: TensorMap): number {
  return map.dimensions.reduce((bytes, { box }) => bytes * box, tensorElementBytes(kernel, map));
}

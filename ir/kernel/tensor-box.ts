import type { StorageType, TensorMap } from './thread.js';
import { storageBytes } from './thread-interpret-memory.js';

/** Bytes that a copy of one box brings, whether its elements are within the extents or not. */
export function boxBytes({ dimensions }: TensorMap, storage: StorageType): number {
  return dimensions.reduce((product, { box }) => product * box, storageBytes(storage));
}

import type { BarrierArray, RegisterType, SharedArray, ThreadKernel } from '../../ir/kernel/thread.js';

/** Eight rows of 128 bytes, whose swizzle counts from such an address. */
const alignment = 1024;

/** Bytes of a value in workgroup memory. */
export function sharedElementBytes({ scalar, lanes }: RegisterType): number {
  return lanes * (scalar === 'bool' ? 1 : scalar === 'f16' ? 2 : 4);
}

export interface PlacedArray {
  readonly array: SharedArray;
  /** Bytes from the start of the block's dynamic memory. */
  readonly byteOffset: number;
  readonly byteLength: number;
}

/** The kernel's arrays one behind the other in the block's dynamic memory. */
export function placeSharedArrays(kernel: Pick<ThreadKernel, 'shared'>): readonly PlacedArray[] {
  let end = 0;
  return kernel.shared.map((array) => {
    const byteOffset = Math.ceil(end / alignment) * alignment;
    const byteLength = array.length * sharedElementBytes(array.type);
    end = byteOffset + byteLength;
    return { array, byteOffset, byteLength };
  });
}

/** Bytes of an `mbarrier`, and its alignment. */
const barrierBytes = 8;

export interface PlacedBarriers {
  readonly barriers: BarrierArray;
  /** Bytes from the start of the block's dynamic memory. */
  readonly byteOffset: number;
  readonly byteLength: number;
}

/** The kernel's barriers behind its arrays. */
export function placeBarriers(kernel: Pick<ThreadKernel, 'shared' | 'barriers'>): readonly PlacedBarriers[] {
  let end = Math.ceil(endOf(placeSharedArrays(kernel)) / barrierBytes) * barrierBytes;
  return (kernel.barriers ?? []).map((barriers) => {
    const byteOffset = end;
    const byteLength = barriers.length * barrierBytes;
    end += byteLength;
    return { barriers, byteOffset, byteLength };
  });
}

/**
 * Bytes of dynamic shared memory that a launch of the kernel asks for. Above 48 KiB the function's attribute
 * `MAX_DYNAMIC_SHARED_SIZE_BYTES` must allow them first.
 */
export function cudaSharedBytes(kernel: Pick<ThreadKernel, 'shared' | 'barriers'>): number {
  return Math.max(endOf(placeSharedArrays(kernel)), endOf(placeBarriers(kernel)));
}

function endOf(places: readonly { readonly byteOffset: number; readonly byteLength: number }[]): number {
  const last = places.at(-1);
  return last === undefined ? 0 : last.byteOffset + last.byteLength;
}

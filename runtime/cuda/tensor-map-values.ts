/** The numbers that `cuTensorMapEncodeTiled` takes, after `cuda.h` of CUDA 12.0 and later. */
import { unreachable } from '../../ir/diagnostics.js';
import type { StorageType } from '../../ir/kernel/thread.js';

/** CUtensorMapDataType of `cuda.h`. */
const dataTypes = { uint8: 0, uint32: 2, int32: 3, float16: 6, float32: 7, bfloat16: 9 } as const;

/** How numbers are copied; the hardware changes none of them. */
export function tensorMapDataType(storage: StorageType): number {
  switch (storage) {
    case 'i8':
    case 'u8':
    case 'bool':
    case 'f8e4m3':
      return dataTypes.uint8;
    case 'f16':
      return dataTypes.float16;
    case 'bf16':
      return dataTypes.bfloat16;
    case 'f32':
      return dataTypes.float32;
    case 'i32':
      return dataTypes.int32;
    case 'u32':
      return dataTypes.uint32;
    default:
      return unreachable(storage, 'storage');
  }
}

/**
 * What all tensor maps have, by the enumerations of `cuda.h`: rows of 128 bytes lie as `SharedMatrix` has them, and zeros are what
 * a box has outside. A row of a box is half of what `promotion` brings into the L2 cache: the other half is the next box along the
 * contracted axis, which the same workgroup copies next, so nothing is fetched in vain and DRAM is read in longer runs.
 */
export const tensorMapModes = {
  /** CU_TENSOR_MAP_INTERLEAVE_NONE. */
  interleave: 0,
  /** CU_TENSOR_MAP_SWIZZLE_128B. */
  swizzle: 3,
  /** CU_TENSOR_MAP_L2_PROMOTION_L2_256B. */
  promotion: 3,
  /** CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE: zeros, not a special NaN. */
  fill: 0,
} as const;

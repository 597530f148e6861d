import type { CudaArchitecture } from '../../backends/cuda/cuda-target.js';
import { registersOfMultiprocessor } from '../../ir/kernel/registers.js';

/** What ptxas says of a kernel for one architecture. */
export interface KernelResources {
  readonly registers: number;
  /** Bytes that do not fit the registers and go through memory. */
  readonly spilled: number;
  readonly stack: number;
  readonly barriers: number;
}

interface Multiprocessor {
  readonly warps: number;
  readonly blocks: number;
  /** Bytes of shared memory for all of its blocks. */
  readonly sharedBytes: number;
}

/** CUDA C++ Programming Guide, table "Technical Specifications per Compute Capability". */
const multiprocessors: Readonly<Record<CudaArchitecture, Multiprocessor>> = {
  sm_80: { warps: 64, blocks: 32, sharedBytes: 164 * 1024 },
  sm_86: { warps: 48, blocks: 16, sharedBytes: 100 * 1024 },
  sm_89: { warps: 48, blocks: 24, sharedBytes: 100 * 1024 },
  sm_90a: { warps: 64, blocks: 32, sharedBytes: 228 * 1024 },
  sm_120: { warps: 48, blocks: 24, sharedBytes: 100 * 1024 },
};

const warpSize = 32;
/** Registers are given to a warp in pieces of this many. */
const registerPiece = 256;
/** Shared memory that the system keeps for itself in each block. */
const reservedBytes = 1024;

/**
 * Blocks that one multiprocessor runs at a time: what registers, shared memory, warps and block slots leave room for.
 *
 * @param threads of a block
 * @param sharedBytes of a block
 */
export function countResidentBlocks(
  architecture: CudaArchitecture,
  threads: number,
  registers: number,
  sharedBytes: number,
): number {
  const { warps, blocks, sharedBytes: available } = multiprocessors[architecture];
  const warpsOfBlock = Math.ceil(threads / warpSize);
  const registersOfWarp = Math.ceil((registers * warpSize) / registerPiece) * registerPiece;
  return Math.min(
    blocks,
    Math.floor(warps / warpsOfBlock),
    Math.floor(Math.floor(registersOfMultiprocessor / registersOfWarp) / warpsOfBlock),
    Math.floor(available / (sharedBytes + reservedBytes)),
  );
}

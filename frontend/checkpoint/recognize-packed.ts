import { recognizeBitsandbytes } from './bitsandbytes.js';
import type { Checkpoint, CheckpointTensor } from './checkpoint.js';
import { recognizeEightBits } from './eight-bits.js';

/**
 * The checkpoint with one tensor in the place of each group of codes and scales; small tensors beside codes are read for it, codes are not.
 * @throws Flux2cError F2C415, F2C416 for groups that contradict themselves, F2C401/F2C402 when reading fails
 */
export async function recognizePackedTensors(checkpoint: Checkpoint): Promise<Checkpoint> {
  const tensors = new Map<string, CheckpointTensor>(checkpoint.tensors);
  await recognizeBitsandbytes(checkpoint, tensors);
  recognizeEightBits(checkpoint, tensors);
  return {
    ...checkpoint,
    tensors,
    readF32: (name) => {
      const { packed, shape } = tensors.get(name) ?? {};
      return packed === undefined ? checkpoint.readF32(name) : packed.readRows(0, shape?.[0] ?? 1);
    },
  };
}

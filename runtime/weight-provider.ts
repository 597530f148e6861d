import { joinPieces } from '../frontend/checkpoint/byte-source.js';
import { byteSize } from '../ir/dtype.js';
import type { WeightDeclaration } from '../ir/graph/graph.js';
import { materializeWeight } from '../ir/graph/weights.js';
import { hostTensorToBytes } from '../ir/host-tensor.js';
import type { HostTensor } from '../ir/host-tensor.js';

/** Where a session gets weights from. */
export interface WeightProvider {
  /**
   * The weight packed as declared, in its declared type: little-endian, row-major bytes in order, in pieces of whole
   * elements and at most 64 MiB, so that a model never is in host memory as a whole.
   *
   * @param range only these bytes of the packed weight; whole elements
   */
  read(declaration: WeightDeclaration, range?: ByteRange): AsyncIterable<Uint8Array>;
}

export interface ByteRange {
  readonly byteOffset: number;
  readonly byteLength: number;
}

/** Most bytes of a piece, unless a single row has more. */
export const pieceBytes = 64 * 2 ** 20;

/** Bytes of a weight in its declared type. */
export function countWeightBytes({ type }: WeightDeclaration): number {
  return type.shape.reduce((count, dim) => count * dim.evaluate({}), byteSize(type.dtype));
}

/** All bytes of a weight, or of a range of it, in one array. */
export async function readWhole(
  provider: WeightProvider,
  declaration: WeightDeclaration,
  range?: ByteRange,
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of provider.read(declaration, range)) pieces.push(piece);
  return joinPieces(pieces);
}

/** Weights from tensors in memory, by the names that sources use; for small models and tests. */
export function memoryWeights(tensors: Pick<ReadonlyMap<string, HostTensor>, 'get'>): WeightProvider {
  return {
    async *read(declaration, range) {
      const whole = hostTensorToBytes(
        materializeWeight(declaration, (name) => {
          const tensor = tensors.get(name);
          if (tensor === undefined) throw new Error(`there is no tensor ${name}`);
          return tensor;
        }),
      );
      const { byteOffset, byteLength } = range ?? { byteOffset: 0, byteLength: whole.byteLength };
      for (let at = 0; at < byteLength; at += pieceBytes) {
        yield whole.subarray(byteOffset + at, byteOffset + Math.min(byteLength, at + pieceBytes));
      }
    },
  };
}

/** Tensor maps of the mock driver: the rules of cuTensorMapEncodeTiled, and which memory a launch reads through them. */
import { storageBytes } from '../../ir/kernel/thread-interpret-memory.js';
import { type EncodedTensorMap, tensorMapBytes, type TensorMapDescription } from '../../runtime/cuda/driver.js';
import { type Access, type AddressSpace, CudaViolation } from './mock-memory.js';

export class MockTensorMaps {
  readonly descriptions: TensorMapDescription[] = [];
  private readonly accesses: Access[] = [];

  constructor(private readonly memory: AddressSpace) {}

  encode(map: TensorMapDescription): EncodedTensorMap {
    const problem = problemOf(map);
    if (problem !== undefined) throw new CudaViolation(`a tensor map with ${problem}`);
    const { address, extents, byteStrides, storage } = map;
    const outer = byteStrides.reduce((sum, stride, at) => sum + (extents[at + 1]! - 1) * stride, 0);
    this.accesses.push(this.memory.access(address, outer + extents[0]! * storageBytes(storage), false));
    const encoded = new Uint8Array(tensorMapBytes).fill(0xa5);
    new DataView(encoded.buffer).setUint32(4, this.descriptions.push(map) - 1);
    return encoded as EncodedTensorMap;
  }

  /** What a kernel may read by a map. Throws for bytes that `encode` did not give. */
  accessOf(encoded: EncodedTensorMap): Access {
    const isWhole = encoded.byteLength === tensorMapBytes && encoded[0] === 0xa5;
    const number = isWhole ? new DataView(encoded.buffer, encoded.byteOffset).getUint32(4) : -1;
    const access = this.accesses[number];
    if (access === undefined) throw new CudaViolation('a launch is given a tensor map that was not encoded');
    return access;
  }
}

/** Swizzled rows of 128 bytes, without interleaving. */
function problemOf({ storage, address, extents, byteStrides, boxes }: TensorMapDescription): string | undefined {
  const rank = extents.length;
  const bytes = storageBytes(storage);
  if (rank < 1 || rank > 5) return `${rank} dimensions`;
  if (byteStrides.length !== rank - 1) return `${byteStrides.length} strides for ${rank} dimensions`;
  if (boxes.length !== rank) return `a box of ${boxes.length} dimensions for ${rank}`;
  if (address % 16n !== 0n) return `the misaligned address ${address.toString(16)}`;
  const extent = extents.find((size) => size < 1 || size > 2 ** 32);
  if (extent !== undefined) return `the extent ${extent}`;
  const stride = byteStrides.find((step) => step < 0 || step % 16 !== 0 || step >= 2 ** 40);
  if (stride !== undefined) return `the stride ${stride}`;
  const box = boxes.find((size) => size < 1 || size > 256);
  if (box !== undefined) return `the box ${box}`;
  if ((boxes[0]! * bytes) % 16 !== 0 || boxes[0]! * bytes > 128) return `rows of ${boxes[0]! * bytes} bytes in a box`;
  return undefined;
}

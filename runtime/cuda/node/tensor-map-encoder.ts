import {
  type CudaOutcome,
  cudaResults,
  type EncodedTensorMap,
  tensorMapAlignment,
  tensorMapBytes,
  type TensorMapDescription,
} from '../driver.js';
import { tensorMapDataType, tensorMapModes } from '../tensor-map-values.js';
import { alignedBlock } from './launch-arguments.js';
import { type EncodeTensorMap, findEncodeTensorMap, type Koffi, type Library } from './libcuda-calls.js';

/** Looks for the driver's call when a map is first needed: a driver that lacks it serves kernels without maps. */
export class TensorMapEncoder {
  private call: EncodeTensorMap | undefined;

  constructor(
    private readonly koffi: Koffi,
    private readonly library: Library,
  ) {}

  encode({ storage, address, extents, byteStrides, boxes }: TensorMapDescription): CudaOutcome<EncodedTensorMap> {
    const block = alignedBlock(this.koffi, tensorMapBytes, tensorMapAlignment);
    const value = block.bytes as EncodedTensorMap;
    this.call ??= findEncodeTensorMap(this.library);
    if (this.call === undefined) return { result: cudaResults.notFound, value };
    const { interleave, swizzle, promotion, fill } = tensorMapModes;
    const result = this.call(
      block.address,
      tensorMapDataType(storage),
      extents.length,
      address,
      BigUint64Array.from(extents, BigInt),
      BigUint64Array.from(byteStrides, BigInt),
      Uint32Array.from(boxes),
      new Uint32Array(extents.length).fill(1),
      interleave,
      swizzle,
      promotion,
      fill,
    );
    return { result, value };
  }
}

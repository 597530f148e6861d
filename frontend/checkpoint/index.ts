/**
 * Files of weights. Nothing here needs Node.js; files on disk are in `node/open-checkpoint.ts` and
 * `node/write-file.ts`. Errors have these codes:
 *
 * F2C401 file system · F2C402 range outside of a file · F2C403 no such tensor · F2C404 a tensor twice ·
 * F2C410 no safetensors header · F2C411 the header's JSON · F2C412 a malformed entry · F2C413 ranges of data ·
 * F2C414 a type that cannot be widened · F2C415 bitsandbytes' 4 bits · F2C416 scales of 8 bits · F2C418 a malformed GGUF header ·
 * F2C419 a type of GGUF that is not read · F2C420 a malformed index · F2C421 index and files differ ·
 * F2C422 nothing or too much in a folder · F2C430 renaming · F2C431 weights and model differ ·
 * F2C432 not the weights of the model · F2C440 what cannot be written.
 */
export { memorySource, type ByteSource } from './byte-source.js';
export {
  readSafetensorsHeader,
  readTensorBytes,
  readTensorF32,
  type SafetensorsFile,
  type TensorEntry,
} from './safetensors.js';
export { widenToF32 } from './widen.js';
export {
  encodeSafetensors,
  layOutSafetensors,
  type SafetensorsLayout,
  type TensorData,
  type TensorSpec,
} from './safetensors-writer.js';
export { joinFiles, type Checkpoint, type CheckpointTensor, type TensorFile } from './checkpoint.js';
export { readCheckpoint } from './read-checkpoint.js';
export { isGguf, readGguf } from './gguf.js';
export type { PackedTensor } from './packed-tensor.js';
export {
  isPacked,
  locateSlice,
  readEncodedRows,
  readPackedRows,
  readSlice,
  readSliceF32,
  type SlicePart,
  type WeightSlice,
  type WeightTable,
} from './names.js';
export { canonicalizeTransformer } from './flux2-layout.js';
export { canonicalizeAutoencoder } from './autoencoder-layout.js';
export { canonicalizeTextEncoder, ignorableTextEncoderTensors } from './text-encoder-layout.js';
export { checkStrict } from './check-strict.js';
export * from './detect.js';

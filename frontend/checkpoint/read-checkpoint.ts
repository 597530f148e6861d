import type { ByteSource } from './byte-source.js';
import { type Checkpoint, joinFiles } from './checkpoint.js';
import { isGguf, readGguf } from './gguf.js';
import { recognizePackedTensors } from './recognize-packed.js';
import { readSafetensorsHeader } from './safetensors.js';

/**
 * A checkpoint of one file, safetensors or GGUF, wherever its bytes come from.
 * @throws Flux2cError F2C41x as `readSafetensorsHeader` and `readGguf` do; the source is closed then
 */
export async function readCheckpoint(source: ByteSource): Promise<Checkpoint> {
  try {
    if (await isGguf(source)) {
      const file = await readGguf(source);
      return { ...joinFiles(source.name, [file]), properties: file.properties };
    }
    return await recognizePackedTensors(joinFiles(source.name, [await readSafetensorsHeader(source)]));
  } catch (error) {
    await source.close();
    throw error;
  }
}

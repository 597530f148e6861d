/** The embedded checkpoint as other programs hold it, in folders for temporary files. */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { embeddedCheckpoint } from '../models/flux2/node/open-model.js';
import { type PackMatrix, packMatrices, packQ80, renameToBfl, renameToGgml } from './packed-checkpoints.js';
import { readRawSafetensors, writeGguf, writeRawSafetensors, type RawTensors } from './raw-files.js';

const embedded = embeddedCheckpoint();

export const tensorsOf = (component: string): RawTensors => {
  const file = readdirSync(join(embedded, component)).find((name) => name.endsWith('.safetensors'))!;
  return readRawSafetensors(readFileSync(join(embedded, component, file)));
};

type Files = Readonly<Record<string, Uint8Array>>;

export const inBlocks = (name: string): boolean => /blocks\.\d+\.|layers\.\d+\.|blk\.\d+\./.test(name);

export class PackedModels {
  private readonly folders: string[] = [];

  /** The embedded checkpoint with other weights in some of its folders; `config.json` stays there unless it is taken away. */
  assemble(replaced: Readonly<Record<string, Files>>, withoutConfig: readonly string[] = []): string {
    const folder = mkdtempSync(join(tmpdir(), 'flux2c-packed-'));
    this.folders.push(folder);
    for (const entry of readdirSync(embedded)) {
      const files = replaced[entry];
      if (files === undefined) {
        symlinkSync(join(embedded, entry), join(folder, entry));
        continue;
      }
      mkdirSync(join(folder, entry));
      if (!withoutConfig.includes(entry))
        cpSync(join(embedded, entry, 'config.json'), join(folder, entry, 'config.json'));
      for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, entry, name), bytes);
    }
    return folder;
  }

  /** GGUF files in Q8_0, under the names of Black Forest Labs and of llama.cpp, without a configuration beside them. */
  gguf(): string {
    const transformer = packMatrices(
      renameToBfl(tensorsOf('transformer')),
      packQ80,
      (name) => name !== 'img_in.weight',
    );
    const encoder = packMatrices(renameToGgml(tensorsOf('text_encoder'), 32), packQ80, () => true);
    const properties = {
      'general.architecture': 'llama',
      'llama.embedding_length': 96,
      'llama.block_count': 7,
      'llama.feed_forward_length': 256,
      'llama.attention.head_count': 4,
      'llama.attention.head_count_kv': 2,
      'llama.attention.key_length': 32,
      'llama.attention.layer_norm_rms_epsilon': { f32: 1e-5 },
      'llama.rope.freq_base': { f32: 10000 },
      'tokenizer.ggml.tokens': ['a', 'b'],
    };
    return this.assemble(
      {
        transformer: { 'flux.gguf': writeGguf(transformer, { 'general.architecture': 'flux' }) },
        text_encoder: { 'encoder.gguf': writeGguf(encoder, properties) },
      },
      ['transformer', 'text_encoder'],
    );
  }

  /** Matrices of the blocks packed, under the names that they have. */
  safetensors(pack: PackMatrix): string {
    const packed = (component: string): Files => ({
      'model.safetensors': writeRawSafetensors(packMatrices(tensorsOf(component), pack, inBlocks)),
    });
    return this.assemble({ transformer: packed('transformer'), text_encoder: packed('text_encoder') });
  }

  remove(): void {
    for (const folder of this.folders) rmSync(folder, { recursive: true });
  }
}

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createModule } from '../../frontend/index.js';
import {
  compareWithGolden,
  goldenTensor,
  interpretWith,
  loadComponent,
  storedTypes,
  tensorOfNumbers,
} from '../../test/flux2-components.js';
import { readSafetensors } from '../../test/read-safetensors.js';
import { parseTextEncoderConfig } from './config.js';
import { addTextEncoder } from './text-encoder.js';

/** test/golden/README.md: text encoder. */
const tolerance = { maxAbs: 5e-5, relativeL2: 1e-5 };

const precisions = ['f32', 'f64'] as const;

const cases = [
  { folder: 'text-encoder-tiny', name: 'b1_no_pad' },
  { folder: 'text-encoder-tiny', name: 'b2_left_pad' },
  { folder: 'text-encoder-tiny', name: 'b2_right_pad' },
  { folder: 'text-encoder-qwen3-tiny', name: 'b1_no_pad' },
  { folder: 'text-encoder-qwen3-tiny', name: 'b2_right_pad' },
];

async function loadTextEncoder(folder: string, layers: readonly number[]) {
  const config = parseTextEncoderConfig(readFileSync(`${folder}/config.json`, 'utf8'), `${folder}/config.json`);
  const weights = await loadComponent('text_encoder', folder);
  const module = createModule();
  addTextEncoder(module, config, { layers }, storedTypes(weights));
  return { weights, module: module.build() };
}

describe('text encoder', () => {
  it.each(cases.flatMap((each) => precisions.map((precision) => ({ ...each, precision }))))(
    'gives the reference embeddings of $folder $name in $precision',
    async ({ folder, name, precision }) => {
      const file = readSafetensors(`test/golden/${folder}/cases/${name}.safetensors`);
      const layers = JSON.parse(file.metadata['layers'] as string) as readonly number[];
      const { weights, module } = await loadTextEncoder(`test/golden/${folder}`, layers);
      const inputs = {
        input_ids: goldenTensor(file, 'in.input_ids'),
        attention_mask: goldenTensor(file, 'in.attention_mask'),
      };
      const results = interpretWith([weights], module, 'text_encoder', inputs, precision);
      const difference = compareWithGolden(results, 'prompt_embeds', goldenTensor(file, 'out.prompt_embeds'));
      expect(difference.maxAbs).toBeLessThan(tolerance.maxAbs);
      expect(difference.relativeL2).toBeLessThan(tolerance.relativeL2);
    },
  );

  it('gives the stored embeddings of the embedded checkpoint', async () => {
    const { weights, module } = await loadTextEncoder('models/flux2/checkpoint/text_encoder', [2, 4, 6]);
    const file = readSafetensors('test/golden/flux2-shapes-samples/case_1.safetensors');
    const inputs = {
      input_ids: tensorOfNumbers('i32', [1, 32], file.tensor('token_ids').values),
      attention_mask: tensorOfNumbers('i32', [1, 32], file.tensor('attention_mask').values),
    };
    const results = interpretWith([weights], module, 'text_encoder', inputs, 'f32');
    const difference = compareWithGolden(results, 'prompt_embeds', goldenTensor(file, 'prompt_embeds'));
    expect(difference.maxAbs).toBeLessThan(tolerance.maxAbs);
    expect(difference.relativeL2).toBeLessThan(tolerance.relativeL2);
  });

  it('refuses a hidden state that no layer makes', () => {
    const path = 'test/golden/text-encoder-tiny/config.json';
    const config = parseTextEncoderConfig(readFileSync(path, 'utf8'), path);
    const add = (layers: readonly number[]) => () => addTextEncoder(createModule(), config, { layers }, () => 'bf16');
    expect(add([1, 6])).toThrow(expect.objectContaining({ code: 'F2C652' }));
    expect(add([])).toThrow(expect.objectContaining({ code: 'F2C652' }));
  });
});

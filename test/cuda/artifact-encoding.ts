import { openArtifactModel } from '../../cli/artifact-folder.js';
import type { Device } from '../../runtime/device.js';

/** What the text encoder of the artifact at a path makes of some tokens. */
export async function encode(path: string, device: Device): Promise<readonly number[]> {
  const model = await openArtifactModel(path, device);
  const network = await model.open('text_encoder');
  const tokens = (values: readonly number[]) => ({ dtype: 'i32', shape: [1, 5], values: Int32Array.from(values) }) as const; // prettier-ignore
  const inputs = { input_ids: tokens([3, 1, 4, 1, 5]), attention_mask: tokens([1, 1, 1, 1, 0]) };
  const { prompt_embeds } = await network.run(inputs);
  await network.destroy();
  await model.close();
  return Array.from(prompt_embeds!.values);
}

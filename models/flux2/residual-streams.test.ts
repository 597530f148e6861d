/** What leaves each block, compiled for the processor, against the reference's intermediate values. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { HostTensor } from '../../ir/host-tensor.js';
import type { Device } from '../../runtime/device.js';
import { createCpuDevice } from '../../runtime/cpu/node/cpu-device.js';
import { goldenIds, goldenTensor } from '../../test/flux2-components.js';
import { type GoldenFile, readSafetensors } from '../../test/read-safetensors.js';
import { CompiledFlux2Model } from './compiled-model.js';
import { loadModel } from './load-model.js';
import type { Network, NetworkTensor } from './networks.js';
import { openModelFiles } from './node/open-model.js';
import { blockNames } from './residual-streams.js';

const golden = 'test/golden';

function toNetworkTensor({ dtype, shape, data }: HostTensor): NetworkTensor {
  return dtype === 'i32'
    ? { dtype: 'i32', shape, values: Int32Array.from(data) }
    : { dtype: 'f32', shape, values: Float32Array.from(data) };
}

function inputsOf(file: GoldenFile): Readonly<Record<string, NetworkTensor>> {
  const floats = ['hidden_states', 'encoder_hidden_states', 'timestep', 'guidance'];
  const inputs = floats.filter((name) => file.names.includes(`in.${name}`));
  return Object.fromEntries([
    ...inputs.map((name) => [name, toNetworkTensor(goldenTensor(file, `in.${name}`))]),
    ...['img_ids', 'txt_ids'].map((name) => [name, toNetworkTensor(goldenIds(file, `in.${name}`))]),
  ]) as Readonly<Record<string, NetworkTensor>>;
}

/** test/golden/README.md: outputs with sinusoids of one's own. */
function expectClose(found: Float32Array, want: HostTensor, from: number, to: number): void {
  const wanted = Float32Array.from(want.data).subarray(from, to);
  expect(found).toHaveLength(wanted.length);
  expect(Math.max(...found.map((value, at) => Math.abs(value - wanted[at]!)))).toBeLessThan(1e-3);
}

describe('residual streams', () => {
  let device: Device;
  beforeAll(() => void (device = createCpuDevice({ threads: 1 })));
  afterAll(() => device.destroy());

  const cases = [
    { path: `${golden}/transformer-klein-tiny`, file: 'transformer-klein-tiny/cases/b1_5x6_t13' },
    {
      path: `${golden}/transformer-tiny/diffusion_pytorch_model.safetensors`,
      file: 'transformer-tiny/cases/b1_8x6_t16',
    },
  ];
  it.each(cases)('are those of $file', async ({ path, file: name }) => {
    const file = readSafetensors(`${golden}/${name}.safetensors`);
    const model = new CompiledFlux2Model(await loadModel(await openModelFiles(path)), device);
    const blocks = blockNames(model.description.transformer!);
    const inputs = inputsOf(file);
    const textTokens = inputs['encoder_hidden_states']!.shape[1]!;
    const network: Network = await model.openResidualStreams(blocks, true);
    try {
      const results = await network.run(inputs);
      const take = (result: string): Float32Array => results[result]!.values as Float32Array;
      let compared = 0;
      for (const block of blocks) {
        const [image, text] = [`${block.replace('.', '_')}_image`, `${block.replace('.', '_')}_text`];
        if (file.names.includes(`mid.${block}.img`)) {
          expectClose(take(image), goldenTensor(file, `mid.${block}.img`), 0, Infinity);
          expectClose(take(text), goldenTensor(file, `mid.${block}.txt`), 0, Infinity);
          compared++;
        } else if (file.names.includes(`mid.${block}`)) {
          const joint = goldenTensor(file, `mid.${block}`);
          const border = textTokens * joint.shape[2]!;
          expectClose(take(text), joint, 0, border);
          expectClose(take(image), joint, border, Infinity);
          compared++;
        }
      }
      expect(compared).toBe(blocks.length);
      expectClose(take('sample'), goldenTensor(file, 'out.sample'), 0, Infinity);
    } finally {
      await network.destroy();
      await model.close();
    }
  });

  it('are only of the blocks that are asked for, and no later block is run', async () => {
    const model = new CompiledFlux2Model(
      await loadModel(await openModelFiles(`${golden}/transformer-klein-tiny`)),
      device,
    );
    const file = readSafetensors(`${golden}/transformer-klein-tiny/cases/b1_5x6_t13.safetensors`);
    const loaded: number[] = [];
    const bytesOf = async (blocks: readonly string[]): Promise<readonly string[]> => {
      let total = 0;
      const network = await model.openResidualStreams(blocks, false, ({ stage, of }) => {
        if (stage === 'load') total = of;
      });
      loaded.push(total);
      const results = await network.run(inputsOf(file));
      await network.destroy();
      return Object.keys(results);
    };
    expect(await bytesOf(['double.0'])).toEqual(['double_0_text', 'double_0_image']);
    expect(await bytesOf(['single.1'])).toEqual(['single_1_text', 'single_1_image']);
    expect(loaded[0]).toBeGreaterThan(0);
    expect(loaded[0]!).toBeLessThan(0.8 * loaded[1]!);
    await model.close();
  });
});

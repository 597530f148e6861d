/** Host programs on golden data, and against the processor's device. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openArtifactModel } from '../../cli/artifact-folder.js';
import type { HostTensor } from '../../ir/host-tensor.js';
import { compareTensors } from '../../ir/host-tensor.js';
import type { NetworkName, NetworkTensor } from '../../models/flux2/networks.js';
import { createCpuDevice } from '../../runtime/cpu/node/cpu-device.js';
import { runCommandLine } from '../cli-harness.js';
import { hasProgram } from '../cuda-tools.js';
import { Random } from '../random.js';
import { readSafetensors } from '../read-safetensors.js';
import { buildForEmulator, compileWithHost, runProgram, writeTensors } from './host-program.js';

const root = mkdtempSync(join(tmpdir(), 'flux2c-host-golden-'));
afterAll(() => rmSync(root, { recursive: true }));
const isPossible = await hasProgram('g++', 'host programs on the emulator');

/** A tensor of a safetensors file. */
function read(path: string, name: string): HostTensor {
  const { shape, values } = readSafetensors(path).tensor(name);
  return { dtype: 'f32', shape, data: values };
}

interface Network {
  readonly folder: string;
  readonly options?: readonly string[];
  /** test/golden/README.md */
  readonly maxAbs: number;
  readonly relativeL2: number;
  readonly cases: readonly (readonly [fn: string, name: string, results: readonly string[]])[];
}

const textCases = (...names: readonly string[]): Network['cases'] =>
  names.map((name) => ['text_encoder', name, ['prompt_embeds']]);

const networks: readonly Network[] = [
  {
    folder: 'vae-tiny',
    maxAbs: 3e-5,
    relativeL2: 1e-5,
    cases: [
      ['vae_decoder', 'decode_b1_64x64', ['image']],
      ['vae_decoder', 'decode_b2_48x80', ['image']],
      ['vae_encoder', 'encode_b1_64x64', ['mode', 'normalized']],
      ['vae_encoder', 'encode_b2_48x80', ['mode', 'normalized']],
    ],
  },
  {
    folder: 'text-encoder-tiny',
    options: ['--layers', '1,3,5'],
    maxAbs: 5e-5,
    relativeL2: 1e-5,
    cases: textCases('b1_no_pad', 'b2_left_pad', 'b2_right_pad'),
  },
];

describe.skipIf(!isPossible).each(networks)('the host program of $folder', (network) => {
  const { folder, options = [], cases, maxAbs, relativeL2 } = network;
  let program = '';
  beforeAll(async () => {
    const artifact = join(root, folder);
    await compileWithHost(artifact, `test/golden/${folder}`, '--operands', 'f32', ...options);
    program = await buildForEmulator(artifact, join(root, `${folder}-program`));
  }, 300_000);

  it.each(cases)('%s gives what %s wants', async (fn, name, results) => {
    const golden = `test/golden/${folder}/cases/${name}.safetensors`;
    const outputs = join(root, `${name}.safetensors`);
    const { exitCode, stderr } = await runProgram(program, [fn, '--inputs', golden, '--outputs', outputs]);
    expect([exitCode, stderr]).toEqual([0, expect.stringContaining('on the CUDA emulator')]);
    for (const result of results) {
      const difference = compareTensors(read(outputs, `out.${result}`), read(golden, `out.${result}`));
      expect(difference.maxAbs, result).toBeLessThan(maxAbs);
      expect(difference.relativeL2, result).toBeLessThan(relativeL2);
    }
  });
});

/** Matrix fragments, of which wgmma takes more workgroup memory than a launch may have without being asked. */
describe.skipIf(!isPossible).each(['sm_80', 'sm_90a'])(
  'a host program with operands in bf16 for %s',
  (architecture) => {
    it('gives the sample of b1_5x6_t13', async () => {
      const artifact = join(root, architecture);
      const model = 'test/golden/transformer-klein-tiny';
      await compileWithHost(
        artifact,
        model,
        '--component',
        'transformer',
        '--arch',
        architecture,
        '--operands',
        'bf16',
      );
      const program = await buildForEmulator(artifact, join(root, `${architecture}-program`));
      const golden = `${model}/cases/b1_5x6_t13.safetensors`;
      const outputs = join(root, `${architecture}.safetensors`);
      const { exitCode, stderr } = await runProgram(program, [
        'transformer',
        '--inputs',
        golden,
        '--outputs',
        outputs,
        '--quiet',
      ]);
      expect([exitCode, stderr]).toEqual([0, '']);
      expect(compareTensors(read(outputs, 'out.sample'), read(golden, 'out.sample')).relativeL2).toBeLessThan(2e-2);
    }, 300_000);
  },
);

const random = new Random(11);

function floats(...shape: readonly number[]): NetworkTensor {
  const count = shape.reduce((product, size) => product * size, 1);
  return { dtype: 'f32', shape, values: Float32Array.from({ length: count }, () => random.between(-1, 1)) };
}

/** (t, h, w, l) of tokens in a row, or of a picture's tokens. */
function ids(count: number, of: (token: number) => readonly number[]): NetworkTensor {
  const values = Int32Array.from(Array.from({ length: count }, (_, token) => of(token)).flat());
  return { dtype: 'i32', shape: [count, 4], values };
}

describe.skipIf(!isPossible)('the host program of transformer-klein-tiny', () => {
  const model = 'test/golden/transformer-klein-tiny';
  const onProcessor = join(root, 'klein-cpu');
  let program = '';
  beforeAll(async () => {
    await compileWithHost(join(root, 'klein'), model, '--operands', 'f32');
    program = await buildForEmulator(join(root, 'klein'), join(root, 'klein-program'));
    const { stderr, exitCode } = await runCommandLine(['compile', model, '-o', onProcessor, '--target', 'cpu']);
    if (exitCode !== 0) throw new Error(stderr);
  }, 300_000);

  async function run(fn: string, inputs: string, result: string): Promise<HostTensor> {
    const outputs = join(root, `${fn}.out.safetensors`);
    const { exitCode, stderr } = await runProgram(program, [fn, '--inputs', inputs, '--outputs', outputs, '--quiet']);
    expect([exitCode, stderr]).toEqual([0, '']);
    return read(outputs, `out.${result}`);
  }

  it.each(['b1_5x6_t13', 'b2_4x3_1ref_t8'])('gives the sample of %s', async (name) => {
    const golden = `${model}/cases/${name}.safetensors`;
    const { maxAbs, relativeL2 } = compareTensors(
      await run('transformer', golden, 'sample'),
      read(golden, 'out.sample'),
    );
    expect(maxAbs).toBeLessThan(1e-3);
    expect(relativeL2).toBeLessThan(2e-4);
  });

  it('gives the latents of a pipeline after its loop', async () => {
    const golden = 'test/golden/pipeline-tiny/klein_t2i_64x48_4steps.safetensors';
    const noise = read(golden, 'in.noise');
    const [, channels, height, width] = noise.shape as [number, number, number, number];
    const tokens = height * width;
    const packed = Float32Array.from({ length: noise.data.length }, (_, at) => {
      return noise.data[(at % channels) * tokens + Math.floor(at / channels)] as number;
    });
    const embeds = read(golden, 'in.prompt_embeds');
    const sigmas = Float32Array.from(read(golden, 'mid.sigmas').data);
    const steps = sigmas.length - 1;
    const inputs = writeTensors(join(root, 'pipeline.safetensors'), {
      noise: { dtype: 'f32', shape: [1, tokens, channels], values: packed },
      prompt_embeds: { dtype: 'f32', shape: embeds.shape, values: Float32Array.from(embeds.data) },
      // No reference: tensors of nothing.
      reference_latents: floats(1, 0, channels),
      img_ids: ids(tokens, (token) => [0, Math.floor(token / width), token % width, 0]),
      ref_ids: ids(0, () => []),
      txt_ids: ids(embeds.shape[1]!, (token) => [0, 0, 0, token]),
      timesteps: { dtype: 'f32', shape: [steps], values: sigmas.slice(0, steps) },
      sigma_deltas: { dtype: 'f32', shape: [steps], values: sigmas.slice(1).map((sigma, at) => sigma - sigmas[at]!) },
    });
    const latents = await run('denoise', inputs, 'latents');
    const { maxAbs, relativeL2 } = compareTensors(latents, read(golden, `mid.latents.${steps - 1}`));
    expect(maxAbs).toBeLessThan(1e-3);
    expect(relativeL2).toBeLessThan(2e-4);
  });

  it.each(['denoise', 'denoise_cfg'] as const)('gives what the processor does for %s with references', async (fn) => {
    const [img, txt, ref, steps] = [12, 5, 6, 3];
    const given: Record<string, NetworkTensor> = {
      noise: floats(2, img, 128),
      prompt_embeds: floats(2, txt, 72),
      ...(fn === 'denoise_cfg' && { negative_prompt_embeds: floats(2, txt, 72), cfg_scale: floats() }),
      reference_latents: floats(2, ref, 128),
      img_ids: ids(img, (token) => [0, Math.floor(token / 4), token % 4, 0]),
      ref_ids: ids(ref, (token) => [10, Math.floor(token / 3), token % 3, 0]),
      txt_ids: ids(txt, (token) => [0, 0, 0, token]),
      timesteps: { dtype: 'f32', shape: [steps], values: Float32Array.of(1, 0.7, 0.3) },
      sigma_deltas: { dtype: 'f32', shape: [steps], values: Float32Array.of(-0.3, -0.4, -0.3) },
    };
    const latents = await run(fn, writeTensors(join(root, `${fn}.safetensors`), given), 'latents');
    const { maxAbs, relativeL2 } = compareTensors(latents, await processor(onProcessor, fn, given));
    expect(maxAbs).toBeLessThan(1e-4);
    expect(relativeL2).toBeLessThan(1e-5);
  });
});

/** `latents` of an artifact on the processor. */
async function processor(
  path: string,
  fn: NetworkName,
  given: Readonly<Record<string, NetworkTensor>>,
): Promise<HostTensor> {
  const device = createCpuDevice();
  const model = await openArtifactModel(path, device);
  const network = await model.open(fn);
  const { latents } = await network.run(given);
  await network.destroy();
  await model.close();
  await device.destroy();
  return { dtype: 'f32', shape: latents!.shape, data: Float64Array.from(latents!.values) };
}

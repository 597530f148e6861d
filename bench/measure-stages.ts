/** Times the stages of a picture with the model's own weights: encoding a prompt, denoising steps, decoding. */
import { parseDim, type DimBinding } from '../ir/dim.js';
import type { Flux2Model, NetworkInput, NetworkName, NetworkTensor } from '../models/flux2/networks.js';
import type { StageTiming } from './result.js';
import { summarize } from './statistics.js';
import { measure, type Repetition } from './stopwatch.js';

const stages: readonly { readonly function: NetworkName; readonly name: string }[] = [
  { function: 'text_encoder', name: 'encode prompt' },
  { function: 'vae_encoder', name: 'encode reference' },
  { function: 'denoise', name: 'denoise' },
  { function: 'vae_decoder', name: 'decode' },
];

/**
 * @param sizesOf the sizes of a function
 * @param functions those to time, in order
 * @throws as `Flux2Model.open` and the device
 */
export async function measureStages(
  model: Flux2Model,
  functions: readonly NetworkName[],
  sizesOf: (name: NetworkName) => DimBinding,
  repetition: Repetition,
  onStage: (name: string) => void,
): Promise<readonly StageTiming[]> {
  const timings: StageTiming[] = [];
  for (const { function: name, name: stage } of stages) {
    if (!functions.includes(name)) continue;
    onStage(stage);
    const sizes = sizesOf(name);
    const network = await model.open(name, undefined, repetition.signal);
    const inputs = makeInputs(network.inputs, sizes);
    timings.push({ name: stage, times: await measure(async () => void (await network.run(inputs)), repetition) });
    if (name === 'denoise') {
      const steps: number[] = [];
      const cpu: number[] = [];
      let last: { readonly wall: number; readonly cpu: number } | undefined;
      // The first interval holds what happens before the loop.
      const onStep = (): void => {
        const now = { wall: performance.now(), cpu: cpuMilliseconds() };
        if (last !== undefined) {
          steps.push(now.wall - last.wall);
          cpu.push(now.cpu - last.cpu);
        }
        last = now;
      };
      for (let run = 0; run < Math.min(2, repetition.repeats); run++) {
        last = undefined;
        await network.run(inputs, { onStep });
      }
      if (steps.length > 0)
        timings.push({ name: 'denoise, one step', times: { wall: summarize(steps), cpu: summarize(cpu) } });
    }
    await network.destroy();
  }
  return timings;
}

function cpuMilliseconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/**
 * Plausible values by name: positions count up, masks are all ones, times fall from 1 to 0, the rest is noise of a fixed
 * seed.
 */
export function makeInputs(
  inputs: readonly NetworkInput[],
  sizes: DimBinding,
): Readonly<Record<string, NetworkTensor>> {
  const random = uniform();
  const tensors = inputs.map(({ name, dtype, shape: dims }): [string, NetworkTensor] => {
    const shape = dims.map((dim) => parseDim(dim).evaluate(sizes));
    const count = shape.reduce((product, size) => product * size, 1);
    if (dtype === 'i32') {
      const values = Int32Array.from({ length: count }, (_, at) => (name === 'attention_mask' ? 1 : (at >> 2) % 64));
      return [name, { dtype, shape, values }];
    }
    const values = Float32Array.from({ length: count }, (_, at) => {
      if (name === 'timesteps' || name === 'timestep') return 1 - at / count;
      if (name === 'sigma_deltas') return -1 / count;
      return name === 'guidance' || name === 'cfg_scale' ? 4 : random();
    });
    return [name, { dtype, shape, values }];
  });
  return Object.fromEntries(tensors);
}

/** -1..1, by Marsaglia's xorshift32. */
function uniform(): () => number {
  let state = 0x9e3779b9;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state | 0) / 2 ** 31;
  };
}

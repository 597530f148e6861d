/** Sizes are symbols to the end: what is compiled and loaded once serves every picture. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { kernelPrinter } from '../backends/print-kernel.js';
import { createModule } from '../frontend/index.js';
import type { Module } from '../ir/graph/graph.js';
import { compareTensors, countElements, type HostTensor } from '../ir/host-tensor.js';
import { addVaeDecoder, addVaeEncoder } from '../models/flux2/autoencoder.js';
import { parseAutoencoderConfig, parseTextEncoderConfig, parseTransformerConfig } from '../models/flux2/config.js';
import { addDenoise } from '../models/flux2/denoise.js';
import { imagePositionIds, referencePositionIds, textPositionIds } from '../models/flux2/position-ids.js';
import { addTextEncoder } from '../models/flux2/text-encoder.js';
import type { Component } from '../models/flux2/weights.js';
import { compileModule } from '../passes/compile.js';
import { createCpuDevice } from '../runtime/cpu/node/cpu-device.js';
import type { Device } from '../runtime/device.js';
import { toHostTensor } from '../runtime/host-array.js';
import { instantiatePlan } from '../runtime/instantiate.js';
import { verifyBoundPlan } from '../runtime/plan/verify-bound-plan.js';
import { bindInputs } from '../runtime/session-inputs.js';
import { Session } from '../runtime/session.js';
import { memoryWeights } from '../runtime/weight-provider.js';
import {
  interpretWith,
  loadComponent,
  type LoadedComponent,
  storedTypes,
  tensorOfNumbers,
} from './flux2-components.js';
import { compilingTimeoutMs, openTestDevice } from './golden-on-device.js';
import { Random } from './random.js';

type Inputs = Readonly<Record<string, HostTensor>>;
type Grid = readonly [height: number, width: number];

const random = new Random(11);

function floats(shape: readonly number[]): HostTensor {
  return tensorOfNumbers(
    'f32',
    shape,
    Array.from({ length: countElements(shape) }, () => Math.fround(random.between(-1, 1))),
  );
}

function positions(ids: Int32Array): HostTensor {
  return tensorOfNumbers('i32', [ids.length / 4, 4], ids);
}

/** Tokens of the picture and of its references, pictures at once, tokens of text, steps. */
const pictures: readonly (readonly [Grid, readonly Grid[], number, number, number])[] = [
  [[4, 4], [], 1, 7, 1],
  [[1, 1], [], 1, 1, 1],
  [[2, 5], [[3, 3]], 1, 9, 2],
  [[5, 2], [], 2, 4, 1],
  [[3, 3], [[2, 2], [1, 4]], 1, 16, 1], // prettier-ignore
  [[7, 5], [], 1, 12, 1],
  [[1, 6], [[4, 1]], 2, 3, 3],
  [[6, 1], [[1, 1], [2, 3], [3, 2]], 1, 5, 1], // prettier-ignore
  [[8, 6], [], 1, 17, 1],
  [[4, 7], [[5, 5], [3, 4], [4, 3]], 2, 8, 1], // prettier-ignore
];

function denoiseInputs([grid, references, batch, text, steps]: (typeof pictures)[number]): Inputs {
  const count = ([height, width]: Grid): number => height * width;
  const tokens = references.reduce((sum, reference) => sum + count(reference), 0);
  const grids = references.map(([height, width]) => ({ height, width }));
  return {
    noise: floats([batch, count(grid), 128]),
    prompt_embeds: floats([batch, text, 96]),
    reference_latents: floats([batch, tokens, 128]),
    img_ids: positions(imagePositionIds(...grid)),
    ref_ids: positions(referencePositionIds(grids)),
    txt_ids: positions(textPositionIds(text)),
    timesteps: tensorOfNumbers(
      'f32',
      [steps],
      Array.from({ length: steps }, (_, step) => 1 - step / 4),
    ),
    sigma_deltas: tensorOfNumbers('f32', [steps], new Array<number>(steps).fill(-0.25)),
    guidance: tensorOfNumbers('f32', [1], [4]),
  };
}

/** Sizes of latents in tokens. */
const grids: readonly Grid[] = [[2, 2], [1, 1], [1, 3], [3, 1], [2, 5], [4, 3], [3, 4], [5, 1], [1, 6], [4, 4]]; // prettier-ignore

function promptInputs(batch: number, text: number): Inputs {
  const padding = Math.floor(text / 3);
  const ids = Array.from({ length: batch * text }, () => Math.floor(random.between(0, 200)));
  const mask = ids.map((_, at) => (at % text < padding ? 0 : 1));
  return {
    input_ids: tensorOfNumbers('i32', [batch, text], ids),
    attention_mask: tensorOfNumbers('i32', [batch, text], mask),
  };
}

interface Network {
  readonly name: string;
  readonly component: Component;
  readonly folder: string;
  readonly file: string;
  readonly tolerance: number;
  readonly runs: readonly Inputs[];
  build(config: string, loaded: LoadedComponent): Module;
}

const networks: readonly Network[] = [
  {
    name: 'denoise',
    component: 'transformer',
    folder: 'transformer-tiny',
    file: '/diffusion_pytorch_model.safetensors',
    tolerance: 2e-4,
    runs: pictures.map(denoiseInputs),
    build: (config, loaded) => {
      const module = createModule();
      const options = { guidance: true, cfg: false, references: true };
      addDenoise(module, parseTransformerConfig(config, 'config.json'), options, storedTypes(loaded));
      return module.build();
    },
  },
  {
    name: 'vae_decoder',
    component: 'vae',
    folder: 'vae-tiny',
    file: '/diffusion_pytorch_model.safetensors',
    tolerance: 1e-5,
    runs: grids.map((grid, index) => ({ latents: floats([1 + (index % 2), 128, ...grid]) })),
    build: (config, loaded) => {
      const module = createModule();
      addVaeDecoder(module, parseAutoencoderConfig(config, 'config.json'), storedTypes(loaded));
      return module.build();
    },
  },
  {
    name: 'vae_encoder',
    component: 'vae',
    folder: 'vae-tiny',
    file: '/diffusion_pytorch_model.safetensors',
    tolerance: 1e-5,
    runs: grids.map(([height, width], index) => ({ image: floats([1 + (index % 2), 3, 16 * height, 16 * width]) })),
    build: (config, loaded) => {
      const module = createModule();
      addVaeEncoder(module, parseAutoencoderConfig(config, 'config.json'), storedTypes(loaded));
      return module.build();
    },
  },
  {
    name: 'text_encoder',
    component: 'text_encoder',
    folder: 'text-encoder-qwen3-tiny',
    file: '',
    tolerance: 1e-5,
    runs: [1, 2, 3, 5, 8, 13, 16, 17, 31, 40].map((text, index) => promptInputs(1 + (index % 2), text)),
    build: (config, loaded) => {
      const module = createModule();
      const parsed = parseTextEncoderConfig(config, 'config.json');
      addTextEncoder(module, parsed, { layers: [1, 3, 5] }, storedTypes(loaded));
      return module.build();
    },
  },
];

function describeSizes(name: string, device: Device): void {
  describe(`${name}, loaded once, serves ten sizes`, { timeout: compilingTimeoutMs }, () => {
    afterAll(() => device.destroy());
    describe.each(networks)('of $name', ({ name, component, folder, file, tolerance, runs, build }) => {
      let session: Session;
      let verify: (inputs: ReadonlyMap<string, HostTensor>) => void;
      let want: (inputs: Inputs) => ReadonlyMap<string, HostTensor>;
      const load = vi.spyOn(device, 'loadKernels');
      beforeAll(async () => {
        load.mockClear();
        const loaded = await loadComponent(component, `test/golden/${folder}${file}`);
        const module = build(readFileSync(`test/golden/${folder}/config.json`, 'utf8'), loaded);
        const { plans, kernels } = compileModule(module, device.target, { print: kernelPrinter(device.target) });
        const weights = memoryWeights(loaded.tensors);
        session = await Session.create({ plan: plans.get(name)!, kernels, device, weights });
        verify = (inputs) => {
          const { plan } = session;
          verifyBoundPlan(instantiatePlan(plan, bindInputs(plan, inputs, {}), device.target, kernels));
        };
        want = (inputs) => interpretWith([loaded], module, name, inputs, 'f32');
      });
      afterAll(() => session.destroy());

      it('as the graph says', async () => {
        const shapesOf = (inputs: Inputs): string =>
          Object.entries(inputs)
            .map(([key, { shape }]) => `${key} [${shape.join()}]`)
            .join(', ');
        expect(new Set(runs.map(shapesOf)).size).toBe(10);
        const first = new Map(Object.entries(runs[0] as Inputs));
        const before = await session.run(first);
        for (const inputs of runs) {
          const arrays = new Map(Object.entries(inputs));
          verify(arrays);
          const got = await session.run(arrays);
          for (const [result, tensor] of want(inputs)) {
            const what = `${result} of ${shapesOf(inputs)}`;
            expect(got.get(result)?.shape, what).toEqual(tensor.shape);
            const { relativeL2 } = compareTensors(toHostTensor(got.get(result)!), tensor);
            expect(relativeL2, what).toBeLessThanOrEqual(tolerance);
          }
        }
        // The first size's arenas have long been given away.
        expect(await session.run(first)).toEqual(before);
        expect(load).toHaveBeenCalledTimes(1);
      });
    });
  });
}

describeSizes('the processor', createCpuDevice());
const lavapipe = await openTestDevice('lavapipe', 'ten sizes');
if (lavapipe !== undefined) describeSizes('lavapipe', lavapipe);

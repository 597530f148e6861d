/** The released models at 1024² and other sizes, planned, and run through on a device that computes nothing. */
import { afterAll, describe, expect, it } from 'vitest';
import { cudaTarget } from '../backends/cuda/cuda-target.js';
import { kernelPrinter } from '../backends/print-kernel.js';
import { portableWebgpu, type Target } from '../backends/target.js';
import type { DimBinding } from '../ir/dim.js';
import { byteSize } from '../ir/dtype.js';
import { countElements } from '../ir/host-tensor.js';
import { buildFunction } from '../models/flux2/component-functions.js';
import type { NetworkName } from '../models/flux2/networks.js';
import { type VariantName, variants } from '../models/flux2/variants.js';
import { compileModule, type CompileOptions } from '../passes/compile.js';
import type { CompiledModule } from '../passes/compiled.js';
import { fromHostTensor, type HostArray } from '../runtime/host-array.js';
import { instantiatePlan } from '../runtime/instantiate.js';
import { NullDevice } from '../runtime/null-device.js';
import { type BoundPlan, flattenSteps } from '../runtime/plan/bound-plan.js';
import { verifyBoundPlan } from '../runtime/plan/verify-bound-plan.js';
import { Session } from '../runtime/session.js';
import { countWeightBytes, pieceBytes, type WeightProvider } from '../runtime/weight-provider.js';

const mib = 2 ** 20;

/** What desktop drivers allow: bindings of nearly 2 GiB. */
const desktop: Target = { ...portableWebgpu, maxBindingBytes: 2 ** 31 - 16, maxBufferBytes: 2 ** 32 - 16 };

/** The same zeros again and again: no model is ever in memory. */
const zeroWeights: WeightProvider = {
  async *read(declaration, range) {
    const zeros = new Uint8Array(Math.min(pieceBytes, range?.byteLength ?? countWeightBytes(declaration)));
    let left = range?.byteLength ?? countWeightBytes(declaration);
    for (; left > 0; left -= zeros.byteLength) yield zeros.subarray(0, Math.min(left, zeros.byteLength));
  },
};

function compile(
  variant: VariantName,
  name: NetworkName,
  target: Target,
  operands: CompileOptions['operands'] = 'f32',
): CompiledModule {
  const { transformer, autoencoder, textEncoder, textEncoderOutLayers } = variants[variant];
  const description = { name: variant, pipeline: undefined, transformer, autoencoder, textEncoder };
  const module = buildFunction(description, name, () => 'bf16', textEncoderOutLayers);
  return compileModule(module, target, { print: kernelPrinter(target), operands });
}

function zeroInputs({ plan, sizes }: BoundPlan): ReadonlyMap<string, HostArray> {
  return new Map(
    plan.inputs.map(({ name, dtype, shape }) => {
      const extents = shape.map((dim) => dim.evaluate(sizes));
      return [name, fromHostTensor({ dtype, shape: extents, data: new Float64Array(countElements(extents)) })];
    }),
  );
}

/** Runs it all on the null device; the numbers that say what a change of the compiler costs or saves. */
async function measure(
  compiled: CompiledModule,
  name: NetworkName,
  sizes: DimBinding,
  target: Target,
): Promise<string> {
  const plan = compiled.plans.get(name)!;
  const bound = instantiatePlan(plan, sizes, target, compiled.kernels);
  verifyBoundPlan(bound);
  const device = new NullDevice(target);
  const session = await Session.create({ plan, kernels: compiled.kernels, device, weights: zeroWeights });
  const results = await session.run(zeroInputs(bound));
  for (const { name: result, dtype, shape } of plan.results) {
    const extents = shape.map((dim) => dim.evaluate(sizes));
    expect(results.get(result)?.data.byteLength).toBe(countElements(extents) * byteSize(dtype));
  }
  const { arenaBytes, weightBytes } = session.memory;
  expect(arenaBytes).toBe(bound.memory.arenaBytes);
  const launches = [...flattenSteps(bound.steps)].filter((step) => step.kind === 'launch');
  expect(device.events.filter(({ kind }) => kind === 'launch')).toHaveLength(launches.length);
  const window = Math.max(...launches.flatMap(({ bindings }) => bindings.map(({ byteLength }) => byteLength)));
  expect(window).toBeLessThanOrEqual(target.maxBindingBytes);
  const loop = bound.steps.find((step) => step.kind === 'loop');
  const perStep = loop?.kind === 'loop' ? `${loop.iteration(1).length} a step` : '';
  await session.destroy();
  expect(device.usage.bytes).toBe(0);
  const inMib = (bytes: number): string => (bytes / mib).toFixed(0);
  return [
    `${compiled.kernels.size} kernels`,
    `${launches.length} launches`,
    perStep,
    `arenas ${inMib(arenaBytes)} MiB of ${inMib(bound.memory.lowerBoundBytes)}`,
    `weights ${inMib(weightBytes)} MiB`,
    `bindings up to ${inMib(window)} MiB`,
  ]
    .filter((text) => text !== '')
    .join(', ');
}

const textToImage = { batch: 1, img: 4096, txt: 512, ref: 0, steps: 4 };
const oneReference = { ...textToImage, ref: 4096 };
const fourReferences = { ...textToImage, steps: 1, ref: 4 * 4096 };
const large = { ...textToImage, steps: 1, img: 16384 };
const square = { batch: 1, h: 64, w: 64 };

interface Row {
  readonly what: string;
  readonly sizes: DimBinding;
  readonly target: Target;
}

const denoiseRows: readonly Row[] = [
  { what: 'portable', sizes: textToImage, target: portableWebgpu },
  { what: 'portable, 1 reference', sizes: oneReference, target: portableWebgpu },
  { what: 'desktop, 1 reference', sizes: oneReference, target: desktop },
];
/** Four megapixels beside each other or in one picture; dev's would not fit buffers of 1 GiB. */
const largeRows: readonly Row[] = [
  { what: 'portable, 4 references, 1 step', sizes: fourReferences, target: portableWebgpu },
  { what: 'portable, 2048², 1 step', sizes: large, target: portableWebgpu },
];
const pictureRows: readonly Row[] = [
  { what: 'portable, 256²', sizes: { batch: 1, h: 16, w: 16 }, target: portableWebgpu },
  { what: 'portable', sizes: square, target: portableWebgpu },
  { what: 'desktop', sizes: square, target: desktop },
];
const functions: readonly (readonly [VariantName, NetworkName, readonly Row[]])[] = [
  ['dev', 'denoise', denoiseRows],
  ['dev', 'text_encoder', [{ what: 'portable', sizes: { batch: 1, txt: 512 }, target: portableWebgpu }]],
  ['dev', 'vae_encoder', pictureRows],
  ['dev', 'vae_decoder', pictureRows],
  ['klein-4b', 'denoise', [...denoiseRows, ...largeRows]],
  ['klein-4b', 'denoise_cfg', denoiseRows],
  ['klein-4b', 'denoise_cached', denoiseRows],
  ['klein-4b', 'text_encoder', [{ what: 'portable', sizes: { batch: 2, txt: 512 }, target: portableWebgpu }]],
];

interface Build {
  readonly what: string;
  readonly target: Target;
  readonly operands: CompileOptions['operands'];
  /** The device's, where it has more than kernels rely on. */
  readonly planned?: Target;
}

const builds: readonly Build[] = [
  { what: 'webgpu', target: portableWebgpu, operands: 'f32', planned: desktop },
  { what: 'mma', target: cudaTarget(['sm_80']), operands: 'stored' },
  { what: 'wgmma', target: cudaTarget(['sm_90a']), operands: 'stored' },
  { what: 'wgmma, fp8', target: cudaTarget(['sm_90a']), operands: 'fp8' },
];
const denoiseSizes: readonly DimBinding[] = [
  textToImage,
  oneReference,
  fourReferences,
  large,
  { ...textToImage, img: 1024 },
  { ...textToImage, img: 1024, ref: 1024 },
  { ...textToImage, img: 48 * 84 },
  { ...textToImage, batch: 2 },
];
const pictureSizes: readonly DimBinding[] = [square, { batch: 1, h: 32, w: 32 }, { batch: 1, h: 48, w: 84 }];
const placedFunctions: readonly (readonly [VariantName, NetworkName, readonly DimBinding[]])[] = [
  ['dev', 'denoise', denoiseSizes],
  ['dev', 'text_encoder', [{ batch: 1, txt: 512 }]],
  ['dev', 'vae_encoder', pictureSizes],
  ['dev', 'vae_decoder', [...pictureSizes, { ...square, batch: 2 }]],
  ['klein-4b', 'denoise', denoiseSizes],
  ['klein-4b', 'denoise_cfg', denoiseSizes],
  ['klein-9b', 'denoise', denoiseSizes],
  ['klein-9b', 'denoise_cached', denoiseSizes],
];

/** Peak resident memory of this process, which runs nothing else. */
const peakBytes = (): number => process.resourceUsage().maxRSS * 1024;

describe('released models at 1024² and 512 tokens of text', () => {
  const table: string[] = [];

  it.each(functions)('%s %s compiles to a few dozen kernels and fits', async (variant, name, rows) => {
    const compiled = compile(variant, name, portableWebgpu);
    expect(compiled.kernels.size).toBeLessThan(50);
    for (const { what, sizes, target } of rows) {
      table.push(`${variant} ${name}, ${what}: ${await measure(compiled, name, sizes, target)}`);
    }
  });

  it('has these sizes', () => {
    expect(`\n${table.join('\n')}\n`).toMatchInlineSnapshot(`
      "
      dev denoise, portable: 27 kernels, 6023 launches, 1501 a step, arenas 998 MiB of 998, weights 61461 MiB, bindings up to 124 MiB
      dev denoise, portable, 1 reference: 27 kernels, 13320 launches, 3325 a step, arenas 2054 MiB of 2054, weights 61461 MiB, bindings up to 128 MiB
      dev denoise, desktop, 1 reference: 27 kernels, 1343 launches, 333 a step, arenas 2054 MiB of 2054, weights 61461 MiB, bindings up to 864 MiB
      dev text_encoder, portable: 13 kernels, 392 launches, arenas 86 MiB of 84, weights 33081 MiB, bindings up to 108 MiB
      dev vae_encoder, portable, 256²: 35 kernels, 103 launches, arenas 96 MiB of 96, weights 66 MiB, bindings up to 32 MiB
      dev vae_encoder, portable: 35 kernels, 171 launches, arenas 1536 MiB of 1536, weights 66 MiB, bindings up to 128 MiB
      dev vae_encoder, desktop: 35 kernels, 123 launches, arenas 1536 MiB of 1536, weights 66 MiB, bindings up to 512 MiB
      dev vae_decoder, portable, 256²: 33 kernels, 134 launches, arenas 160 MiB of 160, weights 121 MiB, bindings up to 64 MiB
      dev vae_decoder, portable: 33 kernels, 272 launches, arenas 2560 MiB of 2560, weights 121 MiB, bindings up to 128 MiB
      dev vae_decoder, desktop: 33 kernels, 168 launches, arenas 2560 MiB of 2560, weights 121 MiB, bindings up to 1024 MiB
      klein-4b denoise, portable: 24 kernels, 929 launches, 230 a step, arenas 499 MiB of 499, weights 7392 MiB, bindings up to 108 MiB
      klein-4b denoise, portable, 1 reference: 24 kernels, 1450 launches, 360 a step, arenas 1027 MiB of 1027, weights 7392 MiB, bindings up to 102 MiB
      klein-4b denoise, desktop, 1 reference: 24 kernels, 648 launches, 160 a step, arenas 1027 MiB of 1027, weights 7392 MiB, bindings up to 408 MiB
      klein-4b denoise, portable, 4 references, 1 step: 24 kernels, 1044 launches, 1030 a step, arenas 2466 MiB of 2466, weights 7392 MiB, bindings up to 128 MiB
      klein-4b denoise, portable, 2048², 1 step: 24 kernels, 955 launches, 943 a step, arenas 1794 MiB of 1794, weights 7392 MiB, bindings up to 128 MiB
      klein-4b denoise_cfg, portable: 25 kernels, 1453 launches, 363 a step, arenas 997 MiB of 997, weights 7392 MiB, bindings up to 108 MiB
      klein-4b denoise_cfg, portable, 1 reference: 25 kernels, 2658 launches, 664 a step, arenas 1957 MiB of 1957, weights 7392 MiB, bindings up to 126 MiB
      klein-4b denoise_cfg, desktop, 1 reference: 25 kernels, 652 launches, 163 a step, arenas 1957 MiB of 1957, weights 7392 MiB, bindings up to 816 MiB
      klein-4b denoise_cached, portable: 39 kernels, 937 launches, 230 a step, arenas 499 MiB of 499, weights 7392 MiB, bindings up to 108 MiB
      klein-4b denoise_cached, portable, 1 reference: 39 kernels, 1141 launches, 230 a step, arenas 5587 MiB of 5587, weights 7392 MiB, bindings up to 108 MiB
      klein-4b denoise_cached, desktop, 1 reference: 39 kernels, 788 launches, 160 a step, arenas 5587 MiB of 5587, weights 7392 MiB, bindings up to 216 MiB
      klein-4b text_encoder, portable: 13 kernels, 245 launches, arenas 72 MiB of 58, weights 5940 MiB, bindings up to 48 MiB
      "
    `);
  });

  it.each(placedFunctions)('%s %s has arenas for what lives at one time, hardly more', (variant, name, sizes) => {
    for (const { what, target, operands, planned = target } of builds) {
      const compiled = compile(variant, name, target, operands);
      for (const binding of sizes) {
        const bound = instantiatePlan(compiled.plans.get(name)!, binding, planned, compiled.kernels);
        verifyBoundPlan(bound);
        const { arenas, arenaBytes, lowerBoundBytes } = bound.memory;
        expect(arenaBytes / lowerBoundBytes, `${what} ${JSON.stringify(binding)}`).toBeLessThanOrEqual(1.1);
        if (planned.mixedAccess === true) expect(arenas).toHaveLength(1);
      }
    }
  });

  it('never takes 2 GiB', () => {
    expect(peakBytes()).toBeLessThan(2 ** 31);
  });
});

afterAll(() => process.stderr.write(`full size: ${(peakBytes() / mib).toFixed(0)} MiB of memory at most\n`));

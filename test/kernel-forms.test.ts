import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { cudaTarget } from '../backends/cuda/cuda-target.js';
import { cpuTarget, portableWebgpu } from '../backends/target.js';
import type { Target } from '../backends/target.js';
import { createModule } from '../frontend/index.js';
import type { ModuleGraph } from '../frontend/index.js';
import type { DimBinding } from '../ir/dim.js';
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16, f8e4m3ToF32, isFloat } from '../ir/dtype.js';
import type { DType } from '../ir/dtype.js';
import { opKinds } from '../ir/graph/attribute-forms.js';
import { compareTensors, countElements } from '../ir/host-tensor.js';
import type { HostTensor } from '../ir/host-tensor.js';
import { storageBytes } from '../ir/kernel/thread-interpret-memory.js';
import { parseThreadKernel } from '../ir/kernel/thread-parse.js';
import { printThreadKernel } from '../ir/kernel/thread-print.js';
import { verifyThreadKernel } from '../ir/kernel/thread-verify.js';
import type { StorageType, ThreadKernel } from '../ir/kernel/thread.js';
import { runTileKernel } from '../ir/kernel/tile-interpret.js';
import { parseTileKernel } from '../ir/kernel/tile-parse.js';
import { printTileKernel } from '../ir/kernel/tile-print.js';
import { verifyTileKernel } from '../ir/kernel/tile-verify.js';
import { addVaeDecoder } from '../models/flux2/autoencoder.js';
import { parseAutoencoderConfig, parseTextEncoderConfig } from '../models/flux2/config.js';
import type { TransformerConfig } from '../models/flux2/config.js';
import { addTextEncoder } from '../models/flux2/text-encoder.js';
import { addTransformer } from '../models/flux2/transformer.js';
import { compileModule } from '../passes/compile.js';
import type { CompiledKernel } from '../passes/compiled.js';
import type { BoundLaunch } from '../runtime/device.js';
import { fromHostTensor } from '../runtime/host-array.js';
import { InterpreterDevice } from '../runtime/interpreter-device.js';
import { Session } from '../runtime/session.js';
import { memoryWeights } from '../runtime/weight-provider.js';
import { randomGraph } from './random-graph.js';
import { Random } from './random.js';
import { smallTransformer } from './small-denoise.js';

/** f32 sums in another order than the tile interpreter's, which are in doubles. */
const tolerance = 1e-5;
/** Some of those sums, or of quotients in f32, are rounded to another neighbour of 16 or 8 bits. */
const narrowTolerance = 5e-4;

/** Runs every launch in both phases and compares what they store: translation validation of the lowering. */
class TwoPhaseDevice extends InterpreterDevice {
  compared = 0;
  readonly differences: string[] = [];

  constructor(
    target: Target,
    private readonly compiledKernels: ReadonlyMap<string, CompiledKernel>,
  ) {
    super(target);
  }

  protected override execute(launch: BoundLaunch, kernel: ThreadKernel): void {
    const { tile } = this.compiledKernels.get(launch.kernel) as CompiledKernel;
    const read = (place: number): Float64Array => {
      const { buffer, byteOffset, byteLength } = launch.bindings[place] as BoundLaunch['bindings'][number];
      return decode(
        tile.buffers[place]?.storage ?? 'f32',
        this.memoryOf(buffer).slice(byteOffset, byteOffset + byteLength),
      );
    };
    const wanted = kernel.buffers.map((_, place) => read(place));
    const parameters = Object.fromEntries(kernel.parameters.map((name, at) => [name, launch.parameters[at] as number]));
    runTileKernel(
      tile,
      Object.fromEntries(kernel.buffers.map(({ name }, place) => [name, wanted[place] as Float64Array])),
      parameters,
    );
    super.execute(launch, kernel);
    kernel.buffers.forEach(({ access, name }, place) => {
      if (access === 'read') return;
      const storage = tile.buffers[place]?.storage ?? 'f32';
      const isHalf = storage === 'bf16' || storage === 'f16';
      const isNarrow = isHalf || storage === 'i8';
      const want = isHalf ? decode(storage, encode(storage, wanted[place]!)) : wanted[place]!;
      const tensor = (data: Float64Array) => ({ dtype: 'f64', shape: [data.length], data }) as const;
      const { relativeL2, maxAbs } = compareTensors(tensor(read(place)), tensor(want));
      this.compared++;
      if (relativeL2 > (isNarrow ? narrowTolerance : tolerance) && maxAbs > tolerance)
        this.differences.push(`${launch.label} ${name}: ${relativeL2}`);
    });
  }
}

function decode(storage: StorageType, bytes: Uint8Array): Float64Array {
  const { buffer } = bytes;
  const length = bytes.byteLength / storageBytes(storage);
  switch (storage) {
    case 'f32':
      return Float64Array.from(new Float32Array(buffer, 0, length));
    case 'i32':
      return Float64Array.from(new Int32Array(buffer, 0, length));
    case 'u32':
      return Float64Array.from(new Uint32Array(buffer, 0, length));
    case 'bf16':
      return Float64Array.from(new Uint16Array(buffer, 0, length), bf16ToF32);
    case 'f16':
      return Float64Array.from(new Uint16Array(buffer, 0, length), f16ToF32);
    case 'f8e4m3':
      return Float64Array.from(bytes, f8e4m3ToF32);
    case 'i8':
      return Float64Array.from(new Int8Array(buffer, 0, length));
    case 'u8':
    case 'bool':
      return Float64Array.from(bytes);
  }
}

function encode(storage: 'bf16' | 'f16', data: Float64Array): Uint8Array {
  return new Uint8Array(Uint16Array.from(data, storage === 'bf16' ? f32ToBf16 : f32ToF16).buffer);
}

const transformer: TransformerConfig = { ...smallTransformer, guidanceEmbeds: true };

const networks: readonly {
  readonly name: string;
  readonly functionName: string;
  readonly sizes: DimBinding;
  readonly build: (module: ModuleGraph) => void;
}[] = [
  {
    name: 'the transformer',
    functionName: 'transformer',
    sizes: { batch: 2, img: 35, txt: 9 },
    build: (module) => addTransformer(module, transformer, () => 'bf16'),
  },
  {
    name: 'the decoder',
    functionName: 'vae_decoder',
    sizes: { batch: 1, h: 3, w: 2 },
    build: (module) => {
      const file = 'test/golden/vae-tiny/config.json';
      const config = parseAutoencoderConfig(readFileSync(file, 'utf8'), file);
      addVaeDecoder(module, { ...config, decoderChannels: [8, 16], latentChannels: 4 }, () => 'f32');
    },
  },
  {
    name: 'the text encoder',
    functionName: 'text_encoder',
    sizes: { batch: 1, txt: 7 },
    build: (module) => {
      const file = 'test/golden/text-encoder-tiny/config.json';
      addTextEncoder(
        module,
        parseTextEncoderConfig(readFileSync(file, 'utf8'), file),
        { layers: [1, 2] },
        () => 'bf16',
      );
    },
  },
];

/** A driver that computes on a processor's vectors. */
function lanesOf(size: number): Target {
  return { ...portableWebgpu, stagingPays: false, f16: true, subgroups: { min: size, max: size } };
}

const random = new Random(11);
/** A random graph may read many inputs at once. */
const roomy: Target = { ...portableWebgpu, maxStorageBuffers: 16 };

/** Floats that are bf16 numbers, so that each float type holds them exactly; integers of 0 and 1. */
function randomTensor(dtype: DType, shape: readonly number[]): HostTensor {
  const draw = isFloat(dtype) ? () => bf16ToF32(f32ToBf16(random.between(-0.5, 0.5))) : () => random.integer(0, 1);
  return { dtype, shape, data: Float64Array.from({ length: countElements(shape) }, draw) };
}

describe.each([
  ['portable WebGPU', portableWebgpu, 'f32'],
  ['WebAssembly', cpuTarget, 'f32'],
  ['lanes of a subgroup of 8', lanesOf(8), 'f32'],
  ['lanes of a subgroup of 4', lanesOf(4), 'f16'],
  ['CUDA', cudaTarget(['sm_80']), 'bf16'],
  ['portable WebGPU in int8', portableWebgpu, 'int8'],
  ['a GPU with room for staged factors in int8', { ...portableWebgpu, workgroupMemory: 49152 }, 'int8'],
  ['WebAssembly in int8', cpuTarget, 'int8'],
  ['lanes of a subgroup of 8 in int8', lanesOf(8), 'int8'],
] as const)('kernels for %s', (_, target, operands) => {
  describe.each(networks)('of $name', ({ build, functionName, sizes }) => {
    const graph = createModule();
    build(graph);
    const module = graph.build();
    const compiled = compileModule(module, target, { print: () => '', operands });

    it('verify and read back in both phases', () => {
      expect(compiled.kernels.size).toBeGreaterThan(5);
      for (const { name, tile, thread } of compiled.kernels.values()) {
        verifyTileKernel(tile);
        expect(parseTileKernel(printTileKernel(tile)), name).toEqual(tile);
        verifyThreadKernel(thread, target);
        expect(parseThreadKernel(printThreadKernel(thread)), name).toEqual(thread);
      }
    });

    it('store the same numbers in both phases', async () => {
      const plan = compiled.plans.get(functionName);
      if (plan === undefined) throw new Error(`no plan of ${functionName}`);
      const tensors = new Map<string, HostTensor>();
      for (const { source, type } of module.weights.values()) {
        if (source.kind !== 'tensor') throw new Error('the model declares plain tensors');
        tensors.set(
          source.tensor,
          randomTensor(
            type.dtype,
            type.shape.map((dim) => dim.evaluate({})),
          ),
        );
      }
      const device = new TwoPhaseDevice(target, compiled.kernels);
      const session = await Session.create({
        plan,
        kernels: compiled.kernels,
        device,
        weights: memoryWeights(tensors),
      });
      const inputs = plan.inputs.map(
        ({ name, dtype, shape }) =>
          [
            name,
            fromHostTensor(
              randomTensor(
                dtype,
                shape.map((dim) => dim.evaluate(sizes)),
              ),
            ),
          ] as const,
      );
      await session.run(new Map(inputs));
      await session.destroy();
      expect(device.differences).toEqual([]);
      expect(device.compared).toBeGreaterThan(5);
    });
  });
});

describe('kernels of random graphs', () => {
  it('verify and store the same numbers in both phases', async () => {
    // The head size of an attention must be a number, which a random one need not be.
    const ops = opKinds.filter((kind) => kind !== 'attention');
    let compared = 0;
    for (let seed = 0; seed < 40; seed++) {
      const { module, inputs, weights } = randomGraph(seed, { ops });
      const compiled = compileModule(module, roomy, { print: () => '' });
      for (const { tile, thread } of compiled.kernels.values()) {
        verifyTileKernel(tile);
        verifyThreadKernel(thread, roomy);
      }
      const plan = compiled.plans.get('random');
      if (plan === undefined) throw new Error('no plan');
      const device = new TwoPhaseDevice(roomy, compiled.kernels);
      const session = await Session.create({
        plan,
        kernels: compiled.kernels,
        device,
        weights: memoryWeights(weights),
      });
      await session.run(new Map([...inputs].map(([name, input]) => [name, fromHostTensor(input)])));
      await session.destroy();
      expect(device.differences, `seed ${seed}`).toEqual([]);
      compared += device.compared;
    }
    expect(compared).toBeGreaterThan(100);
  });
});

import type { Target } from '../backends/target.js';
import type { DType } from '../ir/dtype.js';
import type { FactorType } from '../ir/graph/attributes.js';
import type { Module } from '../ir/graph/graph.js';
import { Flux2cError } from '../ir/diagnostics.js';
import type { Schedule } from '../ir/kernel/tile.js';
import type { Plan } from '../ir/plan.js';
import type { CompiledModule } from './compiled.js';
import type { FactorChoice } from './graph/choose-factors.js';
import type { EncodingOf } from './graph/encode-weights.js';
import type { MayQuantize } from './graph/quantize-products.js';
import { graphPassesFor, type PipelineOptions } from './pipeline.js';
import { runGraphPasses } from './pass.js';
import type { GraphPass, Instrument } from './pass.js';
import { buildPlan } from './plan/build-plan.js';
import { KernelCache, KernelStore, type PrintKernel } from './plan/kernel-store.js';

export { KernelCache };

export interface CompileOptions {
  /** Prints a kernel for the target's backend; the driver's caller knows the backend, passes do not. */
  readonly print: PrintKernel;
  readonly instruments?: readonly Instrument[];
  /** Schedules by kernel key (`CompiledKernel.key`), in place of the chosen ones. Those of other kernels are not looked at. */
  readonly schedules?: ReadonlyMap<string, Schedule>;
  /**
   * What the factors of products (matmul, conv2d, attention) are rounded to before they are multiplied; sums and
   * everything else stay f32. `f16` needs a target that has it, `fp8` one with `fp8`: linear layers then multiply f8e4m3
   * numbers with scales by rows of both factors (passes/graph/quantize-products.ts), other products bf16. `int8` needs one with
   * `packedDots`: linear layers multiply integers with such scales, other products f32. A target that multiplies matrix fragments keeps what
   * only products read in 16 bits.
   * - `f16_where_bounded`: `f16` for graphs with values that it does not hold. Products of weights with values that a norm bounds multiply
   *   f16 (passes/graph/choose-factors.ts), all others f32. Their weights are f16 on the device, and checked while they are loaded (F2C423)
   * - `stored`: where matrix fragments are multiplied, the type that most weights are stored in, elsewhere `f32`
   *
   * Default `f32`.
   */
  readonly operands?: Operands | 'f16_where_bounded' | 'stored';
  /** With operands in `fp8` or `int8`, the stored tensors whose products may multiply 8 bits; all by default. */
  readonly mayQuantize?: MayQuantize;
  /** How stored tensors are encoded on the device, where linear layers have them as weights (`Encoding.text`); none by default. */
  readonly encodingOf?: EncodingOf;
  /** Only these functions; all by default. */
  readonly functions?: readonly string[];
  /** Takes kernels from there and leaves new ones; for calls with the same `print`. */
  readonly cache?: KernelCache;
}

export type { EncodingOf, MayQuantize };

/** What factors of products may be rounded to. */
export type Operands = 'f32' | FactorType | keyof typeof quantizedOperands;

/** Operands that linear layers are quantised for: to what, and what the factors of other products are. */
const quantizedOperands = {
  fp8: { dtype: 'f8e4m3', others: 'bf16' },
  int8: { dtype: 'i8', others: 'f32' },
} as const;

type ChosenOperands = Exclude<CompileOptions['operands'], 'stored' | undefined>;

function quantizationOf(operands: CompileOptions['operands']): (typeof quantizedOperands)['fp8' | 'int8'] | undefined {
  return operands === 'fp8' || operands === 'int8' ? quantizedOperands[operands] : undefined;
}

/**
 * Runs the whole way from a graph module to kernels and plans.
 *
 * @throws F2C307 operands in f16, fp8 or int8 for a target without it, and F2C1xx to F2C3xx of the stages
 */
export function compileModule(module: Module, target: Target, options: CompileOptions): CompiledModule {
  return prepareModule(module, target, options)(options.schedules);
}

/**
 * Runs the graph passes. What comes back makes kernels and plans under schedules, as often as it is called; kernels whose schedule was
 * given, or chosen, before are not made again.
 *
 * @throws as `compileModule`
 */
export function prepareModule(
  module: Module,
  target: Target,
  options: Omit<CompileOptions, 'schedules'>,
): (schedules?: ReadonlyMap<string, Schedule>) => CompiledModule {
  const { print, cache = new KernelCache() } = options;
  const operands = chooseOperands(module, target, options.operands);
  expectOperands(operands, target);
  const wanted = options.functions;
  const functions = new Map([...module.functions].filter(([name]) => wanted === undefined || wanted.includes(name)));
  const passes = passesFor(module, target, options);
  const fused = runGraphPasses({ ...module, functions }, passes, target, options.instruments ?? []);
  const halves = narrowType(factorChoiceOf(operands), target);
  return (schedules) => {
    const kernels = new KernelStore(target, { print, cache, ...(schedules && { schedules }) });
    const plans = new Map<string, Plan>();
    for (const [name, fn] of fused.functions) plans.set(name, buildPlan(fused, fn, kernels, halves));
    return { target, plans, kernels: kernels.kernels };
  };
}

/** The graph passes that `prepareModule` runs. */
export function passesFor(
  module: Module,
  target: Target,
  options: Pick<CompileOptions, 'operands' | 'mayQuantize' | 'encodingOf'>,
): readonly GraphPass[] {
  const operands = chooseOperands(module, target, options.operands);
  return graphPassesFor(target, pipelineOptionsOf(target, operands, options.mayQuantize, options.encodingOf));
}

function chooseOperands(module: Module, target: Target, operands: CompileOptions['operands'] = 'f32'): ChosenOperands {
  return operands === 'stored' ? storedPrecision(module, target) : operands;
}

function factorChoiceOf(operands: CompileOptions['operands']): FactorChoice | undefined {
  switch (operands) {
    case 'f16':
    case 'bf16':
      return { type: operands, of: 'all' };
    case 'f16_where_bounded':
      return { type: 'f16', of: 'bounded' };
    case 'fp8':
      return { type: quantizedOperands.fp8.others, of: 'all' };
    default:
      return undefined;
  }
}

/** What values are kept in that only products of such factors read: what matrices are made of, WGSL's of f16 alone. */
function narrowType(choice: FactorChoice | undefined, { matrix }: Target): FactorType | undefined {
  if (choice === undefined || matrix === undefined) return undefined;
  return matrix === 'subgroup' && choice.type === 'bf16' ? undefined : choice.type;
}

/** Fragments hold 16-bit numbers: what is stored so loses nothing there. */
function storedPrecision({ weights }: Module, target: Target): 'f32' | FactorType {
  // Of numbers in bf16 f16 may not hold the products: that is for a user to say.
  if (target.matrix === undefined || target.matrix === 'subgroup') return 'f32';
  const counts = new Map<DType, number>();
  for (const { type } of weights.values()) {
    const elements = type.shape.reduce((product, size) => product * size.evaluate({}), 1);
    counts.set(type.dtype, (counts.get(type.dtype) ?? 0) + elements);
  }
  const [most] = [...counts].sort(([, a], [, b]) => b - a)[0] ?? ['f32'];
  return most === 'bf16' || most === 'f16' ? most : 'f32';
}

/** The passes that operands and encoded weights need; which passes those are does not depend on what `stored` stands for. */
export function pipelineOptionsOf(
  { matrix }: Pick<Target, 'matrix'>,
  operands: CompileOptions['operands'],
  mayQuantize: MayQuantize = () => true,
  encodingOf?: EncodingOf,
): PipelineOptions {
  const factors = factorChoiceOf(operands);
  // Nobody has said of these values that f16 holds them, so their weights are looked at while they are loaded.
  const halvesWeights = factors?.type === 'f16' && (matrix === 'subgroup' || factors.of === 'bounded');
  const quantization = quantizationOf(operands);
  return {
    ...(quantization && { quantized: { dtype: quantization.dtype, mayQuantize } }),
    ...(encodingOf && { encodingOf }),
    ...(factors && { factors }),
    ...(halvesWeights && { halvesWeights: true as const }),
  };
}

function expectOperands(operands: ChosenOperands, target: Target): void {
  if ((operands === 'f16' || operands === 'f16_where_bounded') && !target.f16) {
    throw new Flux2cError('F2C307', 'the target has no f16 numbers for the operands of products', {
      where: ['operands'],
      expected: 'f32',
      found: 'f16',
      hint: 'Leave the operands in f32, or use an adapter with the feature shader-f16.',
    });
  }
  if (operands === 'int8' && target.packedDots !== true) {
    const isCuda = target.backend === 'cuda';
    throw new Flux2cError('F2C307', 'the target has no products of packed bytes for the operands of products', {
      where: ['operands'],
      expected: isCuda ? `f32, f16, bf16${target.fp8 === true ? ' or fp8' : ''}` : 'f32',
      found: operands,
      hint: isCuda
        ? 'On NVIDIA GPUs matrices are multiplied in bf16 and, from compute capability 8.9 on, in fp8: --operands fp8. int8 is for WebGPU and the processor.'
        : 'WebGPU needs the language feature packed_4x8_integer_dot_product: update the browser, or leave the operands in f32.',
    });
  }
  if (operands === 'fp8' && target.fp8 !== true) {
    throw new Flux2cError('F2C307', 'the target has no 8-bit floats for the operands of products', {
      where: ['operands'],
      expected: target.backend === 'cuda' ? 'f32, f16 or bf16' : 'f32',
      found: operands,
      hint: 'NVIDIA GPUs from compute capability 8.9 on have them: --arch of sm_89, sm_90a and sm_120 only.',
    });
  }
}

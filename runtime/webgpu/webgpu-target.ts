import type { Target } from '../../backends/target.js';
import type { SubgroupProduct } from '../../ir/kernel/thread.js';

/** Fields that a caller may lower, as tests do to reach the paths of small devices on a large one. */
export type LoweredTarget = Partial<
  Pick<
    Target,
    | 'f16'
    | 'workgroupMemory'
    | 'stagingPays'
    | 'maxWorkgroupInvocations'
    | 'maxWorkgroupsPerDimension'
    | 'maxBindingBytes'
    | 'maxBufferBytes'
    | 'maxStorageBuffers'
    | 'bindingAlignment'
  > & {
    readonly subgroups: false;
    readonly packedDots: false;
    /** Matrices of subgroups, which drivers that compute on the processor are slow with: also there, or nowhere. */
    readonly subgroupMatrices: boolean;
  }
>;

/** What `targetOfAdapter` reads of a GPUAdapter (tests give a literal). */
export interface AdapterFacts {
  readonly limits: Pick<
    GPUSupportedLimits,
    | 'maxComputeWorkgroupStorageSize'
    | 'maxComputeInvocationsPerWorkgroup'
    | 'maxComputeWorkgroupSizeX'
    | 'maxComputeWorkgroupsPerDimension'
    | 'maxStorageBufferBindingSize'
    | 'maxBufferSize'
    | 'maxStorageBuffersPerShaderStage'
    | 'minStorageBufferOffsetAlignment'
  >;
  readonly features: { has(name: string): boolean };
  readonly info: Pick<GPUAdapterInfo, 'isFallbackAdapter' | 'subgroupMinSize' | 'subgroupMaxSize'> & {
    /** Of Dawn's experimental feature. */
    readonly subgroupMatrixConfigs?: Iterable<SubgroupMatrixConfig>;
  };
}

/** Types of the factors and the sums, and the size of a product, M × K by K × N. */
interface SubgroupMatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** Not yet a part of WebGPU: Dawn offers it where `allow_unsafe_apis` is on. */
const subgroupMatrices = 'chromium-experimental-subgroup-matrix';

/**
 * Whether the adapter computes on the CPU. WebGPU exposes no adapter type; browsers and Dawn set `isFallbackAdapter` for
 * exactly the adapters of type CPU (lavapipe, SwiftShader, WARP), so no name is looked at.
 */
export function isSoftwareAdapter(info: Pick<GPUAdapterInfo, 'isFallbackAdapter'>): boolean {
  return info.isFallbackAdapter;
}

/** What a compiler of WGSL knows beyond the first version of the language: `wgslLanguageFeatures` of a GPU object. */
export interface LanguageFeatures {
  has(name: string): boolean;
}

/** The browser's; of nothing where there is no browser. */
function browserLanguage(): LanguageFeatures {
  const gpu = (globalThis.navigator as Partial<Navigator> | undefined)?.gpu as Partial<GPU> | undefined;
  return gpu?.wgslLanguageFeatures ?? new Set();
}

/** The capabilities of an adapter, all of which are requested of the device, lowered where the caller asks for it. */
export function targetOfAdapter(
  adapter: AdapterFacts,
  lowered: LoweredTarget = {},
  language: LanguageFeatures = browserLanguage(),
): Target {
  const { limits, features, info } = adapter;
  const lower = (value: number, limit: number | undefined): number => Math.min(value, limit ?? value);
  // Binding sizes are multiples of 4; some drivers report 2^31 - 1 or 2^32 - 1.
  const floor16 = (value: number): number => value - (value % 16);
  const { subgroupMinSize: min = 0, subgroupMaxSize: max = 0 } = info;
  const hasSubgroups = features.has('subgroups') && min > 0 && lowered.subgroups !== false;
  const product = findProduct(adapter, lowered);
  return {
    backend: 'webgpu',
    ...(product !== undefined && { matrix: 'subgroup' as const, subgroupProduct: product }),
    f16: features.has('shader-f16') && lowered.f16 !== false,
    ...(language.has('packed_4x8_integer_dot_product') && lowered.packedDots !== false && { packedDots: true }),
    ...(hasSubgroups ? { subgroups: { min, max } } : {}),
    workgroupMemory: lower(limits.maxComputeWorkgroupStorageSize, lowered.workgroupMemory),
    stagingPays: lowered.stagingPays ?? !isSoftwareAdapter(info),
    maxWorkgroupInvocations: lower(
      Math.min(limits.maxComputeInvocationsPerWorkgroup, limits.maxComputeWorkgroupSizeX),
      lowered.maxWorkgroupInvocations,
    ),
    maxWorkgroupsPerDimension: lower(limits.maxComputeWorkgroupsPerDimension, lowered.maxWorkgroupsPerDimension),
    maxBindingBytes: lower(floor16(limits.maxStorageBufferBindingSize), lowered.maxBindingBytes),
    maxBufferBytes: lower(floor16(limits.maxBufferSize), lowered.maxBufferBytes),
    maxStorageBuffers: lower(limits.maxStorageBuffersPerShaderStage, lowered.maxStorageBuffers),
    bindingAlignment: Math.max(limits.minStorageBufferOffsetAlignment, lowered.bindingAlignment ?? 1),
  };
}

/** The largest product of f16 factors with sums in f32 that subgroups of one size make, where that pays. */
function findProduct({ features, info }: AdapterFacts, lowered: LoweredTarget): SubgroupProduct | undefined {
  const { subgroupMinSize: min = 0, subgroupMaxSize: max = 0, subgroupMatrixConfigs = [] } = info;
  const isWanted = lowered.subgroupMatrices ?? !isSoftwareAdapter(info);
  const isThere = features.has(subgroupMatrices) && features.has('shader-f16') && min > 0 && min === max;
  if (!isWanted || !isThere || lowered.f16 === false || lowered.subgroups === false) return undefined;
  const [largest] = [...subgroupMatrixConfigs]
    .filter(({ componentType, resultComponentType }) => componentType === 'f16' && resultComponentType === 'f32')
    .map(({ M: rows, N: columns, K: depth }) => ({ rows, columns, depth }))
    .sort((a, b) => b.rows * b.columns * b.depth - a.rows * a.columns * a.depth);
  return largest;
}

/** The limits and features of a GPUDevice that offers everything in `targetOfAdapter`. */
export function describeDeviceRequest(
  adapter: Pick<GPUAdapter, 'limits' | 'features'>,
): Pick<GPUDeviceDescriptor, 'requiredLimits' | 'requiredFeatures'> {
  const { limits, features } = adapter;
  const wanted = ['shader-f16', 'subgroups', 'timestamp-query', subgroupMatrices];
  return {
    requiredFeatures: wanted.filter((name) => features.has(name)) as GPUFeatureName[],
    requiredLimits: {
      maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
      maxBufferSize: limits.maxBufferSize,
      maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
      maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
      maxComputeWorkgroupSizeX: limits.maxComputeWorkgroupSizeX,
      maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
      maxComputeWorkgroupsPerDimension: limits.maxComputeWorkgroupsPerDimension,
      minStorageBufferOffsetAlignment: limits.minStorageBufferOffsetAlignment,
    },
  };
}

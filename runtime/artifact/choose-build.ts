/** Which build of an artifact a device runs. */
import type { Target } from '../../backends/target.js';
import type { SubgroupProduct } from '../../ir/kernel/thread.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import type { Device } from '../device.js';
import type { ArtifactBuild } from './manifest.js';

type Builds = ReadonlyMap<string, Pick<ArtifactBuild, 'target' | 'architectures'>>;

/**
 * The name of the build that uses most of what the device has: one that multiplies matrices as the device does before one
 * that any device of its kind runs. F2C533 when the device lacks something that each of them needs.
 */
export function chooseBuild(
  artifact: string,
  builds: Builds,
  { target, description }: Pick<Device, 'target' | 'description'>,
): string {
  const fitting = [...builds].filter(([, build]) => lacksOf(build.target, target).length === 0);
  const [chosen] = fitting.find(([, build]) => build.target.matrix === target.matrix) ?? fitting[0] ?? [];
  if (chosen !== undefined) return chosen;
  throw new Flux2cError('F2C533', 'the artifact was compiled for other devices', {
    where: [artifact],
    expected: [...builds]
      .map(([name, build]) => `${describeBuild(name, build)}, which needs ${lacksOf(build.target, target).join(', ')}`)
      .join('; '),
    found: description,
    hint: `Choose another --device or --adapter, or compile it again with ${optionsFor(builds, target)}.`,
  });
}

/** Of `compile`, for an artifact that the device runs: operands of 8 bits cannot stay such where it does not multiply them. */
function optionsFor(builds: Builds, { backend, fp8 = false, packedDots = false }: Target): string {
  const targets = [...builds.values()].map(({ target }) => target);
  const isEightBit = targets.some((target) => target.fp8 === true);
  const isInBytes = targets.some((target) => target.packedDots === true);
  const lacking = [...(isEightBit && !fp8 ? ['fp8'] : []), ...(isInBytes && !packedDots ? ['int8'] : [])];
  const options = `--target ${backend}${lacking.length > 0 ? ` and other --operands than ${lacking.join(' or ')}` : ''}`;
  if (backend !== 'cuda') return options;
  return `${options}, which without --arch is for every GPU ${isEightBit && fp8 ? 'with 8-bit floats' : 'that flux2c knows'}`;
}

/** For people: `mma for sm_80, sm_86`. */
export function describeBuild(name: string, { architectures }: Pick<ArtifactBuild, 'architectures'>): string {
  return architectures.length === 0 ? name : `${name} for ${architectures.join(', ')}`;
}

/** What kernels and plans need that a device has not. Other limits are met when sizes are known. */
function lacksOf(made: Target, target: Target): readonly string[] {
  if (made.backend !== target.backend) return [`a device for ${made.backend} kernels`];
  return [
    ...(made.f16 && !target.f16 ? ['f16 arithmetic'] : []),
    ...(made.subgroups && !sameRange(made.subgroups, target.subgroups)
      ? [`subgroups of ${made.subgroups.min} to ${made.subgroups.max}`]
      : []),
    ...(made.subgroupProduct && !sameProduct(made.subgroupProduct, target.subgroupProduct)
      ? [`matrices of subgroups, ${Object.values(made.subgroupProduct).join(' × ')}`]
      : []),
    // GPUs with wgmma have mma, too.
    ...(made.matrix && made.matrix !== target.matrix && !(made.matrix === 'mma' && target.matrix === 'wgmma')
      ? [`matrix products by ${made.matrix}`]
      : []),
    ...(made.fp8 === true && target.fp8 !== true ? ['8-bit floats'] : []),
    ...(made.packedDots === true && target.packedDots !== true
      ? ["dot products of packed bytes (WGSL's packed_4x8_integer_dot_product)"]
      : []),
    ...(made.asyncCopy === true && target.asyncCopy !== true ? ['copies beside the computation'] : []),
    ...(made.tensorCopies === true && target.tensorCopies !== true ? ['copies of boxes of tensors'] : []),
    ...(made.narrowStores === true && target.narrowStores !== true ? ['stores of less than a word'] : []),
    ...(made.tileWalks === true && target.tileWalks !== true ? ['workgroups that walk over tiles'] : []),
    ...(made.workgroupMemory > target.workgroupMemory ? [`${made.workgroupMemory} bytes of workgroup memory`] : []),
    ...((made.loops?.memoryBytes ?? 0) > (target.loops?.memoryBytes ?? 0)
      ? [`${made.loops?.memoryBytes ?? 0} bytes of memory an invocation`]
      : []),
    ...(made.maxWorkgroupInvocations > target.maxWorkgroupInvocations
      ? [`workgroups of ${made.maxWorkgroupInvocations}`]
      : []),
    ...(made.maxStorageBuffers > target.maxStorageBuffers ? [`${made.maxStorageBuffers} buffers a kernel`] : []),
  ];
}

function sameProduct(made: SubgroupProduct, found: SubgroupProduct | undefined): boolean {
  return found?.rows === made.rows && found.columns === made.columns && found.depth === made.depth;
}

function sameRange(
  made: { readonly min: number; readonly max: number },
  found: { readonly min: number; readonly max: number } | undefined,
): boolean {
  return found !== undefined && found.min === made.min && found.max === made.max;
}

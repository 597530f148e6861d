import { cudaEntryPoint } from '../../../backends/cuda/cuda.js';
import { cudaPreludeName } from '../../../backends/cuda/prelude/prelude.js';
import { cudaSharedBytes, sharedElementBytes } from '../../../backends/cuda/cuda-shared.js';
import { tensorElementBytes } from '../../../ir/kernel/tensor-box.js';
import type { ThreadKernel } from '../../../ir/kernel/thread.js';

export interface EmulatedKernel {
  readonly kernel: ThreadKernel;
  /** What `printCuda` made of it, or a test of that. */
  readonly source: string;
}

/** The exported function that runs a launch of a kernel. */
export function runnerName(kernel: ThreadKernel): string {
  return `f2c_run_${cudaEntryPoint(kernel)}`;
}

/**
 * C++ of several kernels with a function for each that runs it on a grid:
 * `int f2c_run_NAME(report, parameters, grid, byte lengths of the bindings, tensor maps, pointer of binding 0, ...)`, 0 when all
 * went well. The numbers of the tensor maps are those of `encodeTensorMaps`. Entry points must differ.
 */
export function translationUnit(kernels: readonly EmulatedKernel[]): string {
  return [
    `#include "${cudaPreludeName}"`,
    ...kernels.flatMap(({ kernel, source }) => [
      `#line 1 "${cudaEntryPoint(kernel)}.cu"`,
      source,
      `#line 1 "${cudaEntryPoint(kernel)}.launch"`,
      ...launcher(kernel),
    ]),
    '',
  ].join('\n');
}

function launcher(kernel: ThreadKernel): readonly string[] {
  const entryPoint = cudaEntryPoint(kernel);
  const places = kernel.buffers.map((_, at) => at);
  const bindings = `f2c_bindings_${entryPoint}`;
  const parameters = `f2c_parameters_${entryPoint}`;
  const hasParameters = kernel.parameters.length > 0;
  const tensorMaps = kernel.tensorMaps ?? [];
  const maps = `f2c_maps_${entryPoint}`;
  const values = [
    ...places.map((at) => `${bindings}[${at}]`),
    ...tensorMaps.map((_, at) => `${maps}[${at}]`),
    ...(hasParameters ? [`*${parameters}`] : []),
  ];
  const shift = Math.log2(Math.min(4, ...kernel.shared.map(({ type }) => sharedElementBytes(type))));
  return [
    `static f2c::emulator::Argument ${bindings}[${Math.max(1, places.length)}];`,
    ...(tensorMaps.length > 0 ? [`static f2c::TensorMap ${maps}[${tensorMaps.length}];`] : []),
    ...(hasParameters ? [`static const ${entryPoint}_parameters* ${parameters};`] : []),
    `static void f2c_call_${entryPoint}() { ${entryPoint}(${values.join(', ')}); }`,
    `extern "C" __attribute__((visibility("default"))) int ${runnerName(kernel)}(`,
    `    long long* report, const int* parameters, const unsigned* grid, const long long* lengths, const long long* maps${places
      .map((at) => `, unsigned char* b${at}`)
      .join('')}) {`,
    ...places.map((at) => `  ${bindings}[${at}] = {b${at}, lengths[${at}], ${at}};`),
    ...tensorMaps.map(
      (map, at) =>
        `  ${maps}[${at}] = f2c::emulator::read_tensor_map(maps, ${bindings}, ${tensorElementBytes(kernel, map)});`,
    ),
    ...(hasParameters ? [`  ${parameters} = reinterpret_cast<const ${entryPoint}_parameters*>(parameters);`] : []),
    `  return f2c::emulator::run_grid(grid, ${kernel.workgroupSize}, ${cudaSharedBytes(kernel)}, ${shift}, f2c_call_${entryPoint}, report);`,
    '}',
  ];
}

/** How a host program starts pieces of a kernel's launches. */
import type { ThreadKernel } from '../../../ir/kernel/thread.js';
import { cudaEntryPoint } from '../cuda.js';
import { cudaNames } from '../cuda-names.js';
import { printDim, printType, quote } from './cpp-text.js';

const letters = ['x', 'y', 'z'] as const;

/** Parameters that launches give; the others say which piece of a launch it is. */
export function sizesOf(kernel: ThreadKernel): readonly string[] {
  return kernel.parameters.filter((name) => placeOf(kernel, name) === undefined);
}

/** The text that gives a parameter of where a piece begins and how many blocks it has. */
function placeOf(kernel: ThreadKernel, name: string): string | undefined {
  for (const [axis, letter] of letters.entries()) {
    if (name === `origin_${letter}`) return `piece.origin[${axis}]`;
    if (name === `tiles_${letter}`) return `piece.blocks[${axis}]`;
  }
  const buffer = kernel.buffers.findIndex((candidate) => name === `${candidate.name}_base`);
  return buffer >= 0 ? `piece.bases[${buffer}]` : undefined;
}

/** A kernel's entry in the program: how a piece of its launches is started. */
export function printKernel(kernel: ThreadKernel, sharedBytes: number): readonly string[] {
  const entryPoint = cudaEntryPoint(kernel);
  const sizes = sizesOf(kernel);
  const valueOf = (name: string): string => placeOf(kernel, name) ?? `piece.sizes[${sizes.indexOf(name)}]`;
  const values = kernel.parameters.map(valueOf);
  const fixed = kernel.buffers.flatMap(({ name }, at) => (kernel.parameters.includes(`${name}_base`) ? [] : [at]));
  const splits = letters.map((axis) => kernel.parameters.includes(`origin_${axis}`));
  const maps = printTensorMaps(kernel, `maps_${entryPoint}`, valueOf);
  const given = [`::${entryPoint}`, kernel.workgroupSize, sharedBytes, maps.value];
  if (values.length > 0) given.push('parameters');
  const traits = [`{${splits.join(', ')}}`, kernel.walksTiles === true, `start_${entryPoint}`];
  return [
    ...maps.lines,
    `void start_${entryPoint}(const Piece& piece) {`,
    ...fixed.map((at) => `  piece.require_no_base(${at});`),
    ...(values.length > 0 ? [`  const ::${entryPoint}_parameters parameters = {${values.join(', ')}};`] : []),
    `  start(piece, ${given.join(', ')});`,
    '}',
    `const Kernel kernel_${entryPoint} = {${quote(kernel.name)}, ${traits.join(', ')}};`,
  ];
}

/** A function that makes the kernel's tensor maps for the sizes of a launch, and its call. */
function printTensorMaps(
  { buffers, tensorMaps = [] }: ThreadKernel,
  name: string,
  valueOf: (parameter: string) => string,
): { readonly lines: readonly string[]; readonly value: string } {
  if (tensorMaps.length === 0) return { lines: [], value: 'no_maps' };
  const dims = tensorMaps.flatMap(({ offset, dimensions }) => [
    offset,
    ...dimensions.flatMap(({ extent, stride }) => [extent, stride]),
  ]);
  const symbols = [...new Set(dims.flatMap((dim) => dim.symbols))];
  const names = cudaNames(symbols, 'TensorMap');
  const list = (items: readonly string[]): string => `{${items.join(', ')}}`;
  const entries = tensorMaps.map(({ name: label, buffer, offset, dimensions }) => {
    const at = buffers.findIndex((candidate) => candidate.name === buffer);
    const fields = [
      list(dimensions.map(({ extent }) => printDim(extent, names))),
      list(dimensions.map(({ stride }) => printDim(stride, names))),
      list(dimensions.map(({ box }) => `${box}`)),
    ];
    return `      {${quote(label)}, ${at}, ${printType(buffers[at]!.storage)}, ${printDim(offset, names)}, ${fields.join(', ')}},`;
  });
  const type = `std::array<TensorMap, ${tensorMaps.length}>`;
  return {
    lines: [
      `${type} ${name}(${symbols.map((symbol) => `long long ${names.legal(symbol)}`).join(', ')}) {`,
      '  return {{',
      ...entries,
      '  }};',
      '}',
    ],
    value: `${name}(${symbols.map(valueOf).join(', ')})`,
  };
}

/**
 * Registers, spills, shared memory and occupancy of all kernels for CUDA against docs/cuda-kernels.md. Needs the nvcc that
 * the table names. All kernels for one architecture and a few for the others; FLUX2C_ALL_CUDA_KERNELS=1 compiles all.
 */
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { cudaSharedBytes } from '../backends/cuda/cuda-shared.js';
import {
  listKernels,
  type ListedKernel,
  measureCells,
  parseTable,
  tableArchitectures,
} from '../bench/gpu/kernel-table.js';
import { nvccVersion, slowCharacters } from '../bench/gpu/nvcc.js';

const table = parseTable(await readFile('docs/cuda-kernels.md', 'utf8'));
const version = await nvccVersion();
const all = process.env['FLUX2C_ALL_CUDA_KERNELS'] === '1';
const refresh = 'npm run cuda-table writes it anew';

const reason = ((): string | undefined => {
  if (version === undefined) return 'there is no nvcc on the path';
  return version === table.compiler ? undefined : `the table is of nvcc ${table.compiler}, this is ${version}`;
})();
if (reason !== undefined) process.stderr.write(`resources of CUDA kernels are not compared: ${reason}\n`);

/** Of every sort one, and every eighth: those whose registers are nearest to the limit are among the sorts. */
function sample(kernels: readonly ListedKernel[]): readonly ListedKernel[] {
  const sorts = new Set<string>();
  return kernels.filter(({ kernel: { name } }, at) => {
    const sort = name.replace(/_[0-9a-f]+$/, '');
    const isFirst = !sorts.has(sort);
    sorts.add(sort);
    return isFirst || at % 8 === 0;
  });
}

const isLeftOut = ({ kernel: { name } }: ListedKernel): boolean => table.rows.get(name)?.cells.get('sm_90a') === '-';

describe('kernels for CUDA', () => {
  const kernels = listKernels();

  it(`are those of the table (${refresh})`, () => {
    const listed = kernels.map(({ kernel: { name, thread } }) => [name, thread.workgroupSize, cudaSharedBytes(thread)]);
    expect(listed).toEqual([...table.rows].map(([name, { threads, sharedBytes }]) => [name, threads, sharedBytes]));
  });

  it('keep everything in registers, but for these', () => {
    const cells = [...table.rows].flatMap(([name, row]) =>
      [...row.cells].map(([on, cell]) => `${name} ${on}: ${cell}`),
    );
    // Each is to be won back; none may come.
    expect(cells.filter((cell) => cell.includes('spilled'))).toMatchInlineSnapshot(`
      [
        "attention_714d84e5 sm_90a: 255 / 2, 24 B spilled, 16 B stack",
        "attention_b5c00f8f sm_80: 255 / 2, 152 B spilled, 80 B stack",
        "attention_b5c00f8f sm_90a: 255 / 2, 112 B spilled, 56 B stack",
        "conv2d_add_5687dcf4 sm_90a: 72 / 6, 8 B spilled, 8 B stack",
      ]
    `);
  });

  it.skipIf(reason !== undefined).each(tableArchitectures)(
    `take what the table says on %s (${refresh})`,
    { timeout: 600_000 },
    async (architecture) => {
      const quick = kernels.filter(({ kernel: { source } }) => source.length <= slowCharacters);
      const chosen = all
        ? kernels.filter((listed) => !isLeftOut(listed))
        : architecture === 'sm_90a'
          ? quick
          : sample(quick);
      const cells = (await measureCells(chosen, [architecture])).get(architecture)!;
      const own = chosen.filter(({ architectures }) => architectures.includes(architecture));
      const expected = own.map(({ kernel: { name } }) => [name, table.rows.get(name)?.cells.get(architecture)]);
      expect([...cells]).toEqual(expected);
    },
  );
});

/** Writes docs/cuda-kernels.md. */
import { writeFile } from 'node:fs/promises';
import { listKernels, measureCells, printTable, tableArchitectures } from './kernel-table.js';
import { nvccVersion, slowCharacters } from './nvcc.js';

const path = process.argv.slice(2).find((argument) => !argument.startsWith('-')) ?? 'docs/cuda-kernels.md';
/** Also kernels that the compiler takes minutes for; their cells say `-` otherwise. */
const withSlow = process.argv.includes('--slow');
const version = await nvccVersion();
if (version === undefined) {
  console.error('There is no nvcc on the path: the table says what the compiler of CUDA 13.0 makes of the kernels.');
  process.exitCode = 1;
} else {
  const start = performance.now();
  const kernels = listKernels();
  const chosen = kernels.filter(({ kernel: { source } }) => withSlow || source.length <= slowCharacters);
  const cells = await measureCells(chosen, tableArchitectures);
  await writeFile(path, printTable(kernels, cells, version));
  const all = [...cells.values()].flatMap((column) => [...column.values()]);
  const spilling = all.filter((cell) => cell.includes('spilled')).length;
  const seconds = ((performance.now() - start) / 1000).toFixed(0);
  console.log(`${path}: ${kernels.length} kernels, ${spilling} cells with spills or stack, ${seconds} s`);
}

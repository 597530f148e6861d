/** The resources of every kernel of the released models, as a table in the repository. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CudaArchitecture } from '../../backends/cuda/cuda-target.js';
import { cudaSharedBytes } from '../../backends/cuda/cuda-shared.js';
import { instantiatePlan } from '../../runtime/instantiate.js';
import { flattenSteps } from '../../runtime/plan/bound-plan.js';
import type { NetworkName } from '../../models/flux2/networks.js';
import type { VariantName } from '../../models/flux2/variants.js';
import type { CompiledKernel } from '../../passes/compiled.js';
import { compileNetwork, functionsOf, sizesOf, targetFor, variantNames } from './model-kernels.js';
import { compileKernels } from './nvcc.js';
import { countResidentBlocks, type KernelResources } from './occupancy.js';

export const tableArchitectures = ['sm_80', 'sm_90a', 'sm_120'] as const satisfies readonly CudaArchitecture[];

/** What kernels are made for together: Hopper alone has its own form of products, the others share theirs. */
const families: readonly (readonly CudaArchitecture[])[] = [['sm_80', 'sm_120'], ['sm_90a']];

/** Squares of so many pixels, and so many references of a megapixel: what a kernel of the table must serve. */
const pictures = [512, 1024, 1536, 2048] as const;
const referenceCounts = [0, 1, 2, 3, 4] as const;

export interface ListedKernel {
  readonly kernel: CompiledKernel;
  /** `dev denoise`, in a fixed order. */
  readonly users: readonly string[];
  readonly architectures: readonly CudaArchitecture[];
}

/**
 * The distinct kernels of all functions of all variants, by name.
 *
 * @throws when a plan for one of the sizes does not hold on the target or launches anything else
 */
export function listKernels(): readonly ListedKernel[] {
  const found = new Map<string, { kernel: CompiledKernel; users: string[]; architectures: CudaArchitecture[] }>();
  for (const family of families) {
    for (const variant of variantNames) {
      for (const name of functionsOf(variant)) {
        for (const kernel of listFunction(variant, name, family)) {
          const known = found.get(kernel.name) ?? { kernel, users: [], architectures: [] };
          if (known.kernel.source !== kernel.source) throw new Error(`two kernels are called ${kernel.name}`);
          if (!known.users.includes(`${variant} ${name}`)) known.users.push(`${variant} ${name}`);
          known.architectures = [...new Set([...known.architectures, ...family])];
          found.set(kernel.name, known);
        }
      }
    }
  }
  return [...found.values()].sort((a, b) => (a.kernel.name < b.kernel.name ? -1 : 1));
}

/** A function's kernels, after plans for all sizes were made of them. */
function listFunction(
  variant: VariantName,
  name: NetworkName,
  family: readonly CudaArchitecture[],
): readonly CompiledKernel[] {
  const target = targetFor(family);
  const { kernels, plans } = compileNetwork(variant, name, target);
  for (const pixels of pictures) {
    for (const references of referenceCounts) {
      const bound = instantiatePlan(plans.get(name)!, sizesOf(name, pixels, references), target, kernels);
      for (const step of flattenSteps(bound.steps)) {
        if (step.kind === 'launch' && !kernels.has(step.kernel)) throw new Error(`${step.kernel} is not compiled`);
      }
      if (name.startsWith('vae') || name === 'text_encoder') break;
    }
  }
  return [...kernels.values()];
}

/** Compiles kernels for an architecture: the table's cell of each by kernel name. */
export async function measureCells(
  kernels: readonly ListedKernel[],
  architectures: readonly CudaArchitecture[],
): Promise<ReadonlyMap<CudaArchitecture, ReadonlyMap<string, string>>> {
  const folder = await mkdtemp(join(tmpdir(), 'flux2c-table-'));
  try {
    const columns = new Map<CudaArchitecture, ReadonlyMap<string, string>>();
    for (const architecture of architectures) {
      const own = kernels.filter((listed) => listed.architectures.includes(architecture));
      const texts = own.map(({ kernel }) => kernel);
      const resources = (await compileKernels(texts, [architecture], folder)).resources.get(architecture)!;
      const cell = ({ kernel }: ListedKernel): readonly [string, string] => [
        kernel.name,
        printCell(kernel, architecture, resources.get(kernel.name)!),
      ];
      columns.set(architecture, new Map(own.map(cell)));
    }
    return columns;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** `122 registers, 4 blocks (50 %)`: resident blocks of a multiprocessor, and the share of its warps. */
function printCell(
  { thread }: CompiledKernel,
  architecture: CudaArchitecture,
  { registers, spilled, stack }: KernelResources,
): string {
  const blocks = countResidentBlocks(architecture, thread.workgroupSize, registers, cudaSharedBytes(thread));
  const trouble = spilled === 0 && stack === 0 ? '' : `, ${spilled} B spilled, ${stack} B stack`;
  return `${registers} / ${blocks}${trouble}`;
}

export interface TableRow {
  readonly threads: number;
  readonly sharedBytes: number;
  readonly cells: ReadonlyMap<CudaArchitecture, string>;
}

export interface KernelTable {
  readonly compiler: string;
  readonly rows: ReadonlyMap<string, TableRow>;
}

export function printTable(
  kernels: readonly ListedKernel[],
  cells: ReadonlyMap<CudaArchitecture, ReadonlyMap<string, string>>,
  compiler: string,
): string {
  const rows = kernels.map(({ kernel: { name, thread }, users, architectures }) => {
    const own = tableArchitectures.map((architecture) =>
      architectures.includes(architecture) ? (cells.get(architecture)?.get(name) ?? '-') : '',
    );
    const columns = [name, thread.workgroupSize, cudaSharedBytes(thread), ...own, joinUsers(users)];
    return `| ${columns.join(' | ')} |`;
  });
  const isLeftOut = rows.some((row) => row.includes('| - |'));
  const leftOut = isLeftOut ? '; `-`: takes minutes to compile and was left out' : '';
  return [
    '# Kernels for CUDA',
    '',
    `What ptxas of nvcc ${compiler} makes of the kernels that draw with the released models: \`text_encoder\`, \`denoise\`, \`vae_encoder\` and`,
    '`vae_decoder` of dev (the autoencoder is the same in all), `text_encoder`, `denoise` and `denoise_cfg` of klein-9b and klein-4b,',
    "`denoise_cached` of klein-9b; operands in bf16. The single step `transformer` and dev's `denoise_cfg` are not in it.",
    `${kernels.length} kernels serve pictures of 512² to 2048² and up to four references. Cells: registers of a thread / blocks that a`,
    `multiprocessor runs at a time; empty: another form is made for it${leftOut}. Made by \`npm run cuda-table\`;`,
    '`test/cuda-resources.test.ts` compares.',
    '',
    `| kernel | threads | shared bytes | ${tableArchitectures.join(' | ')} | used by |`,
    `|---|---|---|${tableArchitectures.map(() => '---|').join('')}---|`,
    ...rows,
    '',
  ].join('\n');
}

/** `dev, klein-4b: denoise`. */
function joinUsers(users: readonly string[]): string {
  const byFunction = new Map<string, string[]>();
  for (const user of users) {
    const [variant, name] = user.split(' ') as [string, string];
    byFunction.set(name, [...(byFunction.get(name) ?? []), variant]);
  }
  return [...byFunction].map(([name, own]) => `${own.join(', ')}: ${name}`).join('; ');
}

/** Reads what `printTable` wrote. */
export function parseTable(text: string): KernelTable {
  const rows = new Map<string, TableRow>();
  for (const line of text.split('\n')) {
    const columns = line.split('|').map((column) => column.trim());
    const [, name, threads, sharedBytes] = columns as [string, string?, string?, string?];
    if (name === undefined || !/^\d+$/.test(threads ?? '')) continue;
    const cells = tableArchitectures.map((architecture, at): [CudaArchitecture, string] => [
      architecture,
      columns[4 + at] ?? '',
    ]);
    rows.set(name, { threads: Number(threads), sharedBytes: Number(sharedBytes), cells: new Map(cells) });
  }
  return { compiler: /ptxas of nvcc (\S+)/.exec(text)?.[1] ?? '', rows };
}

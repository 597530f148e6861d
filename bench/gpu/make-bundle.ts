/** Writes a folder with everything that `run.py` needs to check and measure the kernels on a machine with a GPU. */
import { copyFile, cp, mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { cudaArchitectures, type CudaArchitecture } from '../../backends/cuda/cuda-target.js';
import { cudaPrelude, cudaPreludeName } from '../../backends/cuda/prelude/prelude.js';
import type { VariantName } from '../../models/flux2/variants.js';
import type { CompiledKernel } from '../../passes/compiled.js';
import { type Bundle, bundleFormat, type BundleKernel, type BundleProgram } from './bundle.js';
import { bundleProgram, describeInterface, type KeepData } from './bundle-program.js';
import { bundleCases, bundleModels } from './bundle-cases.js';
import { compileForms } from './bundle-forms.js';
import { targetFor } from './model-kernels.js';
import { type CompiledKernels, compileKernels, nvccVersion, slowCharacters } from './nvcc.js';
import { countResidentBlocks } from './occupancy.js';
import { tileToJson } from './tile-json.js';

const examples = `
Examples:
  $ node dist/bench/gpu/make-bundle.js -o out/gpu --arch sm_90a
  $ node dist/bench/gpu/make-bundle.js -o out/gpu --arch sm_90a,sm_80 --models klein-4b
  $ python3 out/gpu/run.py --check-bundle       # here, without a GPU
  $ python3 run.py --out results                # in the folder, on the machine with the GPU

Several architectures share one set of kernels, made for what all of them have.`;

const program = new Command('make-bundle')
  .description('compile the kernels of FLUX.2 and pack them with what runs, checks and measures them')
  .requiredOption('-o, --output <folder>', 'the folder to write; it is replaced')
  .option('--arch <names>', `of ${cudaArchitectures.join(', ')}`, 'sm_90a')
  .option('--models <names>', `of ${bundleModels.join(', ')}`, bundleModels.join(','))
  .option('--parallel <n>', 'compilers at a time', '2')
  .option('--slow', 'also programs with kernels that the compiler takes many minutes for')
  .addHelpText('after', examples);

function readArchitectures(names: string): readonly CudaArchitecture[] {
  return names.split(',').map((name) => {
    const known = cudaArchitectures.find((candidate) => candidate === name);
    if (known === undefined) program.error(`there is no architecture ${name}; of ${cudaArchitectures.join(', ')}`);
    return known!;
  });
}

function readModels(names: string): readonly VariantName[] {
  return names.split(',').map((name) => {
    const known = bundleModels.find((candidate) => candidate === name);
    if (known === undefined) program.error(`there is no model ${name}; of ${bundleModels.join(', ')}`);
    return known!;
  });
}

/** What is replaced must be a bundle: nothing else of a user's is removed. */
function refuseOtherFolder(folder: string): void {
  if (!existsSync(folder) || existsSync(join(folder, 'bundle.json'))) return;
  if (statSync(folder).isDirectory() && readdirSync(folder).length === 0) return;
  program.error(`${folder} is there and is no bundle: name another folder, or remove it`);
}

async function main(): Promise<void> {
  const options = program
    .parse()
    .opts<{ output: string; arch: string; models: string; parallel: string; slow?: true }>();
  const architectures = readArchitectures(options.arch);
  const compiler = await nvccVersion();
  if (compiler === undefined) program.error('there is no nvcc on the path');
  const models = readModels(options.models);
  const output = resolve(options.output);
  refuseOtherFolder(output);
  const folder = `${output}.${process.pid}.partial`;
  try {
    await mkdir(join(folder, 'kernels'), { recursive: true });
    await writeBundle(folder, { ...options, architectures, models, compiler: compiler! });
    await rm(output, { recursive: true, force: true });
    await rename(folder, output);
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    program.error(`error: ${error instanceof Error ? error.message : String(error)}`);
  }
  console.log(`${options.output}: ${((await sizeOf(output)) / 1e6).toFixed(1)} MB`);
}

interface BundleOptions {
  readonly architectures: readonly CudaArchitecture[];
  readonly models: readonly VariantName[];
  readonly compiler: string;
  readonly parallel: string;
  readonly slow?: true;
}

/** `folder` must be absolute: the compiler runs in a folder of its own. */
async function writeBundle(folder: string, options: BundleOptions): Promise<void> {
  const { architectures, models, compiler } = options;
  const data = new DataFile('data.bin');
  const target = targetFor(architectures);
  const programs: Record<string, BundleProgram> = {};
  const kernels = new Map<string, CompiledKernel>();
  for (const { name, compiled, description } of bundleCases(models, target).flatMap((one) =>
    compileForms(one, target),
  )) {
    const slow = [...compiled.kernels.values()].find(({ source }) => source.length > slowCharacters);
    if (slow !== undefined && options.slow === undefined) {
      console.log(`${name} is left out without --slow: ${slow.name} has ${slow.source.length} characters`);
      continue;
    }
    programs[name] = await bundleProgram(compiled, description, data.keep);
    for (const launch of programs[name].launches) {
      if ('kernel' in launch) kernels.set(launch.kernel, compiled.kernels.get(launch.kernel)!);
    }
  }
  await writeFile(join(folder, data.name), data.bytes());
  console.log(
    `${Object.keys(programs).length} programs, ${kernels.size} kernels; compiling for ${architectures.join(', ')}`,
  );

  const compiled = await compileKernels([...kernels.values()], architectures, folder, Number(options.parallel));
  const bundle: Bundle = {
    format: bundleFormat,
    compiler,
    architectures,
    kernels: Object.fromEntries([...kernels].map(([name, kernel]) => [name, describeKernel(kernel, compiled)])),
    programs,
  };
  await writeFile(join(folder, 'bundle.json'), JSON.stringify(bundle));
  for (const { name, source } of kernels.values()) await writeFile(join(folder, 'kernels', `${name}.cu`), source);
  await writeFile(join(folder, 'kernels', cudaPreludeName), cudaPrelude);
  await copyRunner(folder);
}

function describeKernel({ thread, tile }: CompiledKernel, { batches, resources }: CompiledKernels): BundleKernel {
  const own = batches.filter(({ kernels }) => kernels.includes(thread.name));
  const said = [...resources].map(([architecture, known]) => [architecture, known.get(thread.name)!] as const);
  const described = describeInterface(thread);
  return {
    ...described,
    cubins: Object.fromEntries(own.map(({ architecture, cubin }) => [architecture, basename(cubin)])),
    resources: Object.fromEntries(said),
    resident: Object.fromEntries(
      said.map(([architecture, { registers }]) => [
        architecture,
        countResidentBlocks(architecture, thread.workgroupSize, registers, described.shared),
      ]),
    ),
    tile: tileToJson(tile),
  };
}

/** What programs start from, one after the other; equal contents once. */
class DataFile {
  private readonly pieces: Uint8Array[] = [];
  private readonly known = new Map<string, number>();
  private end = 0;

  constructor(readonly name: string) {}

  readonly keep: KeepData = (bytes) => {
    const key = Buffer.from(bytes).toString('base64');
    let offset = this.known.get(key);
    if (offset === undefined) {
      offset = this.end;
      this.known.set(key, offset);
      this.pieces.push(bytes);
      this.end += bytes.byteLength;
    }
    return { file: this.name, offset, bytes: bytes.byteLength };
  };

  bytes(): Uint8Array {
    return Buffer.concat(this.pieces);
  }
}

/** The runner lies beside this file's source, also when this is the built one. */
async function copyRunner(folder: string): Promise<void> {
  const here = fileURLToPath(new URL('.', import.meta.url));
  const candidates = [here, join(here, '../../../bench/gpu')];
  const source = candidates.find((path) =>
    readdirSync(path, { withFileTypes: true }).some(({ name }) => name === 'run.py'),
  );
  if (source === undefined) throw new Error('run.py is not beside the program');
  await copyFile(join(source, 'run.py'), join(folder, 'run.py'));
  await cp(join(source, 'runner'), join(folder, 'runner'), {
    recursive: true,
    filter: (path) => !path.includes('__pycache__'),
  });
}

async function sizeOf(folder: string): Promise<number> {
  let total = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) total += (await stat(join(entry.parentPath, entry.name))).size;
  }
  return total;
}

await main();

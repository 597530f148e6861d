/** From what was compiled to an artifact on disk. */
import { TOKENIZER_FOLDER, tokenizerFiles } from '../models/flux2/artifact-model.js';
import { usedTensors } from '../models/flux2/compile-artifact.js';
import { encodeDescription } from '../models/flux2/description-json.js';
import type { LoadedModel } from '../models/flux2/load-model.js';
import type { Flux2Description } from '../models/flux2/networks.js';
import { StageMeter } from '../models/flux2/progress.js';
import type { CompiledKernel } from '../passes/compiled.js';
import { type ArtifactWeights, type BuildParts, encodeArtifact } from '../runtime/artifact.js';
import { kernelHeaders } from '../runtime/cuda/node/open-cuda.js';
import type { LoadableKernel } from '../runtime/plan/bound-plan.js';
import { writeArtifactFolder } from './artifact-folder.js';
import type { CompiledBuild } from './compile-builds.js';
import { compileCubins, type MachineCode } from './compile-cubins.js';
import { printHostFiles } from './compile-host.js';
import type { CompiledMemory } from './compile-memory.js';
import { planWeights } from './compile-weights.js';
import type { CliContext } from './context.js';
import { requireRoom } from './free-space.js';
import type { ProgressLine } from './progress-line.js';
import { VERSION } from './version.js';

export interface CompiledModelParts {
  readonly description: Flux2Description;
  /** Undefined for a configuration alone. */
  readonly loaded: LoadedModel | undefined;
  readonly builds: readonly CompiledBuild[];
  readonly memory: CompiledMemory | undefined;
}

export interface WriteOptions {
  readonly output: string;
  readonly target?: string;
  readonly cubin: boolean;
  readonly host?: 'cpp';
  readonly packWeights?: boolean;
}

export interface WrittenArtifact {
  readonly code: MachineCode;
  readonly weights: ArtifactWeights | null;
}

/**
 * Makes machine code where it is asked for and writes everything. F2C712 when the disk has too little room, F2C71x of
 * `writeArtifactFolder`, errors of the kernels' compiler, of the checkpoint's files, and the signal's reason.
 */
export async function writeArtifact(
  { description, loaded, builds, memory }: CompiledModelParts,
  options: WriteOptions,
  context: CliContext,
  line: ProgressLine,
): Promise<WrittenArtifact> {
  const planned = loaded && (await planWeights(loaded, usedTensors(builds), options.packWeights === true));
  const weights = planned?.weights ?? null;
  const code = await makeMachineCode(builds, options, context, line);
  const files = await encodeArtifact({
    compiler: VERSION,
    model: encodeDescription(description),
    functions: builds[0]!.functions,
    builds: new Map(builds.map((build) => [build.name, partsOf(build, code)])),
    ...(options.target === 'cuda' && { headers: kernelHeaders }),
    files: new Map([
      ...(builds[0]!.functions.has('text_encoder') && loaded ? await readTokenizer(loaded) : []),
      ...(options.host === undefined ? [] : printHostFiles({ name: description.name, builds, weights })),
    ]),
    weights,
    ...(memory && { memory: memory.budget }),
  });
  const packedBytes = planned?.packedBytes ?? 0;
  await requireRoom(options.output, packedBytes + [...files.values()].reduce((sum, { byteLength }) => sum + byteLength, 0)); // prettier-ignore
  await writeArtifactFolder(options.output, files, async (folder) => {
    if (planned !== undefined && packedBytes > 0) {
      const meter = new StageMeter('pack', packedBytes, (progress) => line.update(progress));
      await planned.write(folder, { signal: context.signal, onProgress: (done) => meter.done(done) });
    }
    context.signal.throwIfAborted();
  });
  return { code, weights };
}

function partsOf(build: CompiledBuild, code: MachineCode): BuildParts {
  const { target, architectures, functions, kernels } = build;
  const withCode = (kernel: CompiledKernel): LoadableKernel => {
    const binaries = code.get(kernel.name);
    return binaries === undefined ? kernel : { ...kernel, binaries };
  };
  return {
    target,
    architectures,
    plans: new Map([...functions].map(([name, { plan }]) => [name, plan])),
    kernels: new Map([...kernels].map(([name, kernel]) => [name, withCode(kernel)])),
  };
}

/** Empty where there is none to make, or no compiler for it: then the device's computer needs one. */
async function makeMachineCode(
  builds: readonly CompiledBuild[],
  options: WriteOptions,
  { signal }: CliContext,
  line: ProgressLine,
): Promise<MachineCode> {
  if (options.target !== 'cuda' || !options.cubin) return new Map();
  const made = await compileCubins({
    builds,
    headers: kernelHeaders,
    signal,
    onProgress: (step, of) => line.update({ stage: 'compile', step, of, secondsLeft: undefined }),
  });
  if (typeof made !== 'string') return made;
  line.notice(`No machine code goes into the artifact (${made}): the GPU's computer will compile the kernels.`);
  return new Map();
}

async function readTokenizer({ files }: LoadedModel): Promise<ReadonlyMap<string, string>> {
  const texts = new Map<string, string>();
  for (const file of tokenizerFiles) {
    const text = await files.components.tokenizer?.readText(file);
    if (text !== undefined) texts.set(`${TOKENIZER_FOLDER}/${file}`, text);
  }
  return texts;
}

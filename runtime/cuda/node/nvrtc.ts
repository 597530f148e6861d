import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { promisify } from 'node:util';
import type { CudaArchitecture } from '../../../backends/cuda/cuda-target.js';
import { Flux2cError } from '../../../ir/diagnostics.js';
import type { CudaSource, KernelCompiler } from '../kernel-compiler.js';
import { compilerOptions, doesNotCompile } from './compiler-options.js';
import type { Koffi } from './libcuda-calls.js';

type Texts = readonly string[];

/** The calls of NVRTC. Programs are addresses; what a call gives is put into the memory it is handed. */
interface NvrtcCalls {
  version(major: Int32Array, minor: Int32Array): number;
  create(program: BigUint64Array, text: string, name: string, count: number, headers: Texts, names: Texts): number;
  destroy(program: BigUint64Array): number;
  /** On another thread. */
  compile(program: bigint, count: number, options: Texts): Promise<number>;
  logSize(program: bigint, size: BigUint64Array): number;
  log(program: bigint, text: Uint8Array): number;
  cubinSize(program: bigint, size: BigUint64Array): number;
  cubin(program: bigint, bytes: Uint8Array): number;
  errorText(result: number): string;
}

const compilationError = 6;

/** NVIDIA's compiler as a library. A reason instead when none of the names loads. */
export async function openNvrtc(names: readonly string[]): Promise<KernelCompiler | string> {
  let calls: NvrtcCalls | undefined;
  try {
    const koffi = await import('koffi');
    for (const name of names) calls ??= loadCalls(koffi, name);
  } catch (cause) {
    return `the koffi package does not load: ${cause instanceof Error ? cause.message : String(cause)}`;
  }
  if (calls === undefined) return `no NVRTC (${names.join(', ')})`;
  const found = calls;
  const [major, minor] = [new Int32Array(1), new Int32Array(1)];
  found.version(major, minor);
  return {
    description: `NVRTC ${major[0]}.${minor[0]}`,
    parallelism: availableParallelism(),
    compile: (source, architecture, signal) => compile(found, source, architecture, signal),
  };
}

function loadCalls(koffi: Koffi, name: string): NvrtcCalls | undefined {
  let library: ReturnType<Koffi['load']>;
  try {
    for (const path of companions(name)) koffi.load(path);
    library = koffi.load(name);
  } catch {
    return undefined;
  }
  const declare = <T>(call: string, parameters: readonly string[]): T =>
    library.func(call, 'int', [...parameters]) as unknown as T;
  const compileProgram = library.func('nvrtcCompileProgram', 'int', ['uint64_t', 'int', 'const char **']);
  return {
    version: declare('nvrtcVersion', ['void *', 'void *']),
    create: declare('nvrtcCreateProgram', ['void *', 'const char *', 'const char *', 'int', 'const char **', 'const char **']), // prettier-ignore
    destroy: declare('nvrtcDestroyProgram', ['void *']),
    compile: promisify(compileProgram.async) as NvrtcCalls['compile'],
    logSize: declare('nvrtcGetProgramLogSize', ['uint64_t', 'void *']),
    log: declare('nvrtcGetProgramLog', ['uint64_t', 'void *']),
    cubinSize: declare('nvrtcGetCUBINSize', ['uint64_t', 'void *']),
    cubin: declare('nvrtcGetCUBIN', ['uint64_t', 'void *']),
    errorText: library.func('nvrtcGetErrorString', 'const char *', ['int']) as NvrtcCalls['errorText'],
  };
}

/** NVRTC asks the loader for its built-ins, which does not look beside it; once loaded, they are found. */
function companions(name: string): readonly string[] {
  if (!isAbsolute(name)) return [];
  const folder = dirname(name);
  const files = existsSync(folder) ? readdirSync(folder) : [];
  return files.filter((file) => /^(lib)?nvrtc-builtins(?!.*alt)/.test(file)).map((file) => join(folder, file));
}

/** An abort does not stop a compilation that has begun: its result is dropped. */
async function compile(
  calls: NvrtcCalls,
  source: CudaSource,
  architecture: CudaArchitecture,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  signal?.throwIfAborted();
  const check = (call: string, result: number): void => {
    if (result === 0) return;
    throw new Flux2cError('F2C540', 'a call of NVRTC failed', {
      where: [`kernel ${source.name}`, call],
      found: `${calls.errorText(result)} (${result})`,
    });
  };
  const { headers } = source;
  const program = new BigUint64Array(1);
  check(
    'nvrtcCreateProgram',
    calls.create(program, source.text, 'kernel.cu', headers.size, [...headers.values()], [...headers.keys()]),
  );
  try {
    const options = [`-arch=${architecture}`, ...compilerOptions];
    const result = await calls.compile(program[0]!, options.length, options);
    signal?.throwIfAborted();
    if (result === compilationError) throw doesNotCompile(source, architecture, 'NVRTC', readLog(calls, program[0]!));
    check('nvrtcCompileProgram', result);
    const size = new BigUint64Array(1);
    check('nvrtcGetCUBINSize', calls.cubinSize(program[0]!, size));
    const cubin = new Uint8Array(Number(size[0]));
    check('nvrtcGetCUBIN', calls.cubin(program[0]!, cubin));
    return cubin;
  } finally {
    calls.destroy(program);
  }
}

function readLog(calls: NvrtcCalls, program: bigint): string {
  const size = new BigUint64Array(1);
  calls.logSize(program, size);
  const text = new Uint8Array(Number(size[0]));
  if (text.byteLength > 0) calls.log(program, text);
  // It ends with a zero.
  return new TextDecoder().decode(text.subarray(0, -1));
}

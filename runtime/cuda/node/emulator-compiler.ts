import { createHash } from 'node:crypto';
import { mkdir, rename, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cudaPreludeName } from '../../../backends/cuda/prelude/prelude.js';
import { writeFileAtomically } from '../../../frontend/checkpoint/node/write-file.js';
import { Flux2cError } from '../../../ir/diagnostics.js';
import { emulatorHeader } from '../emulator/emulator-header.js';
import type { EmulatedKernel } from '../emulator/translation-unit.js';
import { translationUnit } from '../emulator/translation-unit.js';
import { type CompilerOutcome, inScratchFolder, runCompiler } from './compiler-process.js';

/**
 * -Og compiles in two thirds of the time that -O1 takes and runs a quarter slower; most of a test's time is the compiler's. Floats
 * are left as written; integers wrap as they do on a GPU.
 */
const flags = [
  ...['-x', 'c++', '-std=c++17', '-Og', '-march=native', '-ffp-contract=off', '-fwrapv', '-fno-strict-aliasing'],
  ...['-fno-exceptions', '-fno-rtti', '-fno-stack-protector', '-fcf-protection=none', '-fvisibility=hidden'],
  ...['-w', '-shared', '-fPIC'],
];

/** Compiles kernels with g++ into libraries in a folder of the user's, which later processes find again. */
export class EmulatorCompiler {
  private folder: Promise<string> | undefined;

  /** @param command the C++ compiler */
  constructor(private readonly command: string) {}

  /**
   * The library of some kernels. An abort ends the compiler and rejects with the signal's reason.
   *
   * @throws F2C524 without the compiler, F2C511 with kernel, line and the compiler's message for a text that it refuses
   */
  async compile(kernels: readonly EmulatedKernel[], signal?: AbortSignal): Promise<string> {
    this.folder ??= this.prepare();
    const folder = await this.folder;
    const text = translationUnit(kernels);
    const path = join(folder, `${hashOf(text)}.so`);
    if (await exists(path)) return path;
    // Others may be compiling the same: each has files of its own, and the last one wins, with the same bytes.
    return inScratchFolder(folder, 'unit-', async (own) => {
      await writeFile(join(own, 'unit.cpp'), text);
      const { code, output } = await this.run([...flags, '-I', folder, 'unit.cpp', '-o', 'unit.so'], own, signal);
      if (code !== 0) throw doesNotCompile(output, kernels);
      await rename(join(own, 'unit.so'), path);
      return path;
    });
  }

  /** Libraries of other headers or flags have folders of their own, which the system empties with the rest of its /tmp. */
  private async prepare(): Promise<string> {
    const user = process.getuid?.() ?? 0;
    const parent = join(tmpdir(), `flux2c-emulator-${user}`);
    const folder = join(parent, hashOf([emulatorHeader, this.command, ...flags].join('\n')));
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const { uid } = await stat(parent);
    // Code from there runs in this process.
    if (uid !== user) {
      throw new Flux2cError('F2C524', 'the folder for emulated kernels belongs to another user', { where: [parent] });
    }
    const header = join(folder, cudaPreludeName);
    await writeFileAtomically(header, new TextEncoder().encode(emulatorHeader));
    return folder;
  }

  private async run(
    options: readonly string[],
    folder: string,
    signal: AbortSignal | undefined,
  ): Promise<CompilerOutcome> {
    try {
      return await runCompiler(this.command, options, folder, signal);
    } catch (cause) {
      // Otherwise it is the signal's reason.
      if (!(cause instanceof Error && 'syscall' in cause && 'code' in cause)) throw cause;
      throw new Flux2cError('F2C524', 'the CUDA emulator needs a C++ compiler', {
        found: `${this.command} does not start (${String(cause.code)})`,
        hint: 'Install g++ 9 or newer (Debian, Ubuntu: apt install g++).',
        cause,
      });
    }
  }
}

function doesNotCompile(output: string, kernels: readonly EmulatedKernel[]): Flux2cError {
  const [, file = '', line = '0', message = output.slice(0, 400)] =
    /^(\S+)\.(?:cu|launch):(\d+):\d+: (?:fatal )?error: (.*)$/m.exec(output) ?? [];
  const broken = kernels.find(({ source }) => source.includes(`\n${file}(`)) ?? kernels[0];
  const text = (broken?.source.split('\n')[Number(line) - 1] ?? '').trim();
  return new Flux2cError('F2C511', 'a kernel does not compile', {
    where: [`kernel ${broken?.kernel.name ?? ''}`, ...(Number(line) > 0 ? [`line ${line}: ${text}`] : [])],
    found: message,
    hint: 'This is a bug of the compiler; please report it with the kernel text.',
  });
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 24);
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch {
    return false;
  }
}

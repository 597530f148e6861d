/** What a host program says and does beside its numbers: options, damaged files, limits; and that nvcc takes it. */
import { execFile } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hostBuildLines } from '../../cli/compile-host.js';
import { f32ToBf16 } from '../../ir/dtype.js';
import type { NetworkTensor } from '../../models/flux2/networks.js';
import { findNvcc } from '../../runtime/cuda/node/cuda-toolkit.js';
import { findWorkingNvcc } from '../../runtime/cuda/node/open-compiler.js';
import { hasProgram } from '../cuda-tools.js';
import { readSafetensors } from '../read-safetensors.js';
import { buildForEmulator, compileWithHost, runProgram, writeTensors } from './host-program.js';
import type { ProgramRun } from './host-program.js';

const root = mkdtempSync(join(tmpdir(), 'flux2c-host-'));
afterAll(() => rmSync(root, { recursive: true }));
const artifact = join(root, 'artifact');
const isPossible = await hasProgram('g++', 'host programs on the emulator');

/** Fourteen kernels; the weights are in the artifact. */
beforeAll(async () => {
  const stdout = await compileWithHost(artifact, '--component', 'text_encoder', '--pack-weights');
  expect(stdout).toContain('Build the program with\n  nvcc -std=c++17 -O2 -arch=sm_80 host.cu -o host\nin ');
});

const integers = (shape: readonly number[], ...values: readonly number[]): NetworkTensor => ({
  dtype: 'i32',
  shape,
  values: Int32Array.from(values),
});
const tokens = integers([1, 5], 3, 1, 4, 1, 5);
const mask = integers([1, 5], 1, 1, 1, 1, 0);
const bytesOf = (data: Float64Array | Uint16Array | BigInt64Array) => new Uint8Array(data.buffer);

describe.skipIf(!isPossible)('a host program', () => {
  let program = '';
  const outputs = join(root, 'results', 'out.safetensors');
  const inputs = join(root, 'in.safetensors');

  beforeAll(async () => {
    const folder = join(root, 'program');
    program = await buildForEmulator(artifact, folder);
    cpSync(join(root, 'artifact/weights-text_encoder.safetensors'), join(folder, 'weights-text_encoder.safetensors'));
    writeTensors(inputs, { input_ids: tokens, 'in.attention_mask': mask });
    mkdirSync(join(root, 'results'));
  }, 300_000);

  const run = (from: string, more: readonly string[] = [], environment = {}): Promise<ProgramRun> =>
    runProgram(program, ['text_encoder', '--inputs', from, '--outputs', outputs, ...more], environment);
  const results = (): readonly number[] => [...readSafetensors(outputs).tensor('out.prompt_embeds').values];

  /** The error of a run that must leave nothing behind. */
  async function failure(from: string, more: readonly string[] = [], environment = {}): Promise<string> {
    rmSync(outputs, { force: true });
    const { exitCode, stderr } = await run(from, more, environment);
    expect([exitCode, readdirSync(join(root, 'results'))]).toEqual([1, []]);
    return stderr;
  }

  it('explains itself', async () => {
    const { exitCode, stdout } = await runProgram(program, ['--help']);
    expect(exitCode).toBe(0);
    expect(stdout).toContain('usage: host FUNCTION --inputs FILE --outputs FILE [options]');
    expect(stdout).toContain('takes input_ids i32[batch, txt], attention_mask i32[batch, txt]');
    expect(stdout).toContain('gives prompt_embeds f32[batch, txt, 288]');
  });

  it('finds its weights beside itself, or where it is told', async () => {
    expect(await run(inputs)).toMatchObject({ exitCode: 0 });
    const here = results();
    expect(await run(inputs, ['--artifact', artifact, '--check-launches'])).toMatchObject({ exitCode: 0 });
    expect(results()).toEqual(here);
    expect(await failure(inputs, ['--artifact', root])).toMatch(
      /F2C535[^]*weights-text_encoder.safetensors › [^]*No such file/,
    );
  });

  it('takes numbers in other types', async () => {
    await run(inputs);
    const wanted = results();
    const wide = writeTensors(join(root, 'wide.safetensors'), {
      input_ids: { dtype: 'i64', shape: [1, 5], data: bytesOf(BigInt64Array.of(3n, 1n, 4n, 1n, 5n)) },
      attention_mask: { dtype: 'bf16', shape: [1, 5], data: bytesOf(Uint16Array.from([1, 1, 1, 1, 0], f32ToBf16)) },
    });
    expect(await run(wide)).toMatchObject({ exitCode: 0 });
    expect(results()).toEqual(wanted);
  });

  it.each([
    ['a missing input', { input_ids: tokens }, /F2C520[^]*in \S*bad.safetensors[^]*without attention_mask/],
    ['another rank', { input_ids: integers([5], 1, 2, 3, 4, 5), attention_mask: mask }, /F2C705[^]*input_ids[^]*expected 2 dim/],
    ['another size', { input_ids: tokens, attention_mask: integers([1, 4], 1, 1, 1, 1) }, /F2C162: axis 1 of the input 'attention_mask'[^]*txt = 5[^]*found    4/],
    ['an id that is not in the table', { input_ids: integers([1, 5], 3, 1, 4, 537, 5), attention_mask: mask }, /F2C168: gather: the id 537 at position 3[^]*embed_tokens[^]*0\.\.536/],
    ['a name twice', { input_ids: tokens, 'in.input_ids': tokens, attention_mask: mask }, /F2C705[^]*both in.input_ids and input_ids/],
    ['fractions for integers', { input_ids: tokens, attention_mask: { dtype: 'f64', shape: [1, 5], data: bytesOf(Float64Array.of(1, 1, 0.5, 1, 1)) } }, /F2C705[^]*attention_mask[^]*0.5 at index 2 of F64/],
  ] as const)('refuses %s', async (_, tensors, message) => {
    expect(await failure(writeTensors(join(root, 'bad.safetensors'), tensors))).toMatch(message);
  }); // prettier-ignore

  /** A file with this header, and bytes behind it. */
  function fileOf(header: string, bytes = 0, length = Buffer.byteLength(header)): string {
    const path = join(root, 'broken.safetensors');
    const field = Buffer.alloc(8);
    field.writeBigUInt64LE(BigInt(length));
    writeFileSync(path, Buffer.concat([field, Buffer.from(header), Buffer.alloc(bytes)]));
    return path;
  }
  const entry = (type: string, shape: string, begin: number, end: number): string =>
    `{"dtype":"${type}","shape":${shape},"data_offsets":[${begin},${end}]}`;
  const four = entry('U8', '[4]', 0, 4);

  it.each([
    ['a length beyond the file', '{}', 0, 2 ** 40, /F2C410: the header is longer/],
    ['a header of nothing', '', 0, 0, /F2C410: the header is empty/],
    ['no JSON', 'hello', 0, undefined, /F2C411[^]*a value/],
    ['an array', '[]', 0, undefined, /F2C411: the header is not a JSON object/],
    ['text after the header', '{} {}', 0, undefined, /F2C411[^]*the end of the text/],
    ['a name twice', `{"a":${four},"\\u0061":${four}}`, 4, undefined, /F2C411[^]*the name "a" once/],
    ['much nesting', '['.repeat(100_000), 0, undefined, /F2C411[^]*less nesting/],
    ['a name that does not end', '{"a\\', 0, undefined, /F2C411[^]*valid escapes/],
    ['a leading zero', `{"a":${entry('U8', '[04]', 0, 4)}}`, 4, undefined, /F2C411[^]*leading zeros/],
    ['a tensor that is null', '{"a":null}', 0, undefined, /F2C412: the element type is malformed\n {2}in \S+ › a/],
    ['an unknown type', `{"a":${entry('Q9', '[4]', 0, 4)}}`, 4, undefined, /F2C412[^]*found {4}Q9/],
    ['a negative size', `{"a":${entry('U8', '[-4]', 0, 4)}}`, 4, undefined, /F2C412: the shape is malformed/],
    ['a product beyond 2^53', `{"a":${entry('U8', '[4294967296,4294967296]', 0, 4)}}`, 4, undefined, /F2C412: the shape is too large/],
    ['data outside of the file', `{"a":${entry('U8', '[8]', 0, 8)}}`, 4, undefined, /F2C413: the data are not inside the file/],
    ['another length', `{"a":${entry('F32', '[4]', 0, 4)}}`, 4, undefined, /F2C413[^]*16 bytes for F32 \[4\]\n {2}found {4}4 bytes/],
    ['a hole', `{"a":${entry('U8', '[2]', 2, 4)}}`, 4, undefined, /F2C413: the data of a tensor leave a hole/],
    ['an overlap', `{"a":${four},"b":${entry('U8', '[2]', 2, 4)}}`, 4, undefined, /F2C413: the data of a tensor leave a hole or overlap/],
    ['bytes of no tensor', `{"a":${four}}`, 6, undefined, /F2C413: the file has bytes that belong to no tensor/],
    ['a type without numbers', `{"input_ids":${entry('F8_E5M2', '[1,4]', 0, 4)},"attention_mask":${entry('U8', '[1,4]', 4, 8)}}`, 8, undefined, /F2C705[^]*input_ids[^]*F8_E5M2/],
  ] as const)('refuses inputs with %s', async (_, header, bytes, length, message) => {
    expect(await failure(fileOf(header, bytes, length))).toMatch(message);
  }); // prettier-ignore

  it('refuses weights that are cut short or changed', async () => {
    const other = join(root, 'other');
    const weights = join(other, 'weights-text_encoder.safetensors');
    cpSync(artifact, other, { recursive: true });
    const bytes = readFileSync(weights);
    truncateSync(weights, bytes.byteLength - 16);
    const cut = await failure(inputs, ['--artifact', other]);
    expect(cut).toContain(
      'error F2C535: a file with weights is missing or has changed since the artifact was compiled',
    );
    expect(cut).toContain(`  in ${weights} › `);
    expect(cut).toContain(`  expected ${bytes.byteLength} bytes\n  found    ${bytes.byteLength - 16} bytes`);
    const changed = Buffer.from(bytes);
    changed.write('F16 ', changed.indexOf('BF16'));
    writeFileSync(weights, changed);
    expect(await failure(inputs, ['--artifact', other])).toMatch(/F2C535[^]*a header with the SHA-256/);
  });

  it.each([
    [['other', '--inputs', inputs, '--outputs', outputs], /F2C618[^]*expected text_encoder\n {2}found {4}other/],
    [['text_encoder', '--outputs', outputs], /F2C701: --inputs is missing/],
    [['text_encoder', '--inputs'], /F2C701: the option needs a value/],
    [['text_encoder', '--layers', '3'], /F2C701: unknown option\n {2}found {4}--layers/],
    [['text_encoder', '--inputs', inputs, '--outputs', '/nonexistent/out.safetensors'], /F2C707/],
    [['text_encoder', '--inputs', '/nonexistent.safetensors', '--outputs', outputs], /F2C401[^]*No such file/],
    [['text_encoder', '--inputs', inputs, '--outputs', outputs, '--device', '7'], /F2C540[^]*cudaSetDevice\(7\)[^]*cudaErrorInvalidDevice/],
  ])('says what is wrong with %j', async (line, message) => {
    const { exitCode, stderr } = await runProgram(program, line);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(message);
  }); // prettier-ignore

  it('names what does not fit the memory', async () => {
    const message = await failure(inputs, [], { FLUX2C_EMULATED_BYTES: '100000' });
    expect(message).toMatch(
      /F2C502: the device is out of memory\n {2}in text_encoder\.\S+ › cudaMalloc of \d+ bytes after \d+/,
    );
  });

  it('cuts launches to what a grid may have, with the same results', async () => {
    await run(inputs);
    const wanted = results();
    const cut = await buildForEmulator(artifact, join(root, 'cut'), '-DFLUX2C_MOST_BLOCKS={3,2,1}');
    const line = ['text_encoder', '--inputs', inputs, '--outputs', outputs, '--artifact', artifact];
    expect(await runProgram(cut, line)).toMatchObject({ exitCode: 0 });
    expect(results()).toEqual(wanted);
  }, 300_000);
});

const nvcc = await findWorkingNvcc();
if (typeof nvcc === 'string') {
  process.stderr.write(`SKIPPED: host programs with nvcc: ${nvcc}\n`);
  it.skip(`host programs with nvcc: ${nvcc}`, () => undefined);
}

it.skipIf(typeof nvcc === 'string')(
  'builds with the line it names',
  async () => {
    const line = hostBuildLines([{ name: 'mma', architectures: ['sm_80'] }])[0]!;
    const [command, ...options] = line.split(' ');
    expect(command).toBe('nvcc');
    expect(readFileSync(join(artifact, 'host.cu'), 'utf8')).toContain(`//   ${line}\n`);
    const folder = join(root, 'nvcc');
    cpSync(artifact, folder, { recursive: true });
    const { stderr } = await promisify(execFile)(findNvcc()!, options, { cwd: folder });
    expect(stderr).toBe('');
    expect(existsSync(join(folder, 'host'))).toBe(true);
    const { exitCode, stdout } = await runProgram(join(folder, 'host'), ['--help']);
    expect([exitCode, stdout]).toEqual([0, expect.stringContaining('usage: host FUNCTION')]);
  },
  300_000,
);

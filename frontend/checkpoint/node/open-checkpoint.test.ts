import { mkdtempSync, rmSync } from 'node:fs';
import { appendFile, copyFile, mkdir, readFile, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { Flux2cError } from '../../../ir/diagnostics.js';
import { writeGguf } from '../../../test/raw-files.js';
import { encodeSafetensors } from '../safetensors-writer.js';
import { openFileSource } from './file-source.js';
import { openCheckpoint } from './open-checkpoint.js';

const golden = new URL('../../../test/golden/', import.meta.url).pathname;
const root = mkdtempSync(join(tmpdir(), 'flux2c-checkpoint-'));
let folders = 0;

afterAll(() => rmSync(root, { recursive: true }));

/** A new folder with files: the names of tensors make a safetensors file of them, other content is written as it is. */
async function folderOf(files: Record<string, readonly string[] | string>): Promise<string> {
  folders += 1;
  const folder = join(root, `${folders}`);
  await mkdir(folder);
  for (const [file, content] of Object.entries(files)) {
    await writeFile(join(folder, file), typeof content === 'string' ? content : makeFile(content));
  }
  return folder;
}

function makeFile(names: readonly string[]): Uint8Array {
  const tensors = names.map((name, index) => {
    return [name, { dtype: 'f32', shape: [2], data: new Uint8Array(Float32Array.of(index, 0.5).buffer) }] as const;
  });
  return encodeSafetensors(new Map(tensors));
}

async function errorOf(promise: Promise<unknown>): Promise<Flux2cError> {
  const error: unknown = await promise.then(
    () => new Error('nothing was thrown'),
    (thrown: unknown) => thrown,
  );
  if (error instanceof Flux2cError) return error;
  throw error;
}

const indexOf = (weightMap: Record<string, string>): string => JSON.stringify({ weight_map: weightMap });

describe('openCheckpoint', () => {
  it('opens a file and reads whole tensors, parts and values', async () => {
    const folder = await folderOf({ 'x.safetensors': ['a', 'b'] });
    const path = join(folder, 'x.safetensors');
    const checkpoint = await openCheckpoint(path);
    expect(checkpoint.name).toBe(path);
    expect(checkpoint.tensors.get('b')).toMatchObject({ file: path, dtype: 'f32', shape: [2], byteLength: 8 });
    expect(await checkpoint.readF32('b')).toEqual(Float32Array.of(1, 0.5));
    expect(await checkpoint.readRange('b', 4, 4)).toEqual((await checkpoint.read('b')).slice(4));
    expect((await errorOf(checkpoint.readRange('a', 4, 8))).format()).toContain('8 bytes from offset 4');
    expect((await errorOf(checkpoint.readRange('a', -1, 2))).code).toBe('F2C402');
    expect((await errorOf(checkpoint.read('c'))).detail.where).toEqual([path, 'c']);
    await checkpoint.close();
    expect((await errorOf(checkpoint.read('a'))).code).toBe('F2C401');
  });

  it('opens a GGUF file, and a folder with one', async () => {
    const folder = await folderOf({});
    const matrix = { type: 'F32', shape: [1, 2], bytes: new Uint8Array(Float32Array.of(3, 4).buffer) };
    await writeFile(join(folder, 'flux.gguf'), writeGguf(new Map([['a', matrix]])));
    for (const path of [folder, join(folder, 'flux.gguf')]) {
      const checkpoint = await openCheckpoint(path);
      expect(await checkpoint.readF32('a')).toEqual(Float32Array.of(3, 4));
      await checkpoint.close();
    }
    await writeFile(join(folder, 'other.gguf'), writeGguf(new Map([['a', matrix]])));
    expect((await errorOf(openCheckpoint(folder))).format()).toMatch(/F2C422[^]*flux\.gguf, other\.gguf/);
  });

  it('opens a folder of shards', async () => {
    const checkpoint = await openCheckpoint(`${golden}transformer-klein-tiny`);
    expect(checkpoint.tensors.size).toBe(33);
    expect(checkpoint.tensors.get('proj_out.weight')?.file).toMatch(/00002-of-00002\.safetensors$/);
    expect((await checkpoint.readF32('x_embedder.weight')).length).toBe(96 * 128);
    await checkpoint.close();
  });

  it.each([
    [{ 'diffusion_pytorch_model.safetensors': ['a'], 'other.safetensors': ['b'] }],
    [{ 'model.safetensors': ['a'], 'model.fp16.safetensors': ['b'], 'consolidated.safetensors': ['c'] }],
    [{ 'model.fp16.safetensors': ['a'], 'consolidated.safetensors': ['c'] }],
    [{ 'flux2.safetensors': ['a'], '._flux2.safetensors': 'left behind', 'config.json': '{}' }],
    [
      {
        'model.safetensors.index.json': indexOf({ a: 'model-00001-of-00001.safetensors' }),
        'model-00001-of-00001.safetensors': ['a'],
        'consolidated.safetensors': ['c'],
      },
    ],
  ])('prefers the usual names: %o', async (files) => {
    const checkpoint = await openCheckpoint(await folderOf(files));
    expect([...checkpoint.tensors.keys()]).toEqual(['a']);
    await checkpoint.close();
  });

  const refusedFolders: readonly (readonly [string, Record<string, readonly string[] | string>, string, string])[] = [
    ['two files', { 'a.safetensors': ['a'], 'b.safetensors': ['b'] }, 'F2C422', 'a.safetensors, b.safetensors'],
    ['nothing', { 'config.json': '{}' }, 'F2C422', 'neither'],
    ['a pipeline', { 'model_index.json': '{}' }, 'F2C422', 'name a component'],
    ['shards without an index', { 'model-1-of-2.safetensors': ['a'] }, 'F2C422', 'model-1-of-2.safetensors'],
  ];
  it.each(refusedFolders)('refuses a folder of %s', async (_, files, code, text) => {
    const error = await errorOf(openCheckpoint(await folderOf(files)));
    expect(error.code).toBe(code);
    expect(error.format()).toContain(text);
  });

  const one = 's.safetensors';
  const refusedIndexes: readonly (readonly [string, string, string, string])[] = [
    ['a parent folder', indexOf({ a: '../s.safetensors' }), 'F2C420', '../s.safetensors'],
    ['an absolute path', indexOf({ a: '/etc/passwd' }), 'F2C420', '/etc/passwd'],
    ['an absolute path of safetensors', indexOf({ a: '/tmp/s.safetensors' }), 'F2C420', '/tmp/s.safetensors'],
    ['a path of Windows', indexOf({ a: 'C:\\s.safetensors' }), 'F2C420', 's.safetensors'],
    ['a subfolder', indexOf({ a: 'x/../s.safetensors' }), 'F2C420', 'x/../s.safetensors'],
    ['another kind of file', indexOf({ a: 'config.json' }), 'F2C420', 'config.json'],
    ['a name with NUL', indexOf({ a: 's\u0000.safetensors' }), 'F2C420', '\\u0000'],
    ['a missing file', indexOf({ a: one, b: 't.safetensors' }), 'F2C421', '1 of 2 files of the checkpoint are missing'],
    ['a tensor that is not there', indexOf({ a: one, b: one }), 'F2C421', 'listed but not there: b in s.safetensors'],
    ['a number', indexOf({ a: one }).replace('"s.safetensors"', '3'), 'F2C420', 'no string'],
    ['no weight map', '{}', 'F2C420', 'weight_map'],
    ['no files', '{"weight_map":{}}', 'F2C420', '1 .. 500'],
    ['a tensor twice', `{"weight_map":{"a":"${one}","a":"${one}"}}`, 'F2C420', 'the key "a" twice'],
    ['deep nesting', `{"metadata":${'['.repeat(100_000)}`, 'F2C420', 'nesting'],
    [
      'too many files',
      indexOf(Object.fromEntries(Array.from({ length: 600 }, (_, index) => [`${index}`, `${index}.safetensors`]))),
      'F2C420',
      '600',
    ],
  ];
  it.each(refusedIndexes)('refuses an index with %s', async (_, index, code, text) => {
    const error = await errorOf(
      openCheckpoint(await folderOf({ 'model.safetensors.index.json': index, [one]: ['a'] })),
    );
    expect(error.code).toBe(code);
    expect(error.format()).toContain(text);
    expect(error.detail.where?.[0]).toContain('model.safetensors.index.json');
  });

  it('refuses a tensor that the index does not list or puts elsewhere', async () => {
    const index = indexOf({ a: 's.safetensors', b: 't.safetensors' });
    const unlisted = await folderOf({
      'm.safetensors.index.json': index,
      's.safetensors': ['a', 'c'],
      't.safetensors': ['b'],
    });
    expect((await errorOf(openCheckpoint(join(unlisted, 'm.safetensors.index.json')))).detail.found).toBe(
      '1 there but not listed: c in s.safetensors',
    );
    const twice = await folderOf({
      'm.safetensors.index.json': index,
      's.safetensors': ['a', 'b'],
      't.safetensors': ['b'],
    });
    expect((await errorOf(openCheckpoint(join(twice, 'm.safetensors.index.json')))).code).toBe('F2C421');
  });

  it('refuses a huge index without reading it', async () => {
    const folder = await folderOf({ 'model.safetensors.index.json': '' });
    await truncate(join(folder, 'model.safetensors.index.json'), 1e12);
    expect((await errorOf(openCheckpoint(folder))).format()).toContain('1000000000000 bytes');
  });

  it('follows links to files, as download caches have them', async () => {
    const target = join(await folderOf({ 'blob.safetensors': ['a'] }), 'blob.safetensors');
    const folder = await folderOf({});
    await symlink(target, join(folder, 'model.safetensors'));
    const checkpoint = await openCheckpoint(folder);
    expect([...checkpoint.tensors.keys()]).toEqual(['a']);
    await checkpoint.close();
  });

  it('names a file that is missing, a folder or broken', async () => {
    const missing = await errorOf(openCheckpoint(join(root, 'missing.safetensors')));
    expect(missing).toMatchObject({ code: 'F2C401', detail: { where: [join(root, 'missing.safetensors')] } });
    expect((await errorOf(openFileSource(root))).detail.found).toBe('a folder');
    expect((await errorOf(openFileSource('/dev/zero'))).code).toBe('F2C401');
    const folder = await folderOf({ 'x.safetensors': 'not tensors' });
    expect((await errorOf(openCheckpoint(folder))).detail.where).toEqual([join(folder, 'x.safetensors')]);
  });
});

describe('openFileSource', () => {
  it('reads beyond 4 GiB', async () => {
    const path = join(await folderOf({}), 'large');
    await copyFile(`${golden}README.md`, path);
    await truncate(path, 5 * 2 ** 30); // a hole: no disk is used
    const source = await openFileSource(path);
    expect(source.size).toBe(5 * 2 ** 30);
    expect(await source.read(5 * 2 ** 30 - 3, 3)).toEqual(new Uint8Array(3));
    expect(await source.read(2, 4)).toEqual(new Uint8Array((await readFile(`${golden}README.md`)).subarray(2, 6)));
    expect((await errorOf(source.read(5 * 2 ** 30 - 3, 4))).code).toBe('F2C402');
    await source.close();
  });

  it('notices that the file became shorter', async () => {
    const path = join(await folderOf({ x: 'twelve bytes' }), 'x');
    const source = await openFileSource(path);
    await truncate(path, 5);
    expect((await errorOf(source.read(0, 12))).detail).toMatchObject({ expected: '12 bytes', found: '5 bytes' });
    await source.close();
  });

  it('notices that the file was written since it was opened', async () => {
    const path = join(await folderOf({ x: 'twelve bytes' }), 'x');
    const source = await openFileSource(path);
    expect(await source.read(0, 6)).toEqual(new Uint8Array(Buffer.from('twelve')));
    await utimes(path, 1, new Date('2020-02-02T02:02:02Z'));
    const detail = { where: [path], found: '12 bytes, of 2020-02-02T02:02:02.000Z' };
    expect(await errorOf(source.read(0, 6))).toMatchObject({ code: 'F2C405', detail });
    await source.close();
    const again = await openFileSource(path);
    expect(await again.read(7, 5)).toEqual(new Uint8Array(Buffer.from('bytes')));
    await appendFile(path, 'and more');
    expect(await errorOf(again.read(7, 5))).toMatchObject({ code: 'F2C405' });
    await again.close();
  });
});

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { afterAll, expect, it } from 'vitest';
import { writeFileAtomically } from './write-file.js';

const root = mkdtempSync(join(tmpdir(), 'flux2c-write-'));
afterAll(() => rmSync(root, { recursive: true }));

async function newFolder(name: string): Promise<string> {
  const folder = join(root, name);
  await mkdir(folder);
  return folder;
}

it('writes bytes and chunks, over an old file too', async () => {
  const folder = await newFolder('chunks');
  const path = join(folder, 'x');
  await writeFileAtomically(path, Uint8Array.of(1, 2, 3));
  expect([...(await readFile(path))]).toEqual([1, 2, 3]);
  await writeFileAtomically(
    path,
    (async function* () {
      yield Uint8Array.of(4);
      expect([...(await readFile(path))]).toEqual([1, 2, 3]); // the old file until the end
      yield Uint8Array.of();
      yield Uint8Array.of(5, 6);
    })(),
  );
  expect([...(await readFile(path))]).toEqual([4, 5, 6]);
  expect(await readdir(folder)).toEqual(['x']);
});

it('leaves the old file and nothing else when the content fails', async () => {
  const folder = await newFolder('failing');
  const path = join(folder, 'x');
  await writeFile(path, 'old');
  const failing = (async function* () {
    yield new Uint8Array(100);
    throw new Error('no more');
  })();
  await expect(writeFileAtomically(path, failing)).rejects.toThrow('no more');
  expect(await readdir(folder)).toEqual(['x']);
  expect(await readFile(path, 'utf8')).toBe('old');
});

it('names the file that cannot be written', async () => {
  const folder = await newFolder('refused');
  await mkdir(join(folder, 'folder'));
  await writeFile(join(folder, 'folder', 'inside'), '');
  for (const path of [join(folder, 'missing', 'x'), join(folder, 'folder')]) {
    await expect(writeFileAtomically(path, new Uint8Array(1))).rejects.toMatchObject({
      code: 'F2C401',
      detail: { where: [path] },
    });
  }
  expect(await readdir(folder)).toEqual(['folder']);
});

it('listens for signals only while it writes', async () => {
  const before = process.listenerCount('SIGINT');
  const path = join(await newFolder('listeners'), 'x');
  const chunks = (async function* () {
    expect(process.listenerCount('SIGINT')).toBe(before + 1);
    yield Uint8Array.of(1);
  })();
  await writeFileAtomically(path, chunks);
  expect(process.listenerCount('SIGINT')).toBe(before);
});

/** The modules as JavaScript in a folder of their own, for a process of plain Node. */
async function transpile(folder: string): Promise<string> {
  const sources = ['ir/diagnostics', 'frontend/checkpoint/byte-source', 'frontend/checkpoint/node/file-source'];
  const repository = fileURLToPath(new URL('../../../', import.meta.url));
  await mkdir(join(folder, 'ir'));
  await mkdir(join(folder, 'frontend/checkpoint/node'), { recursive: true });
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  for (const source of [...sources, 'frontend/checkpoint/node/write-file']) {
    const text = await readFile(join(repository, `${source}.ts`), 'utf8');
    const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 };
    await writeFile(join(folder, `${source}.js`), ts.transpileModule(text, { compilerOptions }).outputText);
  }
  return join(folder, 'frontend/checkpoint/node/write-file.js');
}

it.each(['SIGINT', 'SIGTERM'] as const)('leaves nothing behind on %s, and dies of it', async (signal) => {
  const module = await transpile(await newFolder(`code-${signal}`));
  const folder = await newFolder(signal);
  const script = `
    import { writeFileAtomically } from ${JSON.stringify(module)};
    await writeFileAtomically(${JSON.stringify(join(folder, 'x'))}, (async function* () {
      yield new Uint8Array(1000);
      console.log('writing');
      await new Promise((resolve) => setTimeout(resolve, 20000));
    })());`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<string | null>((resolve) => child.on('exit', (_, by) => resolve(by)));
  await new Promise((resolve) => child.stdout.once('data', resolve));
  expect((await readdir(folder)).join()).toMatch(/^x\.[0-9a-f]{12}\.tmp$/);
  child.kill(signal);
  expect(await ended).toBe(signal);
  expect(await readdir(folder)).toEqual([]);
});

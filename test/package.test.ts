import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCommandLine } from './cli-harness.js';
import { readImage } from '../models/flux2/node/image-files.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const compiler = join(root, 'node_modules/typescript/bin/tsc');
const execute = promisify(execFile);

/** As from a shell: without what `npm test` tells the programs it starts, such as the folder it was started in. */
const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_|^NODE_ENV$/.test(name)));
const run = async (folder: string, program: string, ...options: readonly string[]): Promise<string> =>
  (await execute(program, options, { cwd: folder, env: environment, maxBuffer: 2 ** 24 })).stdout;

/** Builds, packs and installs in folders of its own, as others may be using the build of the repository. */
describe('the package, installed elsewhere', { timeout: 180_000 }, () => {
  let folder = '';
  let app = '';
  let files: readonly string[] = [];
  let packedBytes = 0;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'flux2c-package-'));
    const source = join(folder, 'source');
    const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { readonly files: string[] };
    const build = JSON.parse(await readFile(join(root, 'tsconfig.build.json'), 'utf8')) as { include: string[] };
    const wanted = [...build.include, ...manifest.files, 'package.json', 'tsconfig.json', 'tsconfig.build.json'];
    for (const name of wanted.filter((name) => name !== 'dist' && !name.startsWith('!'))) {
      const filter = (path: string): boolean => basename(path) !== 'node_modules';
      await cp(join(root, name), join(source, name), { recursive: true, filter });
    }
    await symlink(join(root, 'node_modules'), join(source, 'node_modules'));
    await run(source, process.execPath, compiler, '-p', 'tsconfig.build.json');
    const packed = JSON.parse(await run(source, 'npm', 'pack', '--ignore-scripts', '--json')) as [
      { readonly filename: string; readonly size: number; readonly files: readonly { readonly path: string }[] },
    ];
    files = packed[0].files.map(({ path }) => path);
    packedBytes = packed[0].size;
    app = join(folder, 'app');
    await mkdir(app);
    await writeFile(join(app, 'package.json'), '{ "private": true, "type": "module" }');
    const tarball = join(source, packed[0].filename);
    await run(app, 'npm', 'install', '--prefer-offline', '--no-audit', '--no-fund', tarball);
  }, 300_000);

  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('has what it needs and nothing else', () => {
    const needed = [
      'LICENSE',
      'README.md',
      'docs/graph-api.md',
      'dist/cli/main.js',
      'dist/frontend/index.d.ts',
      'dist/runtime/index.js',
      'dist/runtime/node/index.js',
      'dist/models/flux2/index.js',
      'dist/models/flux2/node/index.js',
      'models/flux2/checkpoint/model_index.json',
      'models/flux2/checkpoint/transformer/diffusion_pytorch_model.safetensors',
    ];
    expect(files).toEqual(expect.arrayContaining(needed));
    const code = /^(dist\/(ir|frontend|passes|backends|runtime|models|cli|bench)\/.*\.(js|d\.ts)|docs\/.*|models\/flux2\/checkpoint\/.*|LICENSE|README\.md|package\.json)$/; // prettier-ignore
    expect(files.filter((path) => !code.test(path) || /\.test\.|^dist\/(test|examples)\//.test(path))).toEqual([]);
    // 10.5 MiB of it is the checkpoint.
    expect(packedBytes).toBeLessThan(13 * 2 ** 20);
  });

  it('draws by npx', async () => {
    await run(app, 'npx', 'flux2c', 'generate', 'a red circle on a white background', '--seed', '7', '-o', 'c.png');
    const { width, height, data } = await readImage(join(app, 'c.png'));
    const [red, green, blue] = data.subarray(3 * (width * (height >> 1) + (width >> 1)));
    expect([width, height]).toEqual([128, 128]);
    expect(red! > 150 && green! < 90 && blue! < 90).toBe(true);
  });

  it('encodes weights on several threads as sources do on one', async () => {
    const line = ['compile', '--target', 'cpu', '--component', 'transformer', '--quantize', 'int4', '-o'];
    await run(app, 'npx', 'flux2c', ...line, 'int4');
    const wanted = join(folder, 'int4');
    expect((await runCommandLine([...line, wanted])).exitCode).toBe(0);
    const weights = 'weights-transformer.safetensors';
    expect((await readFile(join(app, 'int4', weights))).equals(await readFile(join(wanted, weights)))).toBe(true);
  });

  it('serves programs of strict TypeScript, whose types it brings', async () => {
    await cp(join(root, 'examples/mlp.ts'), join(app, 'mlp.ts'));
    const options = ['--module', 'nodenext', '--target', 'es2022', '--lib', 'es2023,dom', '--strict'];
    await run(app, process.execPath, compiler, ...options, 'mlp.ts');
    expect(await run(app, process.execPath, 'mlp.js')).toMatch(/^y is f32\[3, 256\]: 1\.02/);
  });
});

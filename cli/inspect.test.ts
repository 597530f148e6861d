import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parseModule } from '../ir/graph/parse.js';
import { parseThreadKernel } from '../ir/kernel/thread-parse.js';
import { encodeImage } from '../models/flux2/node/image-files.js';
import { runCommandLine } from '../test/cli-harness.js';
import type { InspectReport } from './inspect/report.js';

const folder = mkdtempSync(join(tmpdir(), 'flux2c-inspect-'));
afterAll(() => rmSync(folder, { recursive: true }));
const image = { width: 16, height: 16, data: new Uint8Array(16 * 16 * 3) };

describe('flux2c inspect', () => {
  it('says how a picture was made', async () => {
    const path = join(folder, 'a.png');
    const metadata = { prompt: 'a red circle', seed: '7', settings: { model: 'flux2-shapes', steps: 20 } };
    writeFileSync(path, await encodeImage(image, 'png', metadata));
    expect((await runCommandLine(['inspect', path])).stdout).toBe(
      'prompt  a red circle\nseed    7\nmodel   flux2-shapes\nsteps   20\n',
    );
    expect(JSON.parse((await runCommandLine(['inspect', path, '--json'])).stdout)).toEqual(metadata);
  });

  it('refuses pictures without settings', async () => {
    const path = join(folder, 'b.png');
    writeFileSync(path, await encodeImage(image, 'png'));
    expect((await runCommandLine(['inspect', path])).stderr).toContain('error F2C710');
    expect((await runCommandLine(['inspect', join(folder, 'no.png')])).stderr).toContain('error F2C401');
    writeFileSync(path, 'no picture');
    expect((await runCommandLine(['inspect', path])).stderr).toContain('error F2C633');
  });

  it('reports the embedded checkpoint', async () => {
    const { stdout, exitCode } = await runCommandLine(['inspect', '--json', '--width', '64', '--height', '96']);
    expect(exitCode).toBe(0);
    const report = JSON.parse(stdout) as InspectReport;
    expect(report.functions.map(({ name }) => name)).toEqual(['text_encoder', 'vae_encoder', 'denoise', 'vae_decoder']);
    expect(report.components.map(({ name }) => name).sort()).toEqual(['text_encoder', 'transformer', 'vae']);
    const denoise = report.functions.find(({ name }) => name === 'denoise')!;
    expect(denoise.sizes).toMatchObject({ img: 24, ref: 0, steps: 20 });
    const total = denoise.kernels.reduce((sum, { step }) => sum + step.launches, 0);
    expect(denoise.step.launches).toBe(total);
    expect(denoise.blocks.reduce((sum, { work }) => sum + work.launches, 0)).toBe(total);
    // 6 single and 2 double blocks of the same shapes: kernels are shared.
    const ofStep = denoise.kernels.filter(({ step }) => step.launches > 0);
    expect(ofStep.length).toBeLessThan(total / 2);
    expect(denoise.leastBytes).toBeLessThan(denoise.step.bytes);
    expect(denoise.memory.arenaBytes).toBeGreaterThanOrEqual(denoise.memory.lowerBoundBytes);
    expect(denoise.largestBinding.bytes).toBeLessThanOrEqual(report.target.maxBindingBytes);
    for (const { workgroupSize, name } of denoise.kernels) expect(workgroupSize, name).toBeGreaterThan(0);
  });

  it('says in how many bits weights are, of a model, of an artifact and of plans without weights', async () => {
    const quantize = ['--quantize', 'int4', '--keep', 'text_encoder.*'];
    interface Shown {
      readonly components: InspectReport['components'];
      readonly functions: InspectReport['functions'];
    }
    const inspect = async (...line: readonly string[]): Promise<Shown> =>
      JSON.parse((await runCommandLine(['inspect', '--json', ...line])).stdout) as Shown;
    const plain = await inspect();
    const model = await inspect(...quantize);
    const path = join(folder, 'int4');
    await runCommandLine(['compile', '-o', path, '--target', 'cpu', ...quantize]);
    const artifact = await inspect(path);
    const of = ({ components }: Shown, wanted: string): InspectReport['components'][number] =>
      components.find(({ name }) => name === wanted)!;
    expect(of(plain, 'transformer').storedAs).not.toContain('int4:64');
    expect(of(model, 'transformer').storedAs).toContain('int4:64');
    // A number of 16 bits has 4, and its share of a scale of 16 for 64 of them.
    expect(of(model, 'transformer').bytes).toBeLessThan(of(plain, 'transformer').bytes * 0.4);
    for (const name of ['transformer', 'text_encoder', 'vae']) {
      const [found, wanted] = [of(artifact, name), of(model, name)];
      expect(found).toEqual({ ...wanted, storedAs: expect.arrayContaining([...wanted.storedAs]) as unknown });
      expect(found.parameters).toBe(of(plain, name).parameters);
    }
    const parameters = ({ functions }: Shown): number => functions.find(({ name }) => name === 'denoise')!.parameters;
    expect(parameters(model)).toBe(parameters(plain));
    expect(parameters(artifact)).toBe(parameters(plain));
  });

  it('reports klein-4b without weights', async () => {
    const { stdout } = await runCommandLine(['inspect', '--config', 'klein-4b', '--component', 'denoise']);
    expect(stdout).toContain('klein-4b: configuration without weights, for webgpu');
    expect(stdout).toContain('1024x1024, 4096 image + 512 text tokens, 4 steps');
    expect(stdout).toMatch(/20 × single +\d/);
    expect(stdout).toMatch(/5 × double +\d/);
    const parameters = Number(/transformer +([\d.]+) G/.exec(stdout)?.[1]);
    expect(parameters).toBeCloseTo(3.88, 1);
  });

  it('says which functions do not fit, and shows the others', async () => {
    // Four gigapixels: no device has buffers for the decoder's pictures.
    const sizes = ['--width', '65536', '--height', '65536'];
    const { stdout, exitCode } = await runCommandLine(['inspect', ...sizes]);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/\nvae_decoder {2}65536x65536\n {2}error F2C31\d: /);
    expect(stdout).toMatch(/\ntext_encoder {2}32 text tokens\n {2}takes/);
    expect((await runCommandLine(['inspect', ...sizes, '--component', 'vae_decoder'])).exitCode).toBe(1);
  });

  it('prints text that parses at every stage', async () => {
    const emit = async (...options: string[]): Promise<string> => {
      const line = ['inspect', '--component', 'vae_decoder', ...options];
      const { stdout, exitCode, stderr } = await runCommandLine(line);
      expect(exitCode, stderr).toBe(0);
      return stdout;
    };
    const built = parseModule(await emit('--stop-after', 'none'));
    const fused = parseModule(await emit('--emit', 'graph'));
    const count = (module: typeof built): number => module.functions.get('vae_decoder')!.body.operations.length;
    expect(count(fused)).toBeLessThan(count(built));
    const attention = ['--kernel', 'attention'];
    expect(parseThreadKernel(await emit('--emit', 'thread', ...attention)).name).toMatch(/^attention_/);
    expect(await emit('--emit', 'tile', ...attention)).toMatch(/^kernel @attention_/);
    expect(await emit('--emit', 'source', ...attention)).toContain('@compute');
    const plan = await emit('--emit', 'plan');
    expect(plan).toMatch(/^plan vae_decoder\n {2}input latents: f32\[batch, 128, h, w\]/);
    expect(plan).toContain('launch attention_');
  });

  it('shows operands in fp8 for GPUs that have them, and refuses them elsewhere', async () => {
    const denoise = ['inspect', '--component', 'denoise', '--operands', 'fp8'];
    const ada = ['--target', 'cuda', '--arch', 'sm_89'];
    const graph = await runCommandLine([...denoise, ...ada, '--stop-after', 'quantize-products']);
    expect(graph.stdout).toMatch(/weight @transformer\.\S+\.f8 : f8e4m3\[.*quantize_rows\(/);
    const rows = graph.stdout.split('\n').filter((line) => line.includes('= quantize_rows(%'));
    expect(rows.length).toBeGreaterThan(10);
    // Not what comes in, what the timestep says and what goes out.
    for (const name of ['x_embedder', 'context_embedder', 'modulation', 'proj_out', 'time_guidance_embed']) {
      expect(graph.stdout).toMatch(new RegExp(`weight @transformer\\.\\S*${name}`));
      expect(graph.stdout).not.toMatch(new RegExp(`weight @transformer\\.\\S*${name}\\S* : f8e4m3`));
    }
    const plan = await runCommandLine([...denoise, ...ada, '--emit', 'plan']);
    expect(plan.stdout).toContain('f8e4m3');
    const refused = await runCommandLine([...denoise, '--emit', 'plan']);
    expect(refused.stderr).toContain('error F2C307');
    expect(refused.stderr).toContain('compute capability 8.9');
  });

  it('shows an autoencoder in bf16 where the others have operands in f16', async () => {
    const emit = async (component: string): Promise<string> => {
      const line = ['inspect', '--component', component, '--operands', 'f16', '--target', 'cuda', '--emit', 'tile'];
      return (await runCommandLine(line)).stdout;
    };
    expect(await emit('denoise')).toContain('to_f16(');
    const decoder = await emit('vae_decoder');
    expect(decoder).toContain('to_bf16(');
    expect(decoder).not.toContain('to_f16(');
    const graph = await runCommandLine(['inspect', '--component', 'vae_decoder', '--target', 'cuda', '--stop-after', 'choose-factors']); // prettier-ignore
    expect(graph.stdout).toMatch(/conv2d\(.*factors = bf16\}/);
    const refused = await runCommandLine(['inspect', '--component', 'vae_decoder', '--operands', 'f16']);
    expect(refused.stderr).toContain('error F2C307');
  });

  it('prints, times and dumps passes', async () => {
    const line = ['inspect', '--component', 'text_encoder', '--time-passes', '--verify-each', '--dump-dir', folder];
    const { stderr, exitCode } = await runCommandLine([...line, '--print-after', 'merge-projections']);
    expect(exitCode, stderr).toBe(0);
    expect(stderr).toMatch(/\/\/ after \d+ merge-projections\nweight /);
    expect(stderr).toMatch(/fuse +[\d.]+ ms +\d+ -> \d+ operations/);
    const files = readdirSync(join(folder, 'text_encoder'));
    expect(files).toContain('plan.txt');
    expect(files.some((name) => /^\d\d-fuse\.graph$/.test(name))).toBe(true);
    const kernels = readdirSync(join(folder, 'text_encoder', 'kernels'));
    for (const ending of ['tile', 'thread', 'wgsl']) expect(kernels.some((name) => name.endsWith(ending))).toBe(true);
  });

  it('writes a page of its own', async () => {
    const path = join(folder, 'page.html');
    const { stdout, exitCode, stderr } = await runCommandLine(['inspect', '--component', 'denoise', '--html', path]);
    expect(exitCode, stderr).toBe(0);
    expect(stdout).toBe(`${path}\n`);
    const page = readFileSync(path, 'utf8');
    for (const tab of ['overview', 'denoise', 'kernels', 'graph', 'passes', 'memory', 'weights']) {
      expect(page).toMatch(new RegExp(`<button data-tab="\\d"[^>]*>${tab}</button>`));
    }
    expect(page).not.toMatch(/\b(src|href)="|@import|url\(/);
    expect(page).toContain('<b>single.5</b>');
    expect(page).toContain('@compute');
    expect(page.match(/<rect class="span/g)!.length).toBeGreaterThan(100);
    expect(page.slice(0, page.lastIndexOf('<script>')).match(/NaN|undefined|\[object/)).toBeNull();
  });

  it.each([
    [['--kernel', 'nothing', '--emit', 'thread', '--component', 'vae_decoder'], 'F2C708'],
    [['--print-after', 'nothing', '--component', 'vae_decoder'], 'F2C301'],
    [['--stop-after', 'fuse', '--emit', 'plan', '--component', 'vae_decoder'], 'F2C703'],
    [['--width', '40'], 'F2C702'],
    [['model', '--config', 'dev'], 'F2C703'],
    [['/nowhere'], 'F2C401'],
    [['--cached-references'], 'F2C614'],
    [['--config', 'dev', '--cached-references'], 'F2C614'],
    [['--target', 'cpu', '--emit', 'source', '--component', 'vae_decoder'], 'F2C709'],
  ])('refuses %j', async (options, code) => {
    const { exitCode, stderr } = await runCommandLine(['inspect', ...options]);
    expect(exitCode).toBe(1);
    expect(stderr).toContain(`error ${code}: `);
  });
});

/** Artifacts for GPUs of several families: which builds there are, and which one a device runs. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CudaArchitecture, cudaArchitectures, cudaTarget, groupArchitectures } from '../../backends/cuda/cuda-target.js'; // prettier-ignore
import { openArtifactFolder, openArtifactModel } from '../../cli/artifact-folder.js';
import type { InspectReport } from '../../cli/inspect/report.js';
import { compareTensors } from '../../ir/host-tensor.js';
import type { NetworkTensor } from '../../models/flux2/networks.js';
import { NullDevice } from '../../runtime/null-device.js';
import { cpuTarget } from '../../backends/target.js';
import { encodeArtifact } from '../../runtime/artifact.js';
import { chooseBuild } from '../../runtime/artifact/choose-build.js';
import { CudaEmulatorDevice } from '../../runtime/cuda/node/emulator-device.js';
import type { Device } from '../../runtime/device.js';
import { compileModule } from '../../passes/compile.js';
import { runGraphPasses } from '../../passes/pass.js';
import { graphPassesFor } from '../../passes/pipeline.js';
import { printModule } from '../../ir/graph/print.js';
import { runCommandLine } from '../cli-harness.js';
import { hasProgram } from '../cuda-tools.js';
import { goldenNetworks } from '../golden-cases.js';
import { openMockDevice } from './mock-device.js';

const root = mkdtempSync(join(tmpdir(), 'flux2c-cuda-builds-'));
afterAll(() => rmSync(root, { recursive: true }));
const golden = goldenNetworks.find(({ name }) => name === 'text-encoder-tiny')!;

/** The text encoder of the golden cases: thirteen kernels. */
async function compile(name: string, ...options: readonly string[]) {
  const path = join(root, name);
  const model = ['test/golden/text-encoder-tiny', '--layers', '1,3,5', '--target', 'cuda', '--no-cubin'];
  const run = await runCommandLine(['compile', ...model, '-o', path, ...options]);
  if (run.exitCode !== 0) throw new Error(run.stderr);
  return { path, ...run };
}

const bf16 = ['--operands', 'bf16'];
const both = join(root, 'both');
let compiled: Awaited<ReturnType<typeof compile>>;
beforeAll(async () => {
  compiled = await compile('both', '--arch', 'sm_80,sm_90a', ...bf16);
});

const filesIn = (folder: string, ending: string): readonly string[] =>
  readdirSync(join(both, folder)).filter((name) => name.endsWith(ending));

/** A build's kernels by name: whether each multiplies by wgmma. */
async function kernelsOf(build: string): Promise<ReadonlyMap<string, boolean>> {
  const { kernels } = await (await openArtifactFolder(both)).loadBuild(build);
  return new Map([...kernels].map(([name, { source }]) => [name, source.includes('wgmma')]));
}

describe('an artifact for two families of GPUs', () => {
  it('has a build for each, and kernels that both have once', async () => {
    const { manifest } = await openArtifactFolder(both);
    expect([...manifest.builds].map(([name, { architectures }]) => [name, architectures])).toEqual([
      ['mma', ['sm_80']],
      ['wgmma', ['sm_90a']],
    ]);
    expect(manifest.builds.get('mma')!.target.matrix).toBe('mma');
    expect(manifest.builds.get('wgmma')!.target.matrix).toBe('wgmma');
    expect(filesIn('plans', '.json')).toEqual(['text_encoder.mma.json', 'text_encoder.wgmma.json']);
    const [mma, wgmma] = [await kernelsOf('mma'), await kernelsOf('wgmma')];
    const all = [...new Set([...mma.keys(), ...wgmma.keys()])].sort();
    expect(all.length).toBeLessThan(mma.size + wgmma.size);
    expect(filesIn('kernels', '.cu')).toEqual(all.map((name) => `${name}.cu`));
    expect([...manifest.kernels.keys()]).toEqual(all);
    expect([...mma.values()]).not.toContain(true);
    expect([...wgmma.values()]).toContain(true);
  });

  it('is announced as such', async () => {
    const lines = compiled.stdout.split('\n');
    expect(lines[0]).toMatch(/^.*both: \d+ kernels for cuda, compiled in/);
    expect(lines.slice(1)).toEqual([
      expect.stringMatching(/^ {2}mma for sm_80: \d+ kernels$/),
      expect.stringMatching(/^ {4}text_encoder: \d+ launches$/),
      expect.stringMatching(/^ {2}wgmma for sm_90a: \d+ kernels$/),
      expect.stringMatching(/^ {4}text_encoder: \d+ launches$/),
      expect.stringMatching(/^ {2}weights: .* in a file of the model$/),
      '',
    ]);
    expect(compiled.stderr).toMatch(/^compiling kernels for mma\ncompiling kernels for wgmma\n/);
    const { stdout } = await compile('reported', '--arch', 'sm_80,sm_90a', ...bf16, '--json');
    const { builds } = JSON.parse(stdout) as { builds: unknown };
    expect(builds).toMatchObject([
      { name: 'mma', architectures: ['sm_80'], target: { matrix: 'mma' }, functions: [{ name: 'text_encoder' }] },
      { name: 'wgmma', architectures: ['sm_90a'], target: { matrix: 'wgmma' } },
    ]);
  });

  it.each([
    [[9, 0], 'wgmma'],
    [[8, 0], 'mma'],
    [[8, 6], 'mma'],
    [[12, 0], 'mma'],
  ] as const)('runs on a GPU of capability %j with the kernels of %s', async (capability, build) => {
    const { device, compiler } = openMockDevice({ capability });
    const model = await openArtifactModel(both, device);
    await (await model.open('text_encoder')).destroy();
    await model.close();
    await device.destroy();
    const names = compiler.compiled.map((line) => line.split(' ')[0]!).sort();
    expect(names).toEqual([...(await kernelsOf(build)).keys()].sort());
  });

  it('is looked at build by build', async () => {
    const line = ['inspect', both, '--text-tokens', '16'];
    const { stdout: text } = await runCommandLine(line);
    expect(text).toContain('\nbuilds: mma for sm_80 (this one); wgmma for sm_90a (--build wgmma)\n');
    const report = async (...options: readonly string[]): Promise<InspectReport> =>
      JSON.parse((await runCommandLine([...line, '--json', ...options])).stdout) as InspectReport;
    const builds = [
      { name: 'mma', architectures: ['sm_80'] },
      { name: 'wgmma', architectures: ['sm_90a'] },
    ];
    expect(await report()).toMatchObject({ build: 'mma', builds, target: { matrix: 'mma' } });
    expect(await report('--build', 'wgmma')).toMatchObject({ build: 'wgmma', builds, target: { matrix: 'wgmma' } });
    const page = join(root, 'page.html');
    await runCommandLine([...line, '--build', 'wgmma', '--html', page]);
    expect(readFileSync(page, 'utf8')).toContain('builds: mma for sm_80 (--build mma); wgmma for sm_90a (this one)');
    const source = await runCommandLine([...line, '--build', 'wgmma', '--emit', 'source']);
    expect(source.stdout).toContain('wgmma');
    const unknown = await runCommandLine([...line, '--build', 'sm_90a']);
    expect(unknown.stderr).toMatch(/error F2C618: there is no build sm_90a[^]*expected mma, wgmma/);
  });
});

const isPossible = await hasProgram('g++', 'artifacts with several builds on the CUDA emulator');

describe.skipIf(!isPossible)('on the CUDA emulator', () => {
  it.each(['sm_86', 'sm_90a'] as const)(
    'such an artifact gives the golden numbers as %s',
    async (architecture) => {
      const device = new CudaEmulatorDevice({ target: cudaTarget([architecture]) });
      for (const { read } of golden.cases) {
        const { inputs, expected } = read();
        const results = await runOn(device, inputs);
        for (const { result, want } of expected) {
          const { values } = results[result]!;
          const { relativeL2 } = compareTensors({ ...want, data: Float64Array.from(values) }, want);
          expect(relativeL2).toBeLessThan(2e-2);
        }
      }
      await device.destroy();
    },
    300_000,
  );
});

async function runOn(device: Device, inputs: ReturnType<(typeof golden.cases)[0]['read']>['inputs']) {
  const model = await openArtifactModel(both, device);
  const network = await model.open('text_encoder');
  const given = Object.entries(inputs).map(([name, { shape, data }]): [string, NetworkTensor] => {
    return [name, { dtype: 'i32', shape, values: Int32Array.from(data) }];
  });
  const results = await network.run(Object.fromEntries(given));
  await network.destroy();
  await model.close();
  return results;
}

describe('which builds there are', () => {
  it('says what the kernels can be, not how much memory there is', () => {
    expect(groupArchitectures(cudaArchitectures)).toEqual([['sm_80', 'sm_86', 'sm_89', 'sm_120'], ['sm_90a']]);
    expect(groupArchitectures(['sm_90a', 'sm_86'])).toEqual([['sm_90a'], ['sm_86']]);
  });

  it.each(goldenNetworks.map((network) => [network.name, network] as const))(
    'makes no difference to graphs, and memory none to kernels: %s',
    async (_, network) => {
      const { module } = await network.load();
      const graph = (architecture: CudaArchitecture): string => {
        const target = cudaTarget([architecture]);
        return printModule(runGraphPasses(module, graphPassesFor(target), target));
      };
      expect(graph('sm_90a')).toBe(graph('sm_80'));
      const kernels = (architecture: CudaArchitecture) =>
        compileModule(module, cudaTarget([architecture]), { print: () => '', operands: 'bf16' }).kernels;
      expect([...kernels('sm_86').keys()]).toEqual([...kernels('sm_80').keys()]);
    },
  );

  it('is one where kernels are the same for all', async () => {
    const { path } = await compile('f32', '--operands', 'f32');
    const { builds } = (await openArtifactFolder(path)).manifest;
    expect([...builds].map(([name, { architectures }]) => [name, architectures])).toEqual([
      ['cuda', [...cudaArchitectures]],
    ]);
    expect(builds.get('cuda')!.target).not.toHaveProperty('matrix');
  });

  it('is the best family of all that flux2c knows, unless it is told', async () => {
    const { builds } = (await openArtifactFolder((await compile('all', ...bf16)).path)).manifest;
    for (const [architecture, build] of Object.entries({
      sm_80: 'mma',
      sm_89: 'mma',
      sm_90a: 'wgmma',
      sm_120: 'mma',
    })) {
      const target = cudaTarget([architecture as CudaArchitecture]);
      expect(chooseBuild('all', builds, { target, description: architecture })).toBe(build);
    }
  });

  it('decides in any order', () => {
    const build = (architecture: CudaArchitecture) => ({ target: cudaTarget([architecture]), architectures: [] });
    const builds: readonly [string, ReturnType<typeof build>][] = [
      ['first', build('sm_80')],
      ['second', build('sm_90a')],
    ];
    for (const order of [builds, builds.toReversed()]) {
      const choose = (architecture: CudaArchitecture): string =>
        chooseBuild('any', new Map(order), { target: cudaTarget([architecture]), description: architecture });
      expect([choose('sm_80'), choose('sm_90a')]).toEqual(['first', 'second']);
    }
  });

  it.each([
    ['narrowStores', /which needs stores of less than a word$/],
    ['tileWalks', /which needs workgroups that walk over tiles$/],
  ])('is none that relies on %s for a device without', (capability, expected) => {
    const target = cudaTarget(['sm_80']);
    const choose = (): string =>
      chooseBuild('any', new Map([['one', { target, architectures: [] }]]), {
        target: { ...target, [capability]: false },
        description: 'a device',
      });
    expect(choose).toThrow(
      expect.objectContaining({
        code: 'F2C533',
        detail: expect.objectContaining({ expected: expect.stringMatching(expected) as unknown }) as unknown,
      }) as Error,
    );
  });

  it('is said to a device that none is for', async () => {
    const { path } = await compile('hopper', '--arch', 'sm_90a', ...bf16);
    const { device } = openMockDevice({ capability: [8, 0] });
    await expect(openArtifactModel(path, device)).rejects.toMatchObject({
      code: 'F2C533',
      detail: {
        where: [path],
        expected: expect.stringMatching(/^wgmma for sm_90a, which needs matrix products by wgmma/) as unknown,
        found: expect.stringContaining('sm_80') as unknown,
        hint: expect.stringContaining('--target cuda, which without --arch is for every GPU') as unknown,
      },
    });
    await device.destroy();
    await expect(openArtifactModel(both, new NullDevice(cpuTarget))).rejects.toMatchObject({
      code: 'F2C533',
      detail: {
        expected: expect.stringMatching(
          /^mma for sm_80, which needs a device for cuda kernels; wgmma for sm_90a, /,
        ) as unknown,
        hint: expect.stringContaining('--target cpu.') as unknown,
      },
    });
  });
});

describe('writing an artifact', () => {
  it('never takes a kernel for another one of the same name', async () => {
    const { loadBuild } = await openArtifactFolder(both);
    const { kernels } = await loadBuild('mma');
    const [name, kernel] = [...kernels][0]!;
    const build = { target: cudaTarget(['sm_80']), architectures: ['sm_80'], plans: new Map() };
    const write = (source: string) =>
      encodeArtifact({
        compiler: 'test',
        model: null,
        functions: new Map(),
        builds: new Map([
          ['one', { ...build, kernels: new Map([[name, kernel]]) }],
          ['other', { ...build, kernels: new Map([[name, { ...kernel, source }]]) }],
        ]),
        files: new Map(),
        weights: null,
      });
    expect([...(await write(kernel.source)).keys()].filter((path) => path.endsWith('.cu'))).toHaveLength(1);
    await expect(write(`${kernel.source} `)).rejects.toThrow(`internal: two kernels are called ${name}`);
  });
});

describe('compiling a text encoder that stands alone', () => {
  it('needs the hidden states to join', async () => {
    const path = join(root, 'never');
    for (const options of [[], ['--component', 'text_encoder']]) {
      const line = ['compile', 'test/golden/text-encoder-tiny', '-o', path, ...options];
      const { exitCode, stderr } = await runCommandLine(line);
      expect(exitCode).toBe(1);
      expect(stderr).toMatch(/error F2C618: .*which of its hidden states to join[^]*expected --layers/);
    }
    expect(readdirSync(root)).not.toContain('never');
  });
});

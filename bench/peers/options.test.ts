import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { codeOf } from '../../test/code-of.js';
import { contestants, findContestant } from './contestants.js';
import { chooseContestants, chooseWorks, peersCommand, type PeersOptions } from './options.js';
import { printWork, standardWorks } from './works.js';

function parse(...given: readonly string[]): PeersOptions {
  let options: PeersOptions | undefined;
  const command = peersCommand().action((parsed: PeersOptions) => void (options = parsed));
  command.parse(given, { from: 'user' });
  return options ?? expect.fail('the command did not run');
}

describe('the command line', () => {
  it('measures everything by default', () => {
    const options = parse();
    expect(chooseWorks(options)).toBe(standardWorks);
    const inFull = contestants.filter(({ numbers, kind }) => numbers === 'f32' && kind !== 'cuda');
    expect(chooseContestants(options)).toEqual(inFull);
  });

  it('takes shapes of several kinds', () => {
    const options = parse('--product', '3x5x7', '--convolution', '3x5@9', '--product', '1x2x3');
    expect(chooseWorks(options).map(({ kind }) => kind)).toEqual(['product', 'product', 'convolution']);
  });

  it('takes parts of the stacks', () => {
    const ids = (...given: readonly string[]): readonly string[] =>
      chooseContestants(parse(...given)).map(({ id }) => id);
    expect(ids('--stack', 'jax', '--no-processor')).toEqual(['jax-js:webgpu']);
    expect(ids('--stack', 'wasm:2', '--stack', 'node:native:2')).toEqual([
      'flux2c:wasm:2',
      'jax-js:wasm:2',
      'onnxruntime-web:wasm:2',
      'onnxruntime-web:wasm:2:fused',
      'onnxruntime-node:native:2',
    ]);
    expect(codeOf(() => ids('--stack', 'jax:native'))).toBe('F2C703');
    expect(ids('--numbers', 'f16', '--stack', 'js', '--stack', 'flux2c', '--cuda')).toEqual([
      'flux2c:webgpu:f16',
      'jax-js:webgpu:f16',
      'flux2c:cuda:f16',
      'flux2c:webgpu',
      'jax-js:webgpu',
      'flux2c:cuda',
    ]);
  });

  it('takes named shapes, each shape once', () => {
    const options = parse('--shapes', 'klein-4b@512', '--shapes', 'klein-4b@1024', '--product', '8192x8192x8192');
    const works = chooseWorks(options).map(printWork);
    expect(works).toHaveLength(13);
    expect(works).toContain('product 1536x3072x27648');
    expect(works).toContain('transformer 24x128,1+1,4096+512');
    expect(codeOf(() => parse('--shapes', 'klein-9b@512'))).toBe('F2C702');
  });
});

describe('contestants', () => {
  it('have names of their own, which their processes find them by', () => {
    expect(new Set(contestants.map(({ id }) => id)).size).toBe(contestants.length);
    for (const contestant of contestants) expect(findContestant(contestant.id)).toBe(contestant);
  });
});

describe('the packages of the peers', () => {
  const read = (name: string): string => readFileSync(new URL(name, import.meta.url), 'utf8');

  it('are pinned, and their lock file says what but not from where', () => {
    const { dependencies } = JSON.parse(read('package.json')) as { dependencies: Record<string, string> };
    const lock = JSON.parse(read('package-lock.json')) as { packages: Record<string, Record<string, unknown>> };
    for (const [name, version] of Object.entries(dependencies)) {
      expect(lock.packages[`node_modules/${name}`]?.version).toBe(version);
    }
    const entries = Object.entries(lock.packages).filter(([path]) => path !== '');
    expect(entries.filter(([, entry]) => 'resolved' in entry || !('integrity' in entry))).toEqual([]);
  });
});

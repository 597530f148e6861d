import { describe, expect, it } from 'vitest';
import { resolveGuidance } from './guidance.js';
import { samplingDefaults, type GuidanceKind } from './variants.js';

function resolve(kind: GuidanceKind, request: { guidance?: number; cfgScale?: number }) {
  const pipeline = { distilled: kind === 'none', sampling: samplingDefaults(kind) };
  return resolveGuidance(request, { guidanceEmbeds: kind === 'embedded' }, pipeline);
}

describe('resolveGuidance', () => {
  it.each([
    ['embedded', {}, 4, undefined],
    ['embedded', { guidance: 2.5 }, 2.5, undefined],
    ['embedded', { guidance: 2.5, cfgScale: 3 }, 2.5, 3],
    ['embedded', { cfgScale: 1 }, 4, undefined],
    ['classifier-free', {}, undefined, 4],
    ['classifier-free', { guidance: 3.5 }, undefined, 3.5],
    ['classifier-free', { guidance: 1 }, undefined, undefined],
    ['classifier-free', { guidance: 0.5 }, undefined, undefined],
    ['classifier-free', { cfgScale: 2 }, undefined, 2],
    ['none', {}, undefined, undefined],
    ['none', { cfgScale: 2 }, undefined, 2],
  ] as const)('%s %o', (kind, request, embedded, cfgScale) => {
    expect(resolve(kind, request)).toEqual({ embedded, cfgScale, notices: [] });
  });

  it('says when a distilled model ignores the scale', () => {
    expect(resolve('none', { guidance: 4 }).notices).toHaveLength(1);
  });

  it('refuses contradictions and numbers that are no scales', () => {
    expect(() => resolve('classifier-free', { guidance: 3, cfgScale: 2 })).toThrow(/two different scales/);
    for (const cfgScale of [-1, NaN, Infinity]) expect(() => resolve('none', { cfgScale })).toThrow(/not a scale/);
  });
});

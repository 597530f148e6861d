import { describe, expect, it } from 'vitest';
import { portableWebgpu } from '../../backends/target.js';
import { createModule } from '../../frontend/index.js';
import { addDenoise } from '../../models/flux2/denoise.js';
import { variants } from '../../models/flux2/variants.js';
import { compileModule } from '../../passes/compile.js';
import { findLifetimes } from './liveness.js';
import { planLifetimes } from './plan-lifetimes.js';
import { SizeScope, sizeSteps } from './size-plan.js';

describe('planLifetimes', () => {
  const module = createModule();
  const { transformer } = variants['klein-4b'];
  addDenoise(module, transformer, { guidance: transformer.guidanceEmbeds, cfg: true, references: true }, () => 'bf16');
  const plan = compileModule(module.build(), portableWebgpu, { print: () => '' }).plans.get('denoise_cfg')!;
  const lifetimes = planLifetimes(plan);
  const known = (sizes: Readonly<Record<string, number>>) => {
    const kept = new Set(plan.results.map(({ storage }) => storage));
    return findLifetimes(sizeSteps(plan.steps, new SizeScope(sizes)), kept);
  };

  it('are those of sizes at which every step does something', () => {
    expect(lifetimes).toEqual(known({ batch: 1, img: 64, txt: 16, ref: 8, steps: 3 }).lifetimes);
    expect(lifetimes.size).toBeGreaterThan(300);
  });

  it('keep apart what lives at once at sizes that leave steps out', () => {
    const { lifetimes: fewer } = known({ batch: 1, img: 64, txt: 16, ref: 0, steps: 3 });
    expect(fewer.size).toBeLessThanOrEqual(lifetimes.size);
    const all = [...fewer];
    for (const [a, one] of all) {
      for (const [b, other] of all) {
        if (one.first > other.last || other.first > one.last) continue;
        const [wide, wider] = [lifetimes.get(a)!, lifetimes.get(b)!];
        expect(wide.first <= wider.last && wider.first <= wide.last).toBe(true);
      }
    }
  });
});

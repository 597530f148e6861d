import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  accessMap,
  binding,
  copy,
  launch,
  loop,
  plan,
  roomyTarget,
  signature,
  storage,
  value,
} from '../test/plan-samples.js';
import type { PlanStep, Storage } from '../ir/plan.js';
import { instantiatePlan } from './instantiate.js';
import { flattenSteps } from './plan/bound-plan.js';
import type { BoundPlan, PlannedLaunch } from './plan/bound-plan.js';
import { verifyBoundPlan } from './plan/verify-bound-plan.js';

const kernels = new Map(
  [
    signature('map', ['read', 'write']),
    signature('join', ['read', 'read', 'write']),
    signature('step', ['read', 'write'], ['step']),
    signature('update', ['read', 'read_write']),
    signature('linear', ['read', 'read', 'write'], [], accessMap(['k', '64*x+k', 'x'], { k: 64 })),
    signature('block', ['read', 'read', 'write'], [], accessMap(['6144*y+k', 'k', '6144*y+x'], { k: 6144 })),
  ].map((kernel) => [kernel.name, kernel]),
);

function map(label: string, from: number, to: number, size: number | string): PlanStep {
  return launch(label, 'map', [binding(from, 'read', size), binding(to, 'write', size)], [[size, 64]]);
}

function launchesOf(bound: BoundPlan): readonly PlannedLaunch[] {
  return [...flattenSteps(bound.steps)].filter((step) => step.kind === 'launch');
}

describe('instantiatePlan', () => {
  it('evaluates sizes and reuses the places of temporaries', () => {
    const chain = plan(
      [
        storage(0, 'input', 'img'),
        ...[1, 2, 3, 4].map((id) => storage(id, 'temporary', '2*img')),
        storage(5, 'result', 'img'),
      ],
      [0, 1, 2, 3, 4].map((from) => map(`map ${from}`, from, from + 1, 'img')),
      { inputs: [value('x', 0, ['img'])], results: [value('y', 5, ['img'])] },
    );
    const bound = instantiatePlan(chain, { img: 1000 }, roomyTarget, kernels);
    verifyBoundPlan(bound);
    expect(bound.memory.arenas).toEqual([8000, 8000]);
    expect(bound.memory).toMatchObject({ lowerBoundBytes: 16000, boundaryBytes: 8000, weightBytes: 0 });
    expect(launchesOf(bound).map(({ workgroups }) => workgroups)).toEqual(Array(5).fill([16, 1, 1]));
    expect(instantiatePlan(chain, { img: 100 }, roomyTarget, kernels).memory.arenaBytes).toBe(1600);
  });

  it('drops launches, copies and loops that do nothing', () => {
    const some = plan(
      [storage(0, 'input', 'img'), storage(1, 'temporary', 'ref'), storage(2, 'result', 'img')],
      [
        map('empty', 1, 1, 'ref'),
        copy(0, 1, 'ref'),
        loop('i', 'ref', [map('inside', 0, 2, 8)]),
        map('full', 0, 2, 'img'),
      ],
      { results: [value('y', 2, ['img'])] },
    );
    const bound = instantiatePlan(some, { img: 8, ref: 0 }, roomyTarget, kernels);
    expect(launchesOf(bound).map(({ label }) => label)).toEqual(['full']);
    expect(bound.placements[1]).toBeUndefined();
    verifyBoundPlan(bound);
  });

  it('binds something where a launch reads a tensor without elements', () => {
    const join = launch(
      'join',
      'join',
      [binding(0, 'read', 'img'), binding(1, 'read', 'ref'), binding(2, 'write', 'img+ref')],
      [['img+ref', 64]],
    );
    const some = plan(
      [storage(0, 'input', 'img'), storage(1, 'temporary', 'ref'), storage(2, 'result', 'img+ref')],
      [map('empty', 0, 1, 'ref'), join],
      { results: [value('y', 2, ['img+ref'])] },
    );
    const bound = instantiatePlan(some, { img: 8, ref: 0 }, roomyTarget, kernels);
    verifyBoundPlan(bound);
    expect(launchesOf(bound)[0]?.bindings[1]?.byteLength).toBe(16);
  });

  it('keeps what a loop carries through the loop, and shares the rest between iterations', () => {
    const body = [
      map('forward', 1, 2, 64),
      launch('scaled', 'step', [binding(2, 'read', 64, '64*i'), binding(3, 'write', 64)], [[64, 64]], {
        step: 'i',
      }),
      copy(3, 1, 64),
    ];
    const storages = [
      storage(0, 'input', 64),
      storage(1, 'temporary', 64),
      storage(2, 'temporary', 4096),
      storage(3, 'temporary', 64),
      storage(4, 'result', 64),
      storage(5, 'temporary', 64),
    ];
    const steps = [
      copy(0, 1, 64),
      map('before', 0, 5, 64),
      loop('i', 'n', body, [value('x', 1, [64])]),
      map('after', 1, 4, 64),
    ];
    const looped = plan(storages, steps, { results: [value('y', 4, [64])] });
    const bound = instantiatePlan(looped, { n: 3 }, roomyTarget, kernels);
    verifyBoundPlan(bound);
    const inner = bound.steps.find((step) => step.kind === 'loop');
    const [first, second] = [inner?.iteration(0), inner?.iteration(1)];
    expect(second?.[0]).toBe(first?.[0]);
    expect(second?.[1]).not.toBe(first?.[1]);
    expect(second?.[2]).toBe(first?.[2]);
    const scaled = launchesOf(bound).filter(({ label }) => label === 'scaled');
    expect(scaled.map(({ parameters }) => parameters.at(-1))).toEqual([0, 1, 2]);
    expect(scaled.map(({ bindings }) => bindings[0]?.byteOffset)).toEqual(
      [0, 256, 512].map((offset) => offset + (bound.placements[2]?.segments[0]?.byteOffset ?? 0)),
    );
  });

  it('records the same iteration once when nothing depends on the symbol', () => {
    const looped = plan(
      [storage(0, 'input', 64), storage(1, 'temporary', 64)],
      [
        copy(0, 1, 64),
        loop('i', 50, [launch('update', 'update', [binding(0, 'read', 64), binding(1, 'read_write', 64)], [[64, 64]])]),
      ],
    );
    const bound = instantiatePlan(looped, {}, roomyTarget, kernels);
    const inner = bound.steps.find((step) => step.kind === 'loop');
    expect(inner).toMatchObject({ count: 50, isUniform: true });
    expect(inner?.iteration(7)).toBe(inner?.iteration(0));
    verifyBoundPlan(bound);
  });

  it('divides weights that are larger than a buffer and cuts their launches', () => {
    const weight = { ...storage(1, 'weight', 4096 * 64), label: 'w', weight: 'w' };
    const step = launch(
      'linear',
      'linear',
      [binding(0, 'read', 64), binding(1, 'read', 4096 * 64), binding(2, 'write', 4096)],
      [[4096, 32]],
    );
    const declared = {
      name: 'w',
      type: { dtype: 'f32', shape: value('w', 1, [4096, 64]).shape },
      source: { kind: 'tensor', tensor: 'w' },
    } as const;
    const some = plan([storage(0, 'input', 64), weight, storage(2, 'result', 4096)], [step], {
      weights: [declared],
      results: [value('y', 2, [4096])],
    });
    const target = { ...roomyTarget, maxBufferBytes: 300_000, maxBindingBytes: 300_000 };
    const bound = instantiatePlan(some, {}, target, kernels);
    verifyBoundPlan(bound);
    const parts = bound.buffers.filter(({ kind }) => kind === 'weight');
    expect(parts.map(({ byteLength }) => byteLength)).toEqual([262144, 262144, 262144, 262144]);
    expect(bound.memory.weightBytes).toBe(4096 * 64 * 4);
    expect(launchesOf(bound).map(({ workgroups }) => workgroups[0])).toEqual([32, 32, 32, 32]);
  });

  it('says which tensor is too large, and what to do', () => {
    const some = plan(
      [storage(0, 'input', 64), storage(1, 'temporary', 'img*img', 'f32', 'scores')],
      [map('scores', 0, 1, 'img')],
    );
    const target = { ...roomyTarget, maxBufferBytes: 2 ** 20 };
    expect(() => instantiatePlan(some, { img: 1024 }, target, kernels)).toThrow(
      expect.objectContaining({
        code: 'F2C311',
        detail: expect.objectContaining({ where: ['sample', 'scores'], found: '4194304 bytes' }),
      }),
    );
  });

  it('names a size that is missing', () => {
    const some = plan([storage(0, 'input', 'img'), storage(1, 'result', 'img')], [map('m', 0, 1, 'img')]);
    expect(() => instantiatePlan(some, {}, roomyTarget, kernels)).toThrow("'img'");
  });

  it('makes sound plans of random programs under tight limits', () => {
    let cut = 0;
    let total = 0;
    let least = 0;
    let together = 0;
    fc.assert(
      fc.property(randomProgram, fc.constantFrom(16, 64, 256), ({ storages, steps, result }, bindingAlignment) => {
        const program = plan(storages, steps, { results: [value('y', result, [64])] });
        const target = { ...roomyTarget, maxBufferBytes: 8192, maxBindingBytes: 1024, bindingAlignment };
        const bound = instantiatePlan(program, { n: 3 }, target, kernels);
        verifyBoundPlan(bound);
        if (launchesOf(bound).some(({ parameters }) => parameters[0] !== 0)) cut++;
        total += bound.memory.arenaBytes;
        least += bound.memory.lowerBoundBytes;
        const mixed = instantiatePlan(program, { n: 3 }, { ...target, mixedAccess: true }, kernels);
        verifyBoundPlan(mixed);
        together += mixed.memory.arenaBytes;
      }),
      { numRuns: 200 },
    );
    expect(cut).toBeGreaterThan(20);
    expect(total / least).toBeLessThan(1.5);
    expect(together / least).toBeLessThan(1.1);
  });

  it('binds anew only what changes between iterations of a plan as long as the largest model has', () => {
    const storages: Storage[] = [storage(0, 'input', '6144*img'), storage(1, 'temporary', '6144*n')];
    const block = Array.from({ length: 600 }, (_, index): PlanStep => {
      const id = storages.push(storage(index + 2, 'temporary', `${6144 * (1 + (index % 4))}*img`)) - 1;
      const span = `6144*img`;
      return launch(
        `launch ${index}`,
        'block',
        [
          binding(index === 0 ? 0 : id - 1, 'read', span),
          // Every other launch reads its step's row of a table.
          binding(1, 'read', 6144, index % 2 === 0 ? '6144*i' : 0),
          binding(id, 'write', span),
        ],
        [
          [6144, 64],
          ['img', 64],
        ],
      );
    });
    const rows = launch(
      'rows',
      'map',
      [binding(0, 'read', '6144*img'), binding(1, 'write', '6144*n')],
      [['6144*n', 64]],
    );
    const long = plan(storages, [rows, loop('i', 'n', block)]);
    const target = { ...roomyTarget, maxBufferBytes: 2 ** 32, maxBindingBytes: 2 ** 31 };
    const bound = instantiatePlan(long, { img: 4096, n: 50 }, target, kernels);
    verifyBoundPlan(bound);
    const [, steps] = bound.steps;
    if (steps?.kind !== 'loop') throw new Error('the plan has a loop');
    const [first, last] = [steps.iteration(0), steps.iteration(49)];
    // Only launches that read a row of their step are bound anew: the others are the same objects.
    expect(last).toHaveLength(600);
    expect(last.filter((step, index) => step === first[index])).toHaveLength(300);
  });
});

describe('verifyBoundPlan', () => {
  const chain = plan(
    [storage(0, 'input', 64), storage(1, 'temporary', 64), storage(2, 'temporary', 64), storage(3, 'result', 64)],
    [
      map('a', 0, 1, 64),
      map('b', 0, 2, 64),
      launch('c', 'join', [binding(1, 'read', 64), binding(2, 'read', 64), binding(3, 'write', 64)], [[64, 64]]),
    ],
    { results: [value('y', 3, [64])] },
  );
  const good = instantiatePlan(chain, {}, roomyTarget, kernels);

  function expectRefusal(bound: BoundPlan, expected: string): void {
    expect(() => verifyBoundPlan(bound)).toThrow(
      expect.objectContaining({
        code: 'F2C315',
        detail: expect.objectContaining({ expected: expect.stringContaining(expected) }),
      }),
    );
  }

  function withLaunch(index: number, change: (launch: PlannedLaunch) => Partial<PlannedLaunch>): BoundPlan {
    const steps = good.steps.map((step, at) =>
      at === index && step.kind === 'launch' ? { ...step, ...change(step) } : step,
    );
    return { ...good, steps };
  }

  it('accepts what instantiation makes', () => {
    expect(() => verifyBoundPlan(good)).not.toThrow();
  });

  it('refuses live storages in one place', () => {
    const placements = [...good.placements];
    placements[2] = placements[1];
    const steps = good.steps.map((step) =>
      step.kind !== 'launch'
        ? step
        : { ...step, bindings: step.bindings.map((one) => (one.storage === 2 ? { ...one, byteOffset: 0 } : one)) },
    );
    expectRefusal({ ...good, placements, steps }, 'written before');
  });

  it('refuses reading what was never written', () => {
    expectRefusal({ ...good, steps: good.steps.slice(1) }, 'written before');
  });

  it('refuses windows that leave their storage, are misaligned or too large', () => {
    const move = (change: object): BoundPlan =>
      withLaunch(0, ({ bindings }) => ({ bindings: bindings.map((one) => ({ ...one, ...change })) }));
    expectRefusal(move({ byteLength: 272 }), 'inside of its storage');
    expectRefusal(move({ byteOffset: 16, byteLength: 16 }), 'multiple of 256');
    expectRefusal({ ...good, target: { ...roomyTarget, maxBindingBytes: 128 } }, 'at most 128 bytes');
    expectRefusal(
      withLaunch(0, () => ({ workgroups: [1, 0, 1] })),
      'workgroups',
    );
  });

  it('refuses a buffer that one launch reads and writes', () => {
    const bound = instantiatePlan(
      plan(
        [storage(0, 'result', 256)],
        [launch('shift', 'map', [binding(0, 'read', 64, 64), binding(0, 'write', 64)], [[64, 64]])],
      ),
      {},
      roomyTarget,
      kernels,
    );
    expectRefusal(
      { ...bound, plan: { ...bound.plan, storages: [storage(0, 'input', 256)] } },
      'only read or only written',
    );
  });

  describe('where a launch may read and write one buffer', () => {
    const mixing = { ...roomyTarget, mixedAccess: true };
    const one = instantiatePlan(chain, {}, mixing, kernels);

    it('accepts other places of it', () => {
      const copied = plan(
        [storage(0, 'input', 64), storage(1, 'temporary', 64), storage(2, 'temporary', 64), storage(3, 'result', 64)],
        [map('a', 0, 1, 64), copy(1, 2, 64), map('c', 2, 3, 64)],
        { results: [value('y', 3, [64])] },
      );
      const bound = instantiatePlan(copied, {}, mixing, kernels);
      expect(bound.memory.arenas).toEqual([512]);
      expect(one.memory.arenas).toEqual([512]);
      for (const sound of [bound, one]) expect(() => verifyBoundPlan(sound)).not.toThrow();
      const step = bound.steps[1];
      if (step?.kind !== 'copy') throw new Error('a copy');
      const near = { ...step, to: { ...step.to, byteOffset: step.from.byteOffset } };
      expectRefusal({ ...bound, steps: [bound.steps[0]!, near, bound.steps[2]!] }, 'disjoint windows');
    });

    it('refuses the same place', () => {
      const shifted = plan(
        [storage(0, 'result', 256)],
        [launch('shift', 'map', [binding(0, 'read', 64, 32), binding(0, 'write', 64)], [[64, 64]])],
      );
      const bound = instantiatePlan(shifted, {}, { ...mixing, bindingAlignment: 64 }, kernels);
      const given = { ...bound.plan, storages: [storage(0, 'input', 256)] };
      expectRefusal({ ...bound, plan: given }, 'disjoint where one is written');
    });
  });
});

/** A program of maps, joins and copies over storages of several sizes, with a loop that carries one of them. */
const randomProgram = fc
  .record({
    sizes: fc.array(fc.constantFrom(16, 64, 300, 700), { minLength: 4, maxLength: 12 }),
    picks: fc.array(fc.tuple(fc.constantFrom('map', 'join', 'copy', 'update'), fc.nat(), fc.nat(), fc.nat()), {
      minLength: 3,
      maxLength: 25,
    }),
    loopStart: fc.nat(24),
    loopLength: fc.nat(12),
  })
  .map(({ sizes, picks, loopStart, loopLength }) => {
    const storages: Storage[] = [storage(0, 'input', 64)];
    for (const size of sizes) storages.push(storage(storages.length, 'temporary', size));
    const sizeOf = (id: number): number => storages[id]?.size.constant ?? 0;
    const written = [0];
    const makeStep = ([kind, a, b, c]: (typeof picks)[number], readable: number[]): PlanStep | undefined => {
      const from = readable[a % readable.length] as number;
      const other = readable[b % readable.length] as number;
      const to = 1 + (c % sizes.length);
      if (to === from || to === other) return undefined;
      const amount = (id: number): number => Math.min(sizeOf(id), sizeOf(to), 200);
      const read = (id: number): ReturnType<typeof binding> => binding(id, 'read', amount(id));
      const grid = [[sizeOf(to), 16]] as const;
      if (kind === 'update' && !readable.includes(to)) return undefined;
      readable.push(to);
      switch (kind) {
        case 'map':
          return launch('map', 'map', [read(from), binding(to, 'write', sizeOf(to))], grid);
        case 'join':
          return launch('join', 'join', [read(from), read(other), binding(to, 'write', sizeOf(to))], grid);
        case 'update':
          return launch('update', 'update', [read(from), binding(to, 'read_write', sizeOf(to))], grid);
        case 'copy':
          return copy(from, to, amount(from));
      }
    };
    const before = picks.slice(0, loopStart).flatMap((pick) => makeStep(pick, written) ?? []);
    const inside = picks.slice(loopStart, loopStart + loopLength).flatMap((pick) => makeStep(pick, written) ?? []);
    const after = picks.slice(loopStart + loopLength).flatMap((pick) => makeStep(pick, written) ?? []);
    const result = storages.length;
    storages.push(storage(result, 'result', 64));
    const last = written.at(-1) as number;
    const final = launch(
      'result',
      'map',
      [binding(last, 'read', Math.min(64, sizeOf(last))), binding(result, 'write', 64)],
      [[64, 16]],
    );
    const steps: PlanStep[] = [...before, loop('i', 'n', inside), ...after, final];
    return { storages, steps, result };
  });

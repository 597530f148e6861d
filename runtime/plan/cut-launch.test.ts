import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { accessMap, binding, launch, roomyTarget, signature, storage } from '../../test/plan-samples.js';
import type { Storage } from '../../ir/plan.js';
import type { Target } from '../../backends/target.js';
import { AccessWindows } from './access-windows.js';
import type { LoadableKernel, Placement, PlannedLaunch } from './bound-plan.js';
import { cutLaunch } from './cut-launch.js';
import { SizeScope, sizeSteps } from './size-plan.js';
import type { SizedLaunch } from './size-plan.js';

function size(step: ReturnType<typeof launch>): SizedLaunch {
  return sizeSteps([step], new SizeScope({}))[0] as SizedLaunch;
}

/** Each storage alone in a buffer of its own id. */
function alone(storages: readonly Storage[]): readonly Placement[] {
  return storages.map(({ id, size: elements }) => {
    const end = elements.evaluate({});
    return { elementBytes: 4, segments: [{ buffer: id, byteOffset: 0, byteLength: 4 * end, start: 0, end }] };
  });
}

function parameter(piece: PlannedLaunch, kernel: ReturnType<typeof signature>, name: string): number {
  return piece.parameters[kernel.thread.parameters.indexOf(name)] as number;
}

const product = signature(
  'product',
  ['read', 'read', 'write'],
  ['tokens'],
  accessMap(['256*y+k', '256*x+k', '1024*y+x'], { k: 256 }),
);

/** Cuts a launch of a kernel whose storages lie alone. */
function cut(
  step: ReturnType<typeof launch>,
  kernel: LoadableKernel,
  target: Target,
  storages: readonly Storage[],
  placements = alone(storages),
): readonly PlannedLaunch[] {
  const sized = size(step);
  const windows = new AccessWindows(kernel.accesses, sized.parameters);
  return cutLaunch(sized, kernel.thread, windows, { target, storages, placements });
}

/** x[m, k] · w[n, k] -> out[m, n] with n along x and m along y. */
function linear(m: number, n: number, k: number): ReturnType<typeof launch> {
  return launch(
    'single.0.linear1',
    'product',
    [binding(0, 'read', m * k), binding(1, 'read', n * k), binding(2, 'write', m * n)],
    [
      [n, 32],
      [m, 16],
    ],
    { tokens: m },
  );
}

describe('cutLaunch', () => {
  const storages = [storage(0, 'input', 64 * 256), storage(1, 'weight', 1024 * 256), storage(2, 'result', 64 * 1024)];

  it('tells each piece how many tiles it has', () => {
    const tiles = ['tiles_x', 'tiles_y', 'tiles_z'];
    const walking = signature('product', ['read', 'read', 'write'], [...tiles, 'tokens'], product.accesses);
    const target = { ...roomyTarget, maxWorkgroupsPerDimension: 11 };
    const pieces = cut(linear(64, 1024, 256), walking, target, storages);
    const counts = pieces.map((piece) => tiles.map((name) => parameter(piece, walking, name)));
    expect(counts).toEqual([
      [11, 4, 1],
      [10, 4, 1],
      [11, 4, 1],
    ]);
    expect(pieces.map(({ workgroups }) => workgroups)).toEqual(counts);
  });

  it('refuses more tiles than a number of 32 bits counts where workgroups walk over them', () => {
    const tiles = ['tiles_x', 'tiles_y', 'tiles_z'];
    const all = signature('product', ['read', 'read', 'write'], [...tiles, 'tokens'], accessMap(['k', 'k', 'k'], { k: 8 })); // prettier-ignore
    const walking = { ...all, thread: { ...all.thread, walksTiles: true } };
    const step = (m: number) => ({ ...linear(8, 8, 8), grid: launch('', '', [], [[32 * 65535, 32], [16 * m, 16]]).grid }); // prettier-ignore
    expect(cut(step(32768), walking, roomyTarget, storages)).toHaveLength(1);
    expect(cut(step(32769), all, roomyTarget, storages)).toHaveLength(1);
    expect(() => cut(step(32769), walking, roomyTarget, storages)).toThrow(
      expect.objectContaining({ code: 'F2C313' }) as Error,
    );
  });

  it('leaves a launch that fits whole', () => {
    const pieces = cut(linear(64, 1024, 256), product, roomyTarget, storages);
    expect(pieces).toHaveLength(1);
    expect(pieces[0]?.workgroups).toEqual([32, 4, 1]);
    expect([...(pieces[0]?.parameters ?? [])]).toEqual([0, 0, 0, 0, 0, 0, 64]);
  });

  it('cuts along the axis of the window that is too large, in equal pieces', () => {
    // The weight is 1 MiB: three pieces of at most 400,000 bytes. The result is cut along with it.
    const target = { ...roomyTarget, maxBindingBytes: 400_000 };
    const pieces = cut(linear(64, 1024, 256), product, target, storages);
    expect(pieces.map(({ workgroups }) => workgroups)).toEqual([
      [11, 4, 1],
      [10, 4, 1],
      [11, 4, 1],
    ]);
    expect(pieces.map((piece) => parameter(piece, product, 'origin_x'))).toEqual([0, 11, 21]);
    const starts = pieces.map((piece) => piece.bindings[1]?.byteOffset);
    expect(starts).toEqual([0, 11 * 32 * 1024, 21 * 32 * 1024]);
    expect(pieces.map((piece) => parameter(piece, product, 'b1_base'))).toEqual([0, -11 * 32 * 256, -21 * 32 * 256]);
    expect(pieces.reduce((sum, piece) => sum + piece.flop, 0)).toBeCloseTo(1000);
  });

  it('cuts two axes when no single one cures everything', () => {
    const target = { ...roomyTarget, maxBindingBytes: 70_000 };
    const pieces = cut(linear(64, 1024, 256), product, target, storages);
    expect(new Set(pieces.map((piece) => parameter(piece, product, 'origin_y'))).size).toBe(4);
    expect(new Set(pieces.map((piece) => parameter(piece, product, 'origin_x'))).size).toBe(16);
    expect(pieces.reduce((sum, { workgroups: [x, y] }) => sum + x * y, 0)).toBe(32 * 4);
    for (const piece of pieces)
      for (const { byteLength } of piece.bindings) expect(byteLength).toBeLessThanOrEqual(70_000);
  });

  it('cuts at workgroup limits', () => {
    const target = { ...roomyTarget, maxWorkgroupsPerDimension: 20 };
    const pieces = cut(linear(64, 1024, 256), product, target, storages);
    expect(pieces.map(({ workgroups }) => workgroups)).toEqual([
      [16, 4, 1],
      [16, 4, 1],
    ]);
  });

  it('cuts where a divided weight ends', () => {
    const placements = [...alone(storages)];
    const half = 512 * 256;
    placements[1] = {
      elementBytes: 4,
      segments: [
        { buffer: 1, byteOffset: 0, byteLength: 4 * half, start: 0, end: half },
        { buffer: 3, byteOffset: 0, byteLength: 4 * half, start: half, end: 2 * half },
      ],
    };
    const pieces = cut(linear(64, 1024, 256), product, roomyTarget, storages, placements);
    expect(pieces.map(({ bindings }) => [bindings[1]?.buffer, bindings[1]?.byteOffset])).toEqual([
      [1, 0],
      [3, 0],
    ]);
    expect(pieces.map((piece) => parameter(piece, product, 'b1_base'))).toEqual([0, -half]);
  });

  it('names launch, storage and bytes when nothing helps', () => {
    const target = { ...roomyTarget, maxBindingBytes: 4096 };
    expect(() => cut(linear(64, 1024, 256), product, target, storages)).toThrow(
      expect.objectContaining({
        code: 'F2C312',
        detail: expect.objectContaining({ where: ['single.0.linear1', 's0'], found: '16384 bytes' }),
      }),
    );
  });

  it('refuses indices beyond 32 bits', () => {
    const large = [storage(0, 'input', 2 ** 31 + 8), storage(1, 'result', 16)];
    const step = launch('sum', 'sum', [binding(0, 'read', 2 ** 31 + 8), binding(1, 'write', 16)], [[16, 16]]);
    const target = { ...roomyTarget, maxBindingBytes: 2 ** 40 };
    expect(() => cut(step, signature('sum', ['read', 'write']), target, large)).toThrow(
      expect.objectContaining({ code: 'F2C313' }),
    );
  });

  it('keeps every touched element in its window, at its index', () => {
    const axis = fc.record({ extent: fc.integer({ min: 1, max: 40 }), tile: fc.constantFrom(1, 4, 8) });
    const access = fc.record({
      motion: fc.tuple(...[0, 1, 2].map(() => fc.integer({ min: 0, max: 12 }))),
      width: fc.integer({ min: 1, max: 30 }),
      offset: fc.integer({ min: 0, max: 100 }),
      after: fc.integer({ min: 0, max: 9 }),
    });
    const limits = fc.record({
      maxBindingBytes: fc.integer({ min: 64, max: 4096 }),
      maxWorkgroupsPerDimension: fc.integer({ min: 1, max: 20 }),
      bindingAlignment: fc.constantFrom(4, 16, 32, 256),
    });
    let divided = 0;
    let refused = 0;
    fc.assert(
      fc.property(
        fc.tuple(axis, axis, axis),
        fc.array(access, { minLength: 1, maxLength: 3 }),
        limits,
        (grid, list, some) => {
          const spans = list.map(({ motion, width }) =>
            motion.reduce((sum: number, step, at) => sum + step * ((grid[at]?.extent ?? 1) - 1), width),
          );
          const step = launch(
            'some',
            'some',
            list.map(({ offset }, at) => binding(at, 'write', spans[at] ?? 0, offset)),
            grid.map(({ extent, tile }) => [extent, tile] as const),
          );
          const all = list.map(({ offset, after }, at) => storage(at, 'result', offset + (spans[at] ?? 0) + after));
          const target: Target = { ...roomyTarget, ...some };
          const kernel = signature(
            'some',
            list.map(() => 'write' as const),
            [],
            accessMap(
              list.map(({ motion: [x, y, z] }, at) => `${x}*x+${y}*y+${z}*z+w${at}`),
              Object.fromEntries(list.map(({ width }, at) => [`w${at}`, width])),
            ),
          );
          let pieces: readonly PlannedLaunch[];
          try {
            pieces = cut(step, kernel, target, all);
          } catch (error) {
            expect(error).toMatchObject({ code: 'F2C312' });
            refused++;
            return;
          }
          if (pieces.length > 1) divided++;
          const visits = new Map<string, number>();
          for (const piece of pieces) {
            const origin = ['x', 'y', 'z'].map((letter) => parameter(piece, kernel, `origin_${letter}`));
            forEachCoordinate(piece.workgroups, (group) => {
              const tile = group.map((at, index) => at + (origin[index] ?? 0));
              visits.set(tile.join(), (visits.get(tile.join()) ?? 0) + 1);
              list.forEach(({ motion, width, offset }, at) => {
                const window = piece.bindings[at];
                if (window === undefined) throw new Error('a binding is missing');
                const isAllowed =
                  window.byteOffset % some.bindingAlignment === 0 && window.byteLength <= some.maxBindingBytes;
                if (!isAllowed) throw new Error(`window ${JSON.stringify(window)}`);
                const base = parameter(piece, kernel, `b${at}_base`);
                for (const corner of ['first', 'last'] as const) {
                  const coordinates = grid.map(({ extent, tile: length }, index) => {
                    const start = (tile[index] ?? 0) * length;
                    return corner === 'first' ? start : Math.min(extent, start + length) - 1;
                  });
                  const index =
                    motion.reduce((sum: number, by, place) => sum + by * (coordinates[place] ?? 0), 0) +
                    (corner === 'first' ? 0 : width - 1);
                  const inWindow = base + index;
                  const isInside = inWindow >= 0 && inWindow < window.byteLength / 4;
                  const isSame = window.byteOffset / 4 + inWindow === offset + index;
                  if (!isInside || !isSame) throw new Error(`element ${index} of b${at} lies at ${inWindow}`);
                }
              });
            });
          }
          const expected = grid.reduce((count, { extent, tile }) => count * Math.ceil(extent / tile), 1);
          expect(visits.size).toBe(expected);
          expect([...visits.values()].every((count) => count === 1)).toBe(true);
        },
      ),
      { numRuns: 300 },
    );
    expect(divided).toBeGreaterThan(30);
    expect(refused).toBeLessThan(200);
  });
});

function forEachCoordinate(counts: readonly [number, number, number], visit: (at: readonly number[]) => void): void {
  for (let z = 0; z < counts[2]; z++) {
    for (let y = 0; y < counts[1]; y++) for (let x = 0; x < counts[0]; x++) visit([x, y, z]);
  }
}

/** Where a host program puts temporaries: C++ of its header, compiled alone. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hostHeader, hostHeaderName } from '../../backends/cuda/host/host-header.js';
import { emulatorHeader } from '../../runtime/cuda/emulator/emulator-header.js';
import { hostShim } from '../../runtime/cuda/emulator/host-shim.js';
import { type ArenaRequest, measureLowerBound, placeInArenas } from '../../runtime/plan/arenas.js';
import { hasProgram } from '../cuda-tools.js';

const execute = promisify(execFile);
const root = mkdtempSync(join(tmpdir(), 'flux2c-host-placement-'));
afterAll(() => rmSync(root, { recursive: true }));
const isPossible = await hasProgram('g++', 'the placement of a host program');

/** Takes sets of bytes, first and last step; gives bytes of all and the offset of each. */
const program = `
#include "${hostHeaderName}"
#include <iostream>
int main() {
  for (size_t count; std::cin >> count;) {
    std::vector<flux2c::Request> requests(count);
    for (size_t at = 0; at < count; at++) {
      requests[at].storage = int(at);
      std::cin >> requests[at].bytes >> requests[at].first >> requests[at].last;
    }
    std::cout << flux2c::place_temporaries(requests);
    std::vector<long long> offsets(count);
    for (const flux2c::Request& request : requests) offsets[size_t(request.storage)] = request.offset;
    for (const long long offset : offsets) std::cout << ' ' << offset;
    std::cout << '\\n';
  }
}
`;

type Span = readonly [bytes: number, first: number, last: number];

async function place(sets: readonly (readonly Span[])[]): Promise<readonly (readonly number[])[]> {
  const text = sets.map((spans) => [spans.length, ...spans.flat()].join(' ')).join('\n');
  writeFileSync(join(root, 'spans'), text);
  const { stdout } = await execute('sh', ['-c', './placement < spans'], { cwd: root, maxBuffer: 2 ** 26 });
  return stdout
    .trim()
    .split('\n')
    .map((line) => line.split(' ').map(Number));
}

const requestsOf = (spans: readonly Span[]): readonly ArenaRequest[] =>
  spans.map(([byteLength, first, last], storage) => ({ storage, byteLength, first, last }));

describe.skipIf(!isPossible)('place_temporaries', () => {
  beforeAll(async () => {
    writeFileSync(join(root, 'cuda_runtime.h'), hostShim);
    writeFileSync(join(root, 'flux2c.cuh'), emulatorHeader);
    writeFileSync(join(root, hostHeaderName), hostHeader);
    writeFileSync(join(root, 'placement.cpp'), program);
    await execute('g++', ['-std=c++17', '-O1', '-march=native', '-w', '-I.', 'placement.cpp', '-o', 'placement'], {
      cwd: root,
    });
  }, 120_000);

  it('places anew what found no room', async () => {
    const kib = (bytes: number, first: number, last: number): Span => [bytes * 1024, first, last];
    const spans = [kib(1024, 0, 9), kib(512, 3, 4), kib(512, 4, 7), kib(256, 7, 8), kib(512, 8, 9), kib(512, 9, 17)];
    expect((await place([spans]))[0]![0]).toBe(2048 * 1024);
  });

  it('keeps apart what lives together, in as little memory as the runtime', async () => {
    const span = fc.tuple(fc.integer({ min: 1, max: 20 }), fc.nat(40), fc.nat(9));
    const spans = span.map(([blocks, first, length]): Span => [blocks * 256, first, first + length]);
    const sets = fc.sample(fc.array(spans, { minLength: 1, maxLength: 60 }), { numRuns: 100, seed: 1 });
    const placed = await place(sets);
    let [here, runtime, least] = [0, 0, 0];
    sets.forEach((set, index) => {
      const [bytes, ...offsets] = placed[index]!;
      set.forEach(([size, first, last], at) => {
        const start = offsets[at]!;
        expect(start % 256).toBe(0);
        expect(start + size).toBeLessThanOrEqual(bytes!);
        set.slice(at + 1).forEach(([otherSize, otherFirst, otherLast], distance) => {
          if (first > otherLast || otherFirst > last) return;
          const other = offsets[at + 1 + distance]!;
          expect(start + size <= other || other + otherSize <= start).toBe(true);
        });
      });
      const { arenas } = placeInArenas(requestsOf(set), new Map(), { alignment: 256, maxBytes: 2 ** 40 });
      here += bytes!;
      runtime += arenas.reduce((sum, each) => sum + each, 0);
      least += measureLowerBound(requestsOf(set));
    });
    expect(here).toBe(runtime);
    expect(here).toBeGreaterThanOrEqual(least);
  });
});

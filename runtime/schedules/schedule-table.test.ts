import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { cudaTarget } from '../../backends/cuda/cuda-target.js';
import { cpuTarget, portableWebgpu, type Target } from '../../backends/target.js';
import type { Schedule } from '../../ir/kernel/tile.js';
import { identifyAdapter } from './adapter.js';
import { openScheduleFolder } from './node/schedule-folder.js';
import { loadSchedules, readTable, tableName, writeTable } from './schedule-store.js';
import { decodeTable, encodeTable, type ScheduleTable, schedulesOf } from './schedule-table.js';

const folder = mkdtempSync(join(tmpdir(), 'flux2c-schedules-'));
afterAll(() => rmSync(folder, { recursive: true }));

const schedules: readonly Schedule[] = [
  {
    spread: {
      m: { threads: 1, registers: 16, vector: 1, dealtTo: 'n', rolled: true },
      n: { threads: 8, registers: 4, vector: 1 },
      k: { threads: 1, registers: 1, vector: 4, section: 64 },
    },
    threadOrder: ['n'],
    unroll: 2,
    dots: true,
    subgroupSize: 8,
  },
  {
    spread: { d: { threads: 1, registers: 4, vector: 4, walked: true }, j: { threads: 4, registers: 2, vector: 2, groups: 2, threadsOf: 'd' } },
    threadOrder: ['d', 'j.groups'],
    unroll: 1,
    columnsApart: true,
    lanesTogether: 2,
    subgroupSize: 32,
    matrix: { unit: 'wgmma', stages: 3, walk: { block: 5 } },
  },
]; // prettier-ignore

function tableFor(target: Target, compiler = '1.2.3', more = {}): ScheduleTable {
  const kernels = schedules.map((schedule, at) => {
    const timed = { label: 'a', sizes: { img: 64 }, milliseconds: { chosen: 2, tuned: 1.5 } };
    return [`matmul_0000000${at}`, { schedule, ...timed }] as const;
  });
  return { compiler, adapter: identifyAdapter(deviceOf(target)), kernels: new Map(kernels), ...more };
}

function deviceOf(target: Target): Parameters<typeof identifyAdapter>[0] {
  return { target, description: 'a card, driver 5', adapter: { vendor: 'maker', architecture: 'new' } };
}

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('a table of schedules', () => {
  it.each([portableWebgpu, { ...portableWebgpu, subgroups: { min: 8, max: 8 } }, cpuTarget, cudaTarget(['sm_90a'])])(
    'is what was written: %j',
    (target) => {
      const table = tableFor(target);
      expect(decodeTable(encode(encodeTable(table)), 'a.json')).toEqual(table);
      expect([...schedulesOf(table).values()]).toEqual(schedules);
    },
  );

  it.each<[string, (text: string) => string, string]>([
    ['no JSON', () => 'schedules', 'a.json'],
    ['another file', () => '{"format": "flux2c-bench", "version": 1}', 'format'],
    ['a newer version', (text) => text.replace('"version": 1', '"version": 2'), 'version'],
    ['a field too many', (text) => text.replace('"unroll": 2', '"unroll": 2, "speed": 1'), 'speed'],
    ['a field that is missing', (text) => text.replace('"unroll": 2,', ''), 'unroll'],
    ['half a register', (text) => text.replace('"registers": 16', '"registers": 1.5'), 'registers'],
    ['a vector of three', (text) => text.replace('"vector": 1', '"vector": 3'), 'vector'],
    ['what is no axis', (text) => text.replace('"m": {', '"__proto__": {'), 'spread'],
    ['a key twice', (text) => text.replace('matmul_00000001', 'matmul_00000000'), 'matmul_00000000'],
  ])('is refused with %s', (_, change, where) => {
    const text = change(encodeTable(tableFor(portableWebgpu)));
    expect(() => decodeTable(encode(text), 'a.json')).toThrow(expect.objectContaining({ code: 'F2C538' }));
    try {
      decodeTable(encode(text), 'a.json');
    } catch (error) {
      expect((error as { format(): string }).format()).toContain(where);
    }
  });
});

describe('a folder of tables', () => {
  const store = openScheduleFolder(folder)!;

  it('has one for each adapter, to which tuning adds', async () => {
    expect(await readTable(store, deviceOf(cpuTarget))).toBeUndefined();
    const table = tableFor(cpuTarget);
    await writeTable(store, table);
    expect(await readTable(store, deviceOf(cpuTarget))).toEqual(table);
    expect(await readTable(store, deviceOf(portableWebgpu))).toBeUndefined();
    expect(await readTable(store, { ...deviceOf(cpuTarget), description: 'a card, driver 6' })).toBeUndefined();
    const [[, kernel]] = table.kernels as unknown as [[string, typeof table.kernels extends ReadonlyMap<string, infer K> ? K : never]];
    const merged = await writeTable(store, { ...table, kernels: new Map([['add_00000000', kernel]]) });
    expect([...merged.kernels.keys()]).toEqual(['matmul_00000000', 'matmul_00000001', 'add_00000000']);
    expect(await readTable(store, deviceOf(cpuTarget))).toEqual(merged);
    expect(readdirSync(join(folder, 'schedules'))).toEqual([await tableName(table.adapter)]);
  }); // prettier-ignore

  it('keeps nothing of kernels that were tried again, or of another version of flux2c', async () => {
    await writeTable(store, tableFor(cpuTarget), new Set(['add_00000000']));
    expect(await loadSchedules(store, deviceOf(cpuTarget), '1.2.3')).toEqual(schedulesOf(tableFor(cpuTarget)));
    expect(await loadSchedules(store, deviceOf(cpuTarget), '1.2.4')).toBeUndefined();
    const { kernels } = await writeTable(store, tableFor(cpuTarget, '1.2.4', { kernels: new Map() }));
    expect(kernels.size).toBe(0);
  });

  it('says which table is damaged, and tuning makes it anew', async () => {
    const path = join(folder, 'schedules', await tableName(tableFor(cpuTarget).adapter));
    writeFileSync(path, readFileSync(path).subarray(0, 40));
    await expect(readTable(store, deviceOf(cpuTarget))).rejects.toMatchObject({ code: 'F2C538' });
    await writeTable(store, tableFor(cpuTarget));
    expect(await readTable(store, deviceOf(cpuTarget))).toEqual(tableFor(cpuTarget));
  });

  it('may be none', () => {
    expect(openScheduleFolder(undefined)).toBeUndefined();
  });
});

import { expect, it } from 'vitest';
import { chromium, openPage } from '../../test/chromium.js';
import { serveSources } from '../../test/source-server.js';
import { openOpfsSchedules } from './opfs-schedules.js';

/** Tunes a product on the page's WebGPU, keeps the table, and reads it as a page does that is opened later. */
const onPage = `(async () => {
  const from = (path) => import('/dist/' + path);
  const { tune, writeTable, loadSchedules, openOpfsSchedules, openBrowserDevice, compile, schedulesOf } = await from('runtime/index.js');
  const { graph, linear } = await from('frontend/index.js');
  const g = graph('f');
  g.output({ y: linear(g.input('x', 'f32', ['n', 64]), g.weight('w', 'bf16', [64, 64])) });
  const module = g.build();
  const device = await openBrowserDevice();
  const store = await openOpfsSchedules();
  const table = await tune(module, device, { sizes: { f: { n: 40 } }, seconds: 4, compiler: 'page 1' });
  // Whatever the timings say, there is something to keep.
  const [kernel] = compile(module, device).kernels.values();
  const timed = { label: 'y', sizes: { n: 40 }, milliseconds: { chosen: 2, tuned: 1 } };
  const kernels = new Map([[kernel.key(), { schedule: { ...kernel.schedule, unroll: 2 }, ...timed }], ...table.kernels]);
  await writeTable(store, { ...table, kernels });
  const later = await openOpfsSchedules();
  const schedules = await loadSchedules(later, device, 'page 1');
  const [again] = compile(module, device, { schedules }).kernels.values();
  const same = JSON.stringify([...schedules]) === JSON.stringify([...schedulesOf({ ...table, kernels })]);
  const other = await loadSchedules(later, device, 'page 2');
  const none = await later.read('none.json');
  return [later.place, same, JSON.stringify(again.schedule) === JSON.stringify(schedules.get(kernel.key())), typeof other, typeof none];
})()`;

it.runIf(chromium)('are kept in private files of a page', async () => {
  const server = await serveSources();
  const page = await openPage(`${server.address}/examples/browser/`);
  try {
    await page.waitFor(`document.readyState === 'complete'`);
    const found = await page.evaluate(onPage);
    expect(found).toEqual(['opfs:/flux2c-schedules', true, true, 'undefined', 'undefined']);
    expect(server.missing).toEqual([]);
  } finally {
    await page.close();
    server.close();
  }
});

it('need a browser', async () => {
  await expect(openOpfsSchedules()).rejects.toMatchObject({ code: 'F2C539' });
});

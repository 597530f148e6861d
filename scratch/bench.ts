import { kernelPrinter } from '../backends/print-kernel.js';
import { parseModule } from '../ir/graph/parse.js';
import { compileModule, type Operands } from '../passes/compile.js';
import { createCpuDevice } from '../runtime/cpu/node/cpu-device.js';
import { openDawn } from '../runtime/webgpu/node/dawn.js';
import { createWebgpuDevice } from '../runtime/webgpu/webgpu-device.js';
import { Session } from '../runtime/session.js';
import { memoryWeights } from '../runtime/weight-provider.js';
import { WeightStore } from '../runtime/weight-store.js';
import type { Device } from '../runtime/device.js';
const [kind = 'cpu', dtype = 'bf16', rounds = '7'] = process.argv.slice(2);
async function open(): Promise<Device> {
  if (kind === 'cpu') return createCpuDevice({ threads: 1 });
  const outcome = await openDawn({ adapter: kind });
  if (outcome.adapter === undefined) throw new Error(outcome.reason);
  return createWebgpuDevice(outcome.adapter, { languageFeatures: outcome.languageFeatures });
}
const device = await open();
const [M, K, N] = (process.env.SIZE ?? '576,768,4608').split(',').map(Number) as [number, number, number];
const module = parseModule(`weight @w : ${dtype}[${N}, ${K}] = tensor "w"
func @f(%x: f32[m, ${K}]) -> (y: %y) {
  %y = matmul(%x, @w) {transposeB = true}
}`);
const rnd = (n: number) => Float64Array.from({ length: n }, () => Math.random() - 0.5);
const weights = memoryWeights(new Map([['w', { dtype: 'f32', shape: [N, K], data: rnd(N * K) }]]));
const x = { dtype: 'f32' as const, shape: [M, K], data: Float32Array.from(rnd(M * K)) };
const store = new WeightStore(device);
const sessions = new Map<string, Session>();
for (const operands of ['f32', 'int8'] as Operands[]) {
  const t = performance.now();
  const { plans, kernels } = compileModule(module, device.target, { print: kernelPrinter(device.target), operands });
  sessions.set(operands, await Session.create({ plan: plans.get('f')!, kernels, device, weights, store }));
  await sessions.get(operands)!.run(new Map([['x', x]]));
  console.log(operands, 'first', Math.round(performance.now() - t), 'ms', [...kernels.values()].map(k => k.name + ' ' + JSON.stringify(k.schedule.spread)).join('\n   '));
  if (process.env.SRC) for (const k of kernels.values()) console.log(k.source);
}
const times = new Map<string, number[]>();
const cpus = new Map<string, number[]>();
for (let r = 0; r < Number(rounds); r++) for (const [name, session] of sessions) {
  const c = process.cpuUsage(); const t = performance.now();
  await session.run(new Map([['x', x]]));
  const { user, system } = process.cpuUsage(c);
  times.set(name, [...(times.get(name) ?? []), performance.now() - t]);
  cpus.set(name, [...(cpus.get(name) ?? []), (user + system) / 1000]);
}
const median = (a: number[]) => a.sort((p, q) => p - q)[a.length >> 1]!;
for (const name of sessions.keys()) console.log(kind, dtype, name, 'wall', median(times.get(name)!).toFixed(1), 'cpu', median(cpus.get(name)!).toFixed(1), 'best', cpus.get(name)![0]!.toFixed(1), 'GFLOP/s cpu', (2 * M * N * K / median(cpus.get(name)!) / 1e6).toFixed(1));
process.exit(0);

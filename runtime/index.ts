/**
 * Programs of the graph API on a device, in Node.js and in browsers:
 *
 *     const program = compile(module, device);
 *     const model = await program.load(device, { weights: { 'fc.weight': tensor('bf16', [256, 256], values) } });
 *     const results = await model.run('mlp', { x: tensor('f32', [3, 256], values) });
 *     results.get('y', 'f32').data;
 *
 * Kernels are compiled under schedules that are chosen by what the device can do, or under those that `tune` finds:
 *
 *     const table = await tune(module, device, { sizes: { mlp: { n: 512 } }, seconds: 30, compiler: 'my program 1.0' });
 *     const faster = compile(module, device, { schedules: schedulesOf(table) });
 *
 * A device comes from `openBrowserDevice` here, or from `openDevice` of `flux2c/node`.
 */
export { compile, type LoadOptions, Model, Program, Results } from './program.js';
export type { ByteBudget } from './memory/session-budget-for.js';
export type { ProgramWeights } from './program-weights.js';
export { tensor, type Values, type ValuesOf } from './tensor.js';
export type { HostArray, HostData } from './host-array.js';
export type { RunOptions, SessionMemoryReport, SessionProgress, StepInfo } from './session.js';
export type { Device } from './device.js';
export { openBrowserDevice } from './webgpu/browser-device.js';
export { createWebgpuDevice, describeAdapter, type WebgpuDeviceOptions } from './webgpu/webgpu-device.js';
export { tune, type TuneOptions } from './tune/tune-module.js';
export type { KernelTuning } from './tune/tuning.js';
export { loadSchedules, readTable, type ScheduleStore, writeTable } from './schedules/schedule-store.js';
export { decodeTable, encodeTable, type ScheduleTable, schedulesOf } from './schedules/schedule-table.js';
export { openOpfsSchedules } from './schedules/opfs-schedules.js';
export { cpuTarget, portableWebgpu, type Target } from '../backends/target.js';
export { type Checkpoint, memorySource, readCheckpoint } from '../frontend/checkpoint/index.js';
export { Dim } from '../ir/dim.js';
export { Flux2cError } from '../ir/diagnostics.js';
export { printThreadKernel } from '../ir/kernel/thread-print.js';
export { printTileKernel } from '../ir/kernel/tile-print.js';

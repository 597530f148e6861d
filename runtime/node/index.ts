/** What a program in Node.js needs besides `flux2c` and `flux2c/runtime`: devices of the machine and files. */
export { type DeviceName, openDevice, type OpenDeviceOptions } from './open-device.js';
export { createCpuDevice, type NodeCpuOptions } from '../cpu/node/cpu-device.js';
export { type DawnAdapter, listAdapters, openDawn } from '../webgpu/node/dawn.js';
export { openCheckpoint } from '../../frontend/checkpoint/node/open-checkpoint.js';
export { openScheduleFolder } from '../schedules/node/schedule-folder.js';

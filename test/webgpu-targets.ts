import { portableWebgpu, type Target } from '../backends/target.js';

/** What Dawn says of Hopper GPUs. */
export const hopperWebgpu: Target = {
  ...portableWebgpu,
  f16: true,
  matrix: 'subgroup',
  subgroupProduct: { rows: 16, columns: 16, depth: 16 },
  subgroups: { min: 32, max: 32 },
  workgroupMemory: 49152,
  maxWorkgroupInvocations: 1024,
  maxStorageBuffers: 16,
  maxBindingBytes: 2 ** 31 - 16,
  maxBufferBytes: 2 ** 40,
  bindingAlignment: 16,
};

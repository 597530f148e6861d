import { existsSync } from 'node:fs';
import type { ThreadKernel } from '../ir/kernel/thread.js';

/** Vulkan drivers on the processor, by name; whichever is installed is used by the tests that execute WGSL. */
const drivers = {
  lavapipe: ['/usr/share/vulkan/icd.d/lvp_icd.json', '/usr/share/vulkan/icd.d/lvp_icd.x86_64.json'],
  swiftshader: ['/usr/lib/chromium/vk_swiftshader_icd.json', '/usr/lib/chromium-browser/vk_swiftshader_icd.json'],
} as const;

export type DriverName = keyof typeof drivers;

/** Executes kernels on Dawn for tests: nothing cached, nothing kept. */
export interface DawnRunner {
  readonly features: ReadonlySet<string>;
  readonly subgroupSize: number;
  /** Contents of all buffers afterwards; rejects with the compiler's messages when the WGSL is refused. */
  run(
    source: string,
    kernel: ThreadKernel,
    buffers: Readonly<Record<string, Uint8Array>>,
    parameters: Readonly<Record<string, number>>,
    workgroups: readonly [number, number, number],
  ): Promise<Record<string, Uint8Array>>;
}

// Dawn destroys everything when the object of `create` is collected.
const held: unknown[] = [];

/** Undefined when the driver is not installed. One driver a process: the Vulkan loader reads its environment once. */
export async function openDawn(driver: DriverName): Promise<DawnRunner | undefined> {
  const file = drivers[driver].find((path) => existsSync(path));
  if (file === undefined) return undefined;
  process.env['VK_DRIVER_FILES'] = file;
  process.env['XDG_RUNTIME_DIR'] ??= '/tmp';
  // Dawn polls through setImmediate and would keep a core busy.
  const immediate = ((callback: (...values: unknown[]) => void, ...values: unknown[]) =>
    setTimeout(callback, 1, ...values)) as unknown as typeof setImmediate;
  globalThis.setImmediate = immediate;
  const { create } = await import('webgpu');
  const gpu = create([]);
  held.push(gpu);
  const adapter = await gpu.requestAdapter();
  if (adapter === null) return undefined;
  const wanted = (['subgroups', 'shader-f16'] as const).filter((feature) => adapter.features.has(feature));
  const device = await adapter.requestDevice({ requiredFeatures: [...wanted] });
  held.push(device);
  return {
    features: new Set(wanted),
    subgroupSize: adapter.info.subgroupMaxSize ?? 0,
    run: (source, kernel, buffers, parameters, workgroups) =>
      runOnce(device, source, kernel, buffers, parameters, workgroups),
  };
}

async function runOnce(
  device: GPUDevice,
  source: string,
  kernel: ThreadKernel,
  contents: Readonly<Record<string, Uint8Array>>,
  parameters: Readonly<Record<string, number>>,
  workgroups: readonly [number, number, number],
): Promise<Record<string, Uint8Array>> {
  device.pushErrorScope('validation');
  const module = device.createShaderModule({ code: source });
  const { messages } = await module.getCompilationInfo();
  await device.popErrorScope();
  const errors = messages.filter(({ type }) => type === 'error');
  if (errors.length > 0) throw new Error(`${errors.map((error) => error.message).join('\n')}\n${source}`);
  device.pushErrorScope('validation');
  const visibility = 4; // GPUShaderStage.COMPUTE
  const storageLayout = device.createBindGroupLayout({
    entries: kernel.buffers.map(({ access }, binding) => ({
      binding,
      visibility,
      buffer: { type: access === 'read' ? 'read-only-storage' : 'storage' } as const,
    })),
  });
  const parameterLayout = device.createBindGroupLayout({
    entries: [{ binding: 0, visibility, buffer: { type: 'uniform', hasDynamicOffset: true } }],
  });
  const pipeline = device.createComputePipeline({
    layout: device.createPipelineLayout({ bindGroupLayouts: [storageLayout, parameterLayout] }),
    compute: { module, entryPoint: 'main' },
  });
  const storage = kernel.buffers.map(({ name }) => {
    const bytes = contents[name];
    if (bytes === undefined) throw new Error(`no contents for buffer ${name}`);
    const padded = new Uint8Array(Math.ceil(bytes.byteLength / 16) * 16);
    padded.set(bytes);
    const buffer = device.createBuffer({ size: padded.byteLength, usage: 0x80 | 0x8 | 0x4 }); // STORAGE, COPY_DST, COPY_SRC
    device.queue.writeBuffer(buffer, 0, padded);
    return { name, buffer, byteLength: bytes.byteLength };
  });
  const block = new Int32Array(Math.max(4, Math.ceil(kernel.parameters.length / 4) * 4));
  kernel.parameters.forEach((name, index) => (block[index] = parameters[name] ?? 0));
  const uniform = device.createBuffer({ size: block.byteLength, usage: 0x40 | 0x8 }); // UNIFORM, COPY_DST
  device.queue.writeBuffer(uniform, 0, block);
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(
    0,
    device.createBindGroup({
      layout: storageLayout,
      entries: storage.map(({ buffer }, binding) => ({ binding, resource: { buffer } })),
    }),
  );
  const parameterGroup = device.createBindGroup({
    layout: parameterLayout,
    entries: [{ binding: 0, resource: { buffer: uniform, size: block.byteLength } }],
  });
  pass.setBindGroup(1, parameterGroup, [0]);
  pass.dispatchWorkgroups(...workgroups);
  pass.end();
  const reads = storage.map(({ name, buffer, byteLength }) => {
    const read = device.createBuffer({ size: buffer.size, usage: 0x1 | 0x8 }); // MAP_READ, COPY_DST
    encoder.copyBufferToBuffer(buffer, 0, read, 0, buffer.size);
    return { name, read, byteLength };
  });
  device.queue.submit([encoder.finish()]);
  const error = await device.popErrorScope();
  if (error !== null) throw new Error(`${error.message}\n${source}`);
  const results: Record<string, Uint8Array> = {};
  for (const { name, read, byteLength } of reads) {
    await read.mapAsync(1); // GPUMapMode.READ
    results[name] = new Uint8Array(read.getMappedRange()).slice(0, byteLength);
    read.destroy();
  }
  for (const { buffer } of storage) buffer.destroy();
  uniform.destroy();
  return results;
}

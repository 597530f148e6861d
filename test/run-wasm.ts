import { compileWasm, type WasmOptions } from '../backends/cpu/wasm.js';
import { bytesOfShared, guardBytes } from '../backends/cpu/wasm-memory.js';
import type { ThreadKernel } from '../ir/kernel/thread.js';

/** Runs a kernel's WebAssembly on this thread; `buffers` are changed in place. */
export function runWasm(
  kernel: ThreadKernel,
  buffers: readonly Uint8Array[],
  parameters: Int32Array,
  workgroups: readonly [number, number, number],
  options: WasmOptions = {},
): void {
  const bytes = buffers.reduce((sum, buffer) => sum + Math.ceil(buffer.byteLength / 64) * 64, parameters.byteLength);
  const pages = Math.ceil((guardBytes + bytes + bytesOfShared(kernel) + 64) / 65536);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: 65536, shared: true });
  const module = new WebAssembly.Module(compileWasm(kernel, options));
  const instance = new WebAssembly.Instance(module, {
    env: { memory, log: Math.log, sin: Math.sin, cos: Math.cos, pow: Math.pow },
  });
  const all = new Uint8Array(memory.buffer);
  let at = guardBytes;
  const place = (data: Uint8Array): number => {
    const address = at;
    all.set(data, address);
    at += Math.ceil(data.byteLength / 64) * 64;
    return address;
  };
  const addresses = buffers.map(place);
  const parametersAt = place(new Uint8Array(parameters.buffer, parameters.byteOffset, parameters.byteLength));
  const sharedAt = Math.ceil(at / 64) * 64;
  const [x, y, z] = workgroups;
  (instance.exports['run'] as (...values: number[]) => void)(0, x, 0, y, 0, z, parametersAt, sharedAt, ...addresses);
  buffers.forEach((buffer, index) => {
    const address = addresses[index] ?? 0;
    buffer.set(all.subarray(address, address + buffer.byteLength));
  });
}

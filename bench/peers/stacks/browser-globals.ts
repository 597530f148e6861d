/** What peers made for browsers look for: `navigator.gpu` with the same adapter, driver and polls as flux2c. */
import { openDawn } from '../../../runtime/webgpu/node/dawn.js';
import { Flux2cError } from '../../../ir/diagnostics.js';

/** Opens an adapter of the machine. F2C515 when there is none of that name. */
export async function requireAdapter(choice: string): Promise<GPUAdapter> {
  const { adapter, ...outcome } = await openDawn({ adapter: choice });
  if (adapter !== undefined) return adapter;
  throw new Flux2cError('F2C515', 'no adapter for this comparison', {
    ...('reason' in outcome && { found: outcome.reason }),
    hint: 'Run `flux2c devices` to see the adapters of this machine.',
  });
}

/** Gives `globalThis` the adapter as browsers do, and the constants of WebGPU. */
export async function provideBrowserGpu(choice: string): Promise<GPUAdapter> {
  const adapter = await requireAdapter(choice);
  const { globals } = await import('webgpu');
  Object.assign(globalThis, globals);
  const gpu = { requestAdapter: () => Promise.resolve(adapter), wgslLanguageFeatures: new Set<string>() };
  provideNavigator({ gpu });
  return adapter;
}

/** A `navigator` of two processors at most, with what else is given. */
export function provideNavigator(more: Readonly<Record<string, unknown>>): void {
  const navigator = { userAgent: 'Node.js', hardwareConcurrency: 2, ...more };
  Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true, writable: true });
}

/** Dawn for Node refuses views of shared memory, which WebAssembly with threads writes from: writes get a copy. */
export function copySharedWrites(): void {
  const original = GPUQueue.prototype.writeBuffer;
  GPUQueue.prototype.writeBuffer = function (this: GPUQueue, buffer, offset, data, start, size) {
    const memory = ArrayBuffer.isView(data) ? data.buffer : data;
    if (!(memory instanceof SharedArrayBuffer)) return original.call(this, buffer, offset, data, start, size);
    // `start` and `size` count elements of typed arrays, and bytes of everything else.
    const elementBytes = 'BYTES_PER_ELEMENT' in data ? Number(data.BYTES_PER_ELEMENT) : 1;
    const bytes = ArrayBuffer.isView(data)
      ? new Uint8Array(memory, data.byteOffset, data.byteLength)
      : new Uint8Array(memory);
    const first = (start ?? 0) * elementBytes;
    const end = size === undefined ? bytes.byteLength : first + size * elementBytes;
    return original.call(this, buffer, offset, bytes.slice(first, end));
  };
}

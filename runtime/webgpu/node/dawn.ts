// So that programs which import the package know the types of WebGPU, too.
/// <reference types="@webgpu/types" preserve="true" />
import { accessSync, constants, existsSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LanguageFeatures } from '../webgpu-target.js';
import { spaceDawnPolls } from './dawn-polling.js';

/** An adapter of the machine, in order of preference: hardware first, then lavapipe, then SwiftShader. */
export interface DawnAdapter {
  /** vulkan, metal, d3d12, ... */
  readonly backend: string;
  readonly name: string;
}

export type DawnOutcome =
  | {
      readonly adapter: GPUAdapter;
      readonly name: string;
      /** Of Dawn's compiler of WGSL. */
      readonly languageFeatures: LanguageFeatures;
    }
  | { readonly adapter?: never; readonly reason: string };

/** SwiftShader comes with Chromium and is not registered with the Vulkan loader. */
const unregisteredDrivers = [
  '/usr/lib/chromium/vk_swiftshader_icd.json',
  '/usr/lib/chromium-browser/vk_swiftshader_icd.json',
  '/opt/google/chrome/vk_swiftshader_icd.json',
  '/usr/share/vulkan/icd.d/vk_swiftshader_icd.json',
  '/etc/vulkan/icd.d/vk_swiftshader_icd.json',
];

/**
 * Timestamps are rounded to 100 µs by default, against fingerprinting in browsers. Matrices of subgroups are no part of WebGPU yet
 * (`allow_unsafe_apis`), and f16 is hidden on NVIDIA's GPUs, whose driver fails some of its conformance tests, none of them about what
 * kernels here do with it. On GPUs nothing is clamped to the ends of buffers, as nothing is through CUDA: clamping cost a third of a product's rate on
 * an H200. Kernels are made so that their addresses lie within what a launch binds, which tests hold them to on an interpreter that knows the ends.
 * `FLUX2C_DAWN_ROBUSTNESS=on` clamps all the same.
 */
function dawnOptions(isGpu: boolean): readonly string[] {
  const features = ['allow_unsafe_apis', 'vulkan_enable_f16_on_nvidia'];
  if (isGpu && process.env['FLUX2C_DAWN_ROBUSTNESS'] !== 'on') features.push('disable_robustness');
  return ['disable-dawn-features=timestamp_quantization', `enable-dawn-features=${features.join(',')}`];
}

type Webgpu = Pick<typeof import('webgpu'), 'create'>;

/** Dawn crashes when the object that `create` returns is collected while anything of it is in use. */
const instances: GPU[] = [];

function instantiate(webgpu: Webgpu, options: readonly string[], isGpu = false): GPU {
  const gpu = webgpu.create([...dawnOptions(isGpu), ...options]);
  instances.push(gpu);
  return gpu;
}

/**
 * The Vulkan loader reads these variables when Dawn first looks for adapters. What the user set stays: `VK_DRIVER_FILES`
 * and `VK_ICD_FILENAMES` name the only drivers to load, and then no other is added.
 */
function prepareEnvironment(): void {
  const { env } = process;
  if (env.XDG_RUNTIME_DIR === undefined && process.platform === 'linux') {
    // Mesa complains on stderr without one.
    const folder = join(tmpdir(), `flux2c-runtime-${process.getuid?.() ?? 0}`);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    env.XDG_RUNTIME_DIR = folder;
  }
  const chosen = env.VK_DRIVER_FILES ?? env.VK_ICD_FILENAMES ?? env.VK_ADD_DRIVER_FILES;
  const extra = unregisteredDrivers.find((path) => existsSync(path) && isReadable(path));
  if (chosen === undefined && extra !== undefined) env.VK_ADD_DRIVER_FILES = extra;
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

/** Loads the package late: it is a native library that some platforms have no build of. */
async function loadWebgpu(): Promise<Webgpu | string> {
  prepareEnvironment();
  spaceDawnPolls();
  try {
    return await import('webgpu');
  } catch (cause) {
    return `the webgpu package does not load: ${messageOf(cause)}`;
  }
}

/** All adapters that WebGPU can use on this machine; empty (never a throw) when there is no driver. */
export async function listAdapters(): Promise<readonly DawnAdapter[]> {
  const webgpu = await loadWebgpu();
  return typeof webgpu === 'string' ? [] : enumerate(webgpu);
}

/** Dawn lists the adapters only in the error about an adapter that does not exist. */
async function enumerate(webgpu: Webgpu): Promise<readonly DawnAdapter[]> {
  try {
    await instantiate(webgpu, ['adapter=\u0001']).requestAdapter();
    return [];
  } catch (error) {
    return parseAdapterList(messageOf(error));
  }
}

/** Reads ` * backend: 'vulkan', name: 'llvmpipe (LLVM 15.0.6, 256 bits)'` lines, best adapter first. */
export function parseAdapterList(text: string): readonly DawnAdapter[] {
  const found = [...text.matchAll(/backend: '([^']*)', name: '(.*)'$/gm)];
  return found
    .map(([, backend = '', name = '']) => ({ backend, name }))
    .filter((adapter) => adapter.backend !== 'null')
    .sort((first, second) => softwareRank(first.name) - softwareRank(second.name));
}

/** Dawn's list has no adapter type, so this order of preference, and whether an adapter is a GPU, go by the drivers' names. */
function softwareRank(name: string): number {
  if (/swiftshader|basic render/i.test(name)) return 2;
  return /llvmpipe/i.test(name) ? 1 : 0;
}

/**
 * Whether the driver makes code at a kernel's first launch and keeps it where other devices find it: Mesa's lavapipe, unless
 * its cache is off. Nothing but the name tells.
 */
export function sharesCompiledCode(
  name: string,
  { MESA_SHADER_CACHE_DISABLE: off }: Readonly<Record<string, string | undefined>> = process.env,
): boolean {
  return /llvmpipe/i.test(name) && !/^(1|true|yes|y)$/i.test(off ?? '');
}

/**
 * The adapter that `choice` names: an index into `listAdapters()` or a part of the name, without regard to case
 * (`lavapipe` means llvmpipe); without a choice the first.
 */
export function chooseAdapter(adapters: readonly DawnAdapter[], choice?: string): DawnAdapter | undefined {
  if (choice === undefined) return adapters[0];
  if (/^\d+$/.test(choice)) return adapters[Number(choice)];
  const part = choice.toLowerCase().replace('lavapipe', 'llvmpipe');
  return adapters.find((adapter) => adapter.name.toLowerCase().includes(part));
}

/**
 * An adapter through the npm package `webgpu`, for `createWebgpuDevice`. Gives a reason instead when there is none:
 * no Vulkan loader, no driver, no adapter of that name. Each call gives a fresh adapter.
 */
export async function openDawn(options: { readonly adapter?: string } = {}): Promise<DawnOutcome> {
  const webgpu = await loadWebgpu();
  if (typeof webgpu === 'string') return { reason: webgpu };
  const adapters = await enumerate(webgpu);
  const chosen = chooseAdapter(adapters, options.adapter);
  if (chosen === undefined) return { reason: describeAbsence(adapters, options.adapter) };
  try {
    const isGpu = softwareRank(chosen.name) === 0;
    const gpu = instantiate(webgpu, [`backend=${chosen.backend}`, `adapter=${chosen.name}`], isGpu);
    const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
    return adapter === null
      ? { reason: `adapter "${chosen.name}" does not open` }
      : { adapter, name: chosen.name, languageFeatures: gpu.wgslLanguageFeatures };
  } catch (error) {
    return { reason: `adapter "${chosen.name}" does not open: ${messageOf(error)}` };
  }
}

function describeAbsence(adapters: readonly DawnAdapter[], choice: string | undefined): string {
  if (adapters.length > 0)
    return `no adapter matches "${choice ?? ''}"; there are: ${adapters.map((adapter) => adapter.name).join(', ')}`;
  if (process.platform !== 'linux') return 'no graphics driver that WebGPU can use was found';
  return 'no Vulkan driver was found (libvulkan.so.1 and a driver are needed; software drivers: Mesa lavapipe, SwiftShader)';
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

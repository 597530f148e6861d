/** The stacks that are compared, each in the forms that it has. */
import { availableParallelism } from 'node:os';
import { openCalibrator } from './calibrator.js';
import type { Numbers } from './numbers.js';
import type { Stack } from './stack.js';
import { openFlux2cCuda, openFlux2cProcessor, openFlux2cWebgpu } from './stacks/flux2c.js';
import { openJax } from './stacks/jax.js';
import { openOnnxruntime } from './stacks/onnxruntime.js';
import { openTfjs } from './stacks/tfjs.js';
import type { Work } from './works.js';

/** What computes. Only contestants of one kind, with equally many threads, are ranked. */
export type ContestantKind = 'webgpu' | 'wasm' | 'native' | 'cuda';

export interface Contestant {
  /** `onnxruntime-web:wasm:2`, `jax-js:webgpu:f16`; unique. */
  readonly id: string;
  readonly stack: string;
  readonly kind: ContestantKind;
  /** Of the processor; a WebGPU driver has its own. */
  readonly threads: number;
  /** flux2c itself. */
  readonly own: boolean;
  /** Attention by the stack's fused operator. */
  readonly fused: boolean;
  /** What it stores weights in and rounds factors of products to. */
  readonly numbers: Numbers;
  /** For the process: beside a software driver, and where the processor has nothing else to do. */
  readonly nodeFlags: Readonly<Record<'software' | 'hardware', readonly string[]>>;
  runs(work: Work): boolean;
  open(adapter: string): Promise<Stack>;
}

const noFlags = { software: [], hardware: [] };

type Form = Pick<Contestant, 'stack' | 'kind' | 'open'> & Partial<Contestant>;

function contestant(form: Form): Contestant {
  const { stack, kind, threads = 1, fused = false, numbers = 'f32' } = form;
  const parts = [isOnGpu({ kind }) ? [] : [`${threads}`], numbers === 'f32' ? [] : [numbers], fused ? ['fused'] : []];
  const id = [stack, kind, ...parts.flat()].join(':');
  return { id, threads, fused, numbers, own: false, nodeFlags: noFlags, runs: () => true, ...form };
}

/** Whether it has no threads on the processor. */
export function isOnGpu({ kind }: Pick<Contestant, 'kind'>): boolean {
  return kind === 'webgpu' || kind === 'cuda';
}

const hasAttention = (work: Work): boolean => work.kind === 'attention' || work.kind === 'transformer';

/**
 * V8's optimising compiler takes a minute for onnxruntime's 26 MB of WebAssembly, which only drives the GPU; with a budget that
 * large it is for what runs all the time.
 */
const quickWasm = { software: ['--liftoff-only'], hardware: ['--wasm-tiering-budget=200000000'] };

const onnxruntimeWebgpu: Form = {
  stack: 'onnxruntime-web',
  kind: 'webgpu',
  nodeFlags: quickWasm,
  open: (adapter) => openOnnxruntime({ kind: 'webgpu', threads: 1, adapter }),
};

const flux2cWebgpu: Form = { stack: 'flux2c', kind: 'webgpu', own: true, open: (adapter) => openFlux2cWebgpu(adapter) };
const flux2cCuda: Form = { stack: 'flux2c', kind: 'cuda', own: true, open: () => openFlux2cCuda() };

const jaxWebgpu: Form = {
  stack: 'jax-js',
  kind: 'webgpu',
  open: (adapter) => openJax({ device: 'webgpu', threads: 1, adapter }),
};

function onnxruntimeWasm(threads: number): Form {
  return {
    stack: 'onnxruntime-web',
    kind: 'wasm',
    threads,
    open: () => openOnnxruntime({ kind: 'wasm', threads }),
  };
}

const onGpu: readonly Form[] = [
  flux2cWebgpu,
  jaxWebgpu,
  onnxruntimeWebgpu,
  { ...onnxruntimeWebgpu, fused: true, runs: hasAttention },
  {
    stack: 'tfjs',
    kind: 'webgpu',
    runs: (work) => work.kind !== 'transformer',
    open: (adapter) => openTfjs(adapter),
  },
  flux2cCuda,
];

/** TensorFlow.js has no f16. */
const inHalves: readonly Form[] = [
  flux2cWebgpu,
  jaxWebgpu,
  onnxruntimeWebgpu,
  { ...onnxruntimeWebgpu, fused: true, runs: hasAttention },
  flux2cCuda,
].map((form) => ({ ...form, numbers: 'f16' }));

const onProcessor: readonly Form[] = [1, 2].flatMap((threads): readonly Form[] => [
  { stack: 'flux2c', kind: 'wasm', threads, own: true, open: async () => openFlux2cProcessor(threads) },
  { stack: 'jax-js', kind: 'wasm', threads, open: () => openJax({ device: 'wasm', threads }) },
  onnxruntimeWasm(threads),
  { ...onnxruntimeWasm(threads), fused: true, runs: hasAttention },
  { stack: 'onnxruntime-node', kind: 'native', threads, open: () => openOnnxruntime({ kind: 'native', threads }) },
]);

export const contestants: readonly Contestant[] = [...inHalves, ...onGpu, ...onProcessor].map(contestant);

/** Not a contestant: what other work on the machine is noticed by. */
export const calibrator: Contestant = contestant({
  stack: 'calibrator',
  kind: 'wasm',
  open: async () => openCalibrator(),
});

/** Gives the result that others are held against where f64 takes too long. */
export const referee: Contestant = contestant({
  stack: 'referee',
  kind: 'wasm',
  threads: availableParallelism(),
  open: async () => openFlux2cProcessor(availableParallelism()),
});

/** The one that a process is told to be. */
export function findContestant(id: string): Contestant {
  const found = [...contestants, calibrator, referee].find((candidate) => candidate.id === id);
  if (found === undefined) throw new Error(`internal: there is no contestant ${id}`);
  return found;
}

/** `onnxruntime-web, f16, fused attention`, `flux2c, 2 threads`, `flux2c, CUDA`. */
export function nameOf({
  stack,
  kind,
  threads,
  fused,
  numbers,
}: Pick<Contestant, 'stack' | 'kind' | 'threads' | 'fused' | 'numbers'>): string {
  const parts = [stack];
  if (kind === 'cuda') parts.push('CUDA');
  if (!isOnGpu({ kind })) parts.push(`${threads} thread${threads === 1 ? '' : 's'}`);
  if (numbers !== 'f32') parts.push(numbers);
  if (fused) parts.push('fused attention');
  return parts.join(', ');
}

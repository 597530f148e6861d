/** The stacks that are compared, each in the forms that it has. */
import { openCalibrator } from './calibrator.js';
import type { Stack } from './stack.js';
import { openFlux2cProcessor, openFlux2cWebgpu } from './stacks/flux2c.js';
import { openJax } from './stacks/jax.js';
import { openOnnxruntime } from './stacks/onnxruntime.js';
import { openTfjs } from './stacks/tfjs.js';
import type { Work } from './works.js';

/** What computes. Only contestants of one kind, with equally many threads, are ranked. */
export type ContestantKind = 'webgpu' | 'wasm' | 'native';

export interface Contestant {
  /** `onnxruntime-web:wasm:2`; unique. */
  readonly id: string;
  readonly stack: string;
  readonly kind: ContestantKind;
  /** Of the processor; a WebGPU driver has its own. */
  readonly threads: number;
  /** flux2c itself. */
  readonly own: boolean;
  /** Attention by the stack's fused operator. */
  readonly fused: boolean;
  /** For the process. */
  readonly nodeFlags: readonly string[];
  runs(work: Work): boolean;
  open(adapter: string): Promise<Stack>;
}

type Form = Pick<Contestant, 'stack' | 'kind' | 'open'> & Partial<Contestant>;

function contestant(form: Form): Contestant {
  const { stack, kind, threads = 1, fused = false } = form;
  const id = [stack, kind, ...(kind === 'webgpu' ? [] : [threads]), ...(fused ? ['fused'] : [])].join(':');
  return { id, threads, fused, own: false, nodeFlags: [], runs: () => true, ...form };
}

const hasAttention = (work: Work): boolean => work.kind === 'attention' || work.kind === 'transformer';

/** V8's optimising compiler takes a minute for onnxruntime's 26 MB of WebAssembly, which only drives the GPU. */
const quickWasm = ['--liftoff-only'];

const onnxruntimeWebgpu: Form = {
  stack: 'onnxruntime-web',
  kind: 'webgpu',
  nodeFlags: quickWasm,
  open: (adapter) => openOnnxruntime({ kind: 'webgpu', threads: 1, adapter }),
};

function onnxruntimeWasm(threads: number): Form {
  return {
    stack: 'onnxruntime-web',
    kind: 'wasm',
    threads,
    open: () => openOnnxruntime({ kind: 'wasm', threads }),
  };
}

const onWebgpu: readonly Form[] = [
  { stack: 'flux2c', kind: 'webgpu', own: true, open: (adapter) => openFlux2cWebgpu(adapter) },
  { stack: 'jax-js', kind: 'webgpu', open: (adapter) => openJax({ device: 'webgpu', threads: 1, adapter }) },
  onnxruntimeWebgpu,
  { ...onnxruntimeWebgpu, fused: true, runs: hasAttention },
  {
    stack: 'tfjs',
    kind: 'webgpu',
    runs: (work) => work.kind !== 'transformer',
    open: (adapter) => openTfjs(adapter),
  },
];

const onProcessor: readonly Form[] = [1, 2].flatMap((threads): readonly Form[] => [
  { stack: 'flux2c', kind: 'wasm', threads, own: true, open: async () => openFlux2cProcessor(threads) },
  { stack: 'jax-js', kind: 'wasm', threads, open: () => openJax({ device: 'wasm', threads }) },
  onnxruntimeWasm(threads),
  { ...onnxruntimeWasm(threads), fused: true, runs: hasAttention },
  { stack: 'onnxruntime-node', kind: 'native', threads, open: () => openOnnxruntime({ kind: 'native', threads }) },
]);

export const contestants: readonly Contestant[] = [...onWebgpu, ...onProcessor].map(contestant);

/** Not a contestant: what other work on the machine is noticed by. */
export const calibrator: Contestant = contestant({
  stack: 'calibrator',
  kind: 'wasm',
  open: async () => openCalibrator(),
});

/** The one that a process is told to be. */
export function findContestant(id: string): Contestant {
  const found = [...contestants, calibrator].find((candidate) => candidate.id === id);
  if (found === undefined) throw new Error(`internal: there is no contestant ${id}`);
  return found;
}

/** `onnxruntime-web, fused`, `flux2c, 2 threads`. */
export function nameOf({
  stack,
  kind,
  threads,
  fused,
}: Pick<Contestant, 'stack' | 'kind' | 'threads' | 'fused'>): string {
  const parts = [stack];
  if (kind !== 'webgpu') parts.push(`${threads} thread${threads === 1 ? '' : 's'}`);
  if (fused) parts.push('fused attention');
  return parts.join(', ');
}

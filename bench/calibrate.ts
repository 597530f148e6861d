/** What the device can do at best, measured with kernels of our own: the ceilings that results are held against. */
import { kernelPrinter } from '../backends/print-kernel.js';
import { add, builtin, constant, float, i32, integer, multiply, multiplyAdd, parameter, register, vectorOf } from '../ir/kernel/expressions.js'; // prettier-ignore
import type { Expression, Statement, SubgroupProduct, ThreadKernel } from '../ir/kernel/thread.js';
import type { Device } from '../runtime/device.js';
import { matrixFlop, matrixInputs, matrixKernel } from './calibrate-matrices.js';
import type { Summary } from './statistics.js';
import { measure, type Repetition } from './stopwatch.js';

export interface Ceilings {
  /** 10⁹ multiply-adds in f32 counted as two operations, a second. */
  readonly gigaflops: number;
  /** The same of products of f16 matrices with sums in f32, where what is measured multiplies those. */
  readonly matrixGigaflops?: number;
  /** 10⁹ bytes read and written a second by a copy of a buffer larger than caches. */
  readonly gigabytes: number;
}

const workgroupSize = 64;
/** Independent sums of an invocation: enough to hide the latency of a multiply-add (4 cycles on 2 ports). */
const accumulators = 12;
const vector = vectorOf('f32', 4);
const copiedBytes = 64 * 2 ** 20;
/** Shorter than this, a launch measures its own start. */
const leastMilliseconds = 6;

/** Some seconds. `matrices`: those of subgroups, too, where the device has them. Errors of the device. */
export async function calibrate(device: Device, repetition: Repetition, matrices = false): Promise<Ceilings> {
  const { subgroupProduct, subgroups } = device.target;
  const multiplies = matrices && subgroupProduct !== undefined && subgroups !== undefined;
  return {
    gigaflops: await measureFlops(device, repetition),
    ...(multiplies && { matrixGigaflops: await measureMatrices(device, subgroupProduct, subgroups.max, repetition) }),
    gigabytes: await measureCopy(device, repetition),
  };
}

/** What work in f32 or in matrices can reach. */
export function mostGigaflops({ gigaflops, matrixGigaflops = 0 }: Ceilings): number {
  return Math.max(gigaflops, matrixGigaflops);
}

async function measureFlops(device: Device, repetition: Repetition): Promise<number> {
  const kernel = multiplyAddKernel();
  // A GPU has room for tens of thousands of invocations at once, and rests at the end of the last ones.
  const workgroups = device.target.stagingPays ? 16384 : 512;
  const input = device.createBuffer(64, 'calibration input');
  const output = device.createBuffer(workgroups * workgroupSize * 16, 'calibration output');
  device.write(input, 0, new Uint8Array(Float32Array.from([0.5, 0.25, 0.75, 0.5, 1, 1, 1, 1]).buffer));
  try {
    return await climb(
      (iterations) => timeKernel(device, kernel, [input, output], [iterations], workgroups, repetition),
      (iterations) => multiplyAddFlop(workgroups, iterations),
    );
  } finally {
    input.destroy();
    output.destroy();
  }
}

async function measureMatrices(
  device: Device,
  product: SubgroupProduct,
  subgroupSize: number,
  repetition: Repetition,
): Promise<number> {
  const kernel = matrixKernel(product, subgroupSize);
  const workgroups = device.target.stagingPays ? 4096 : 16;
  const values = matrixInputs(product);
  const input = device.createBuffer(values.byteLength, 'calibration factors');
  const output = device.createBuffer(workgroups * kernel.workgroupSize * 16, 'calibration output');
  device.write(input, 0, values);
  try {
    return await climb(
      (iterations) => timeKernel(device, kernel, [input, output], [iterations], workgroups, repetition),
      (iterations) => matrixFlop(product, workgroups, iterations),
    );
  } finally {
    input.destroy();
    output.destroy();
  }
}

/** 10⁹ operations a second of a kernel, with as many iterations as it takes for the launch itself not to count. */
async function climb(
  time: (iterations: number) => Promise<Summary>,
  flopOf: (iterations: number) => number,
): Promise<number> {
  let iterations = 64;
  for (;;) {
    const { median, least } = await time(iterations);
    // The fastest repetition is the ceiling: everything else is somebody else's work.
    if (median >= leastMilliseconds) return flopOf(iterations) / least / 1e6;
    iterations *= Math.max(2, Math.ceil(leastMilliseconds / Math.max(0.5, median)));
  }
}

async function measureCopy(device: Device, repetition: Repetition): Promise<number> {
  const kernel = copyKernel();
  const from = device.createBuffer(copiedBytes, 'calibration source');
  const to = device.createBuffer(copiedBytes, 'calibration target');
  try {
    const workgroups = copiedBytes / 16 / workgroupSize / copiesOfInvocation;
    const time = await timeKernel(device, kernel, [from, to], [], workgroups, repetition);
    return (2 * copiedBytes) / time.least / 1e6;
  } finally {
    from.destroy();
    to.destroy();
  }
}

async function timeKernel(
  device: Device,
  kernel: ThreadKernel,
  buffers: readonly ReturnType<Device['createBuffer']>[],
  parameters: readonly number[],
  workgroups: number,
  repetition: Repetition,
): Promise<Summary> {
  await device.loadKernels(
    [{ name: kernel.name, kernel, source: kernelPrinter(device.target)(kernel) }],
    undefined,
    repetition.signal,
  );
  const bindings = buffers.map((buffer) => ({ buffer, byteOffset: 0, byteLength: buffer.byteLength }));
  const launch = { kernel: kernel.name, label: kernel.name, bindings, parameters: Int32Array.from(parameters) };
  const sequence = device.record([{ ...launch, workgroups: [workgroups, 1, 1] }], kernel.name);
  try {
    const { wall } = await measure(async () => {
      device.run(sequence);
      await device.finish();
    }, repetition);
    return wall;
  } finally {
    sequence.destroy();
  }
}

/** Operations of `multiplyAddKernel` with so many workgroups and iterations: a multiply-add counts as two. */
export function multiplyAddFlop(workgroups: number, iterations: number): number {
  return 2 * 4 * accumulators * iterations * workgroups * workgroupSize;
}

/** sum_i = fma(sum_i, a, b), as often as the parameter says. */
export function multiplyAddKernel(): ThreadKernel {
  const names = Array.from({ length: accumulators }, (_, at) => `sum${at}`);
  const load = (index: number): Expression => ({ kind: 'load', buffer: 'values', index: integer(index), type: vector });
  const total = names.map((name) => register(name, vector)).reduce((sum, one) => add(sum, one));
  const body: Statement[] = [
    { kind: 'let', name: 'a', type: vector, value: load(0) },
    { kind: 'let', name: 'b', type: vector, value: load(1) },
    ...names.map((name, at): Statement => ({ kind: 'var', name, type: vector, value: float(at, 4) })),
    {
      kind: 'for',
      variable: 'i',
      start: integer(0),
      end: parameter('iterations'),
      step: 1,
      body: names.map((name) => ({
        kind: 'assign',
        name,
        value: multiplyAdd(register(name, vector), register('a', vector), register('b', vector)),
      })),
    },
    { kind: 'store', buffer: 'sums', index: invocation(), value: total },
  ];
  return {
    phase: 'thread',
    name: 'calibrate_multiply_add',
    buffers: [
      { name: 'values', storage: 'f32', lanes: 4, access: 'read' },
      { name: 'sums', storage: 'f32', lanes: 4, access: 'write' },
    ],
    parameters: ['iterations'],
    workgroupSize,
    shared: [],
    body,
  };
}

const copiesOfInvocation = 8;

/** Every invocation copies eight vectors, a workgroup's one after another. */
export function copyKernel(): ThreadKernel {
  const first = add(
    multiply(builtin('workgroup_x'), integer(workgroupSize * copiesOfInvocation)),
    builtin('local_index'),
  );
  const place = register('place', i32);
  const body: Statement[] = [{ kind: 'let', name: 'place', type: i32, value: first }];
  for (let at = 0; at < copiesOfInvocation; at++) {
    const index = add(place, constant(at * workgroupSize, i32));
    body.push({
      kind: 'store',
      buffer: 'output',
      index,
      value: { kind: 'load', buffer: 'input', index, type: vector },
    });
  }
  return {
    phase: 'thread',
    name: 'calibrate_copy',
    buffers: [
      { name: 'input', storage: 'f32', lanes: 4, access: 'read' },
      { name: 'output', storage: 'f32', lanes: 4, access: 'write' },
    ],
    parameters: [],
    workgroupSize,
    shared: [],
    body,
  };
}

function invocation(): Expression {
  return add(multiply(builtin('workgroup_x'), integer(workgroupSize)), builtin('local_index'));
}

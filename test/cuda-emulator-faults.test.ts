/** Bugs planted in kernels' texts: each must be an error that names kernel and place, never a crash or a wrong number. */
import { afterAll, describe, expect, it } from 'vitest';
import { printCuda } from '../backends/cuda/cuda.js';
import { Flux2cError } from '../ir/diagnostics.js';
import type { DiagnosticCode } from '../ir/diagnostics.js';
import { add, binary, builtin, f32, i32, integer, multiply, parameter, register } from '../ir/kernel/expressions.js';
import type { Expression, ThreadKernel } from '../ir/kernel/thread.js';
import { createCudaEmulatorDevice, CudaEmulatorDevice } from '../runtime/cuda/node/emulator-device.js';
import { emulate, openEmulator } from './cuda-tools.js';
import { asF32, buffer, bytesOf, letIn, load, store, vectorAdd } from './device-cases.js';
import { runCase } from './run-device-case.js';

const local = builtin('local_index');
const shared = (index: Expression): Expression => ({ kind: 'load_shared', array: 'tile', index, type: f32 });

/** y = x of the block turned around through shared memory, plus the largest of the warp, divided by `divisor`'s help. */
const kernel: ThreadKernel = {
  phase: 'thread',
  name: 'turn',
  buffers: [buffer('x', 'f32'), buffer('y', 'f32', 1, 'write')],
  parameters: ['divisor'],
  workgroupSize: 64,
  subgroupSize: 32,
  shared: [{ name: 'tile', type: f32, length: 64 }],
  body: [
    letIn('i', add(multiply(builtin('workgroup_x'), integer(64)), local)),
    { kind: 'store_shared', array: 'tile', index: local, value: load('x', register('i', i32)) },
    { kind: 'barrier' },
    letIn('turned', shared(binary('xor', local, integer(63)))),
    letIn('largest', { kind: 'subgroup_reduce', operator: 'max', operand: register('turned', f32) }),
    letIn('quotient', binary('div', register('i', i32), parameter('divisor'))),
    { kind: 'barrier' },
    { kind: 'store_shared', array: 'tile', index: local, value: register('largest', f32) },
    store('y', register('i', i32), add(register('turned', f32), shared(local))),
  ],
};
const text = printCuda(kernel);
const x = bytesOf(Float32Array.from({ length: 128 }, (_, at) => at));

interface Plant {
  readonly what: string;
  readonly from: string;
  readonly to: string;
  readonly code: DiagnosticCode;
  /** Buffer or shared array of the message. */
  readonly object?: string;
  /** Text of the line that the message shows. */
  readonly line: string;
  readonly found: RegExp;
}

const barrier = '  __syncthreads();\n';
const plants: readonly Plant[] = [
  {
    what: 'a missing barrier between write and read',
    from: `${barrier}  const float turned`,
    to: '  const float turned',
    // Invocation 0 comes first to what nobody has written yet.
    code: 'F2C248',
    object: 'shared tile',
    line: 'const float turned = f2c::load(tile, local_index ^ 63);',
    found: /byte 252, invocation 0 of block \(0, 0, 0\)/,
  },
  {
    what: 'a missing barrier between read and write',
    from: `${barrier}  f2c::store(tile`,
    to: '  f2c::store(tile',
    code: 'F2C244',
    object: 'shared tile',
    line: 'const float turned = f2c::load(tile, local_index ^ 63);',
    found:
      /invocation 32 of block \(0, 0, 0\) after invocation 31 at line \d+: f2c::store\(tile, local_index, largest\)/,
  },
  {
    what: 'a missing barrier within a warp',
    from: 'f2c::load(tile, local_index ^ 63)',
    to: 'f2c::load(tile, local_index); f2c::store(tile, local_index ^ 1, turned)',
    code: 'F2C244',
    object: 'shared tile',
    line: 'const float turned = f2c::load(tile, local_index); f2c::store(tile, local_index ^ 1, turned);',
    found: /invocation 1 of block \(0, 0, 0\) after invocation 0/,
  },
  {
    what: 'a read outside of a buffer',
    from: 'f2c::load(x, i)',
    to: 'f2c::load(x, i + 1)',
    code: 'F2C240',
    object: 'buffer x',
    line: 'f2c::store(tile, local_index, f2c::load(x, i + 1));',
    found: /128, invocation 63 of block \(1, 0, 0\)/,
  },
  {
    what: 'a read before a buffer',
    from: 'f2c::load(x, i)',
    to: 'f2c::load(x, i - 1)',
    code: 'F2C240',
    object: 'buffer x',
    line: 'f2c::store(tile, local_index, f2c::load(x, i - 1));',
    found: /-1, invocation 0 of block \(0, 0, 0\)/,
  },
  {
    what: 'a write outside of a buffer',
    from: 'f2c::store(y, i,',
    to: 'f2c::store(y, i * 2,',
    code: 'F2C241',
    object: 'buffer y',
    line: 'f2c::store(y, i * 2, turned + f2c::load(tile, local_index));',
    found: /128, invocation 0 of block \(1, 0, 0\)/,
  },
  {
    what: 'an access outside of shared memory',
    from: 'local_index ^ 63',
    to: '(local_index ^ 63) + 1',
    code: 'F2C242',
    object: 'shared tile',
    line: 'const float turned = f2c::load(tile, (local_index ^ 63) + 1);',
    found: /64, invocation 0 of block \(0, 0, 0\)/,
  },
  {
    what: 'a barrier that some invocations pass by',
    from: '  f2c::store(y, i,',
    to: '  if (local_index < 40) __syncthreads();\n  f2c::store(y, i,',
    code: 'F2C243',
    line: 'if (local_index < 40) __syncthreads();',
    found: /40 wait there; invocation 40 has ended/,
  },
  {
    what: 'invocations that end before a barrier',
    from: '  f2c::store(tile, local_index, f2c::load(x, i));',
    to: '  if (local_index >= 32) return;',
    code: 'F2C243',
    line: '__syncthreads();',
    found: /32 wait there; invocation 32 has ended/,
  },
  {
    what: 'two barriers in the branches of a condition',
    from: barrier,
    to: '  if (local_index < 32) {\n    __syncthreads();\n  } else {\n    __syncthreads();\n  }\n',
    code: 'F2C243',
    line: '__syncthreads();',
    found: /32 wait there; invocation 32 waits at line/,
  },
  {
    what: 'an operation of a part of a warp',
    from: '= f2c::subgroup_max(turned)',
    to: '= local_index < 5 ? turned : f2c::subgroup_max(turned)',
    code: 'F2C247',
    line: 'const float largest = local_index < 5 ? turned : f2c::subgroup_max(turned);',
    found: /27 lanes|is at line/,
  },
  {
    what: 'different operations of one warp',
    from: '= f2c::subgroup_max(turned)',
    to: '= local_index % 2 == 0 ? f2c::subgroup_add(turned) : f2c::subgroup_max(turned) + f2c::shuffle_xor(turned, 8)',
    code: 'F2C247',
    line: 'const float largest = local_index % 2 == 0 ? f2c::subgroup_add(turned) : f2c::subgroup_max(turned) + f2c::shuffle_xor(turned, 8);',
    found: /invocation/,
  },
  {
    what: 'shared memory that nothing has written',
    from: '  f2c::store(tile, local_index, f2c::load(x, i));',
    to: '  if (local_index != 9) f2c::store(tile, local_index, f2c::load(x, i));',
    code: 'F2C248',
    object: 'shared tile',
    line: 'const float turned = f2c::load(tile, local_index ^ 63);',
    found: /byte 36, invocation 54 of block \(0, 0, 0\)/,
  },
  {
    what: 'what the block before left in shared memory',
    from: '  f2c::store(tile, local_index, f2c::load(x, i));',
    to: '  if (workgroup_x == 0) f2c::store(tile, local_index, f2c::load(x, i));',
    code: 'F2C248',
    object: 'shared tile',
    line: 'const float turned = f2c::load(tile, local_index ^ 63);',
    found: /invocation 0 of block \(1, 0, 0\)/,
  },
];

const device = await openEmulator('planted bugs on the CUDA emulator');
if (device !== undefined) {
  const run = (source: string, divisor = 1, on = device): Promise<readonly Uint8Array[]> =>
    emulate(on, { kernel, source, buffers: [x, new Uint8Array(512)], parameters: { divisor }, workgroups: [2, 1, 1] });
  const failure = async (source: string, divisor?: number): Promise<Flux2cError> => {
    const error = await run(source, divisor).catch((thrown: unknown) => thrown);
    if (error instanceof Flux2cError) return error;
    throw new Error(`no error: ${String(error)}`);
  };

  describe('the CUDA emulator', () => {
    afterAll(() => device.destroy());

    it('finds nothing wrong with the kernel itself', async () => {
      const [, y] = await run(text);
      expect(asF32(y as Uint8Array)[3]).toBe(60 + 63);
    });

    it.each(plants)('reports $what', async ({ from, to, code, object, line, found }) => {
      expect(text).toContain(from);
      const source = text.replace(from, to);
      const error = await failure(source);
      expect(error.code, error.format()).toBe(code);
      const lineNumber = source.split('\n').findIndex((each) => each.trim() === line) + 1;
      const [launch, kernelName, ...places] = error.detail.where ?? [];
      expect([launch, kernelName]).toEqual(['launch test of turn', 'kernel turn']);
      const expected = places.at(-1)?.replace(/line \d+/, `line ${lineNumber}`);
      expect(expected).toBe(`turn.cu line ${lineNumber}: ${line}`);
      expect(places.slice(0, -1)).toEqual(object === undefined ? [] : [object]);
      expect(error.detail.found).toMatch(found);
    });

    it('reports a division by zero', async () => {
      const error = await failure(text, 0);
      expect(error.code).toBe('F2C246');
      expect(error.detail.where?.at(-1)).toMatch(/line \d+: const int quotient = f2c::divide/);
    });

    it('goes on after a failure, and keeps the bytes that a failed launch wrote nowhere near', async () => {
      await failure(text, 0);
      const [same, y] = await run(text);
      expect(same).toEqual(x);
      expect(asF32(y as Uint8Array)[127]).toBe(64 + 95);
    });

    it('names the kernel, the line and the message of a text that does not compile', async () => {
      const source = text.replace('const int i =', 'const int i = nonsense +');
      const error = await failure(source);
      expect(error.code).toBe('F2C511');
      expect(error.detail.where?.[0]).toBe('kernel turn');
      expect(error.detail.where?.[1]).toMatch(/^line \d+: const int i = nonsense/);
      expect(error.detail.found).toMatch(/nonsense/);
    });

    it('reports progress and compiles a kernel once', async () => {
      const seen: string[] = [];
      const kernels = ['one', 'two', 'three'].map((name) => {
        const named = { ...kernel, name };
        return { name, kernel: named, source: printCuda(named) };
      });
      await device.loadKernels(kernels, (done, total) => seen.push(`${done}/${total}`));
      expect(seen.at(-1)).toBe('3/3');
      const start = performance.now();
      await device.loadKernels(kernels);
      expect(performance.now() - start).toBeLessThan(50);
    });

    it('checks launches as every device does', async () => {
      const odd = device.createBuffer(1024, 'odd');
      const bindings = [0, 4].map((byteOffset) => ({ buffer: odd, byteOffset, byteLength: 512 }));
      await device.loadKernels([{ name: 'turn', kernel, source: text }]);
      const launch = { kernel: 'turn', label: 'odd', bindings, parameters: Int32Array.of(1), workgroups: [1, 1, 1] } as const; // prettier-ignore
      expect(() => device.record([launch], 'odd')).toThrowError(expect.objectContaining({ code: 'F2C514' }) as Error);
      odd.destroy();
    });
  });
}

it('says what to install where there is no compiler', async () => {
  const none = createCudaEmulatorDevice({ compiler: 'no-such-compiler' });
  expect(none).toBeInstanceOf(CudaEmulatorDevice);
  expect([none.kind, none.description]).toEqual(['cuda', 'CUDA emulator']);
  await expect(runCase(none, vectorAdd())).rejects.toMatchObject({
    code: 'F2C524',
    detail: { hint: expect.stringContaining('Install g++') as unknown },
  });
});

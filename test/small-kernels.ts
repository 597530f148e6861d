import { add, builtin, f32, i32, integer, lessThan, multiply, parameter, register } from '../ir/kernel/expressions.js';
import type { BufferParameter, Expression, Statement, ThreadKernel } from '../ir/kernel/thread.js';
import type { AccessMap } from '../ir/kernel/access.js';
import type { LoadableKernel } from '../runtime/plan/bound-plan.js';
import { accessMap } from './plan-samples.js';

/** Kernels small enough to read, which compute something, for tests of plans and sessions. */

const tile = 16;

/** Element `at` of a buffer, counted from its view. */
function element(buffer: string, at: Expression): Expression {
  return { kind: 'load', buffer, index: add(at, parameter(`${buffer}_base`)), type: f32 };
}

function store(buffer: string, at: Expression, value: Expression): Statement {
  return { kind: 'store', buffer, index: add(at, parameter(`${buffer}_base`)), value };
}

function kernel(
  name: string,
  access: readonly BufferParameter['access'][],
  parameters: readonly string[],
  accesses: AccessMap,
  body: readonly Statement[],
): LoadableKernel {
  const buffers = access.map((kind, index) => ({ name: `b${index}`, storage: 'f32', lanes: 1, access: kind }) as const);
  const thread: ThreadKernel = {
    phase: 'thread',
    name,
    buffers,
    parameters: ['origin_x', 'origin_y', 'origin_z', ...buffers.map((buffer) => `${buffer.name}_base`), ...parameters],
    workgroupSize: tile,
    shared: [],
    body,
  };
  return { name, thread, accesses, source: '' };
}

const i = register('i', i32);

/** `i` is this invocation's coordinate along x, in tiles of 16; the body runs where it is below the parameter `n`. */
function forEach(body: readonly Statement[]): readonly Statement[] {
  const coordinate = add(multiply(builtin('workgroup_x'), integer(tile)), builtin('local_index'));
  return [
    { kind: 'let', name: 'i', type: i32, value: coordinate },
    { kind: 'if', condition: lessThan(i, parameter('n')), then: body },
  ];
}

/** b2[i] = b0[i] * b1[i], i < n. */
export const productKernel = kernel(
  'product',
  ['read', 'read', 'write'],
  ['n'],
  accessMap(['x', 'x', 'x']),
  forEach([store('b2', i, multiply(element('b0', i), element('b1', i)))]),
);

/** b1[i] = b0[i] + step, i < n. */
export const addStepKernel = kernel(
  'add_step',
  ['read', 'write'],
  ['n', 'step'],
  accessMap(['x', 'x']),
  forEach([store('b1', i, add(element('b0', i), { kind: 'convert', to: 'f32', operand: parameter('step') }))]),
);

/** b2[i] = sum over j < k of b0[j] * b1[i * k + j], i < n. */
export const linearKernel = kernel(
  'linear',
  ['read', 'read', 'write'],
  ['n', 'k'],
  accessMap(['j', 'k*x+j', 'x'], { j: 'k' }),
  forEach([
    { kind: 'var', name: 'sum', type: f32, value: { kind: 'constant', type: f32, value: 0 } },
    {
      kind: 'for',
      variable: 'j',
      start: integer(0),
      end: parameter('k'),
      step: 1,
      body: [
        {
          kind: 'assign',
          name: 'sum',
          value: {
            kind: 'fma',
            a: element('b0', register('j', i32)),
            b: element('b1', add(multiply(i, parameter('k')), register('j', i32))),
            c: register('sum', f32),
          },
        },
      ],
    },
    store('b2', i, register('sum', f32)),
  ]),
);

export const smallKernels: ReadonlyMap<string, LoadableKernel> = new Map(
  [productKernel, addStepKernel, linearKernel].map((one) => [one.name, one]),
);

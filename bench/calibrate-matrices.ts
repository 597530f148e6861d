/** What matrices of subgroups can do at best: products of factors that stay where they are, with no memory to wait for. */
import { add, binary, builtin, i32, integer, multiply, parameter, u32, vectorOf } from '../ir/kernel/expressions.js';
import type { Expression, Statement, SubgroupProduct, ThreadKernel } from '../ir/kernel/thread.js';

const subgroups = 4;
/** Sums of a subgroup: enough to hide the latency of a product. */
const independent = 8;
const vector = vectorOf('f32', 4);

/** Operations of `matrixKernel` with so many workgroups and iterations. */
export function matrixFlop({ rows, columns, depth }: SubgroupProduct, workgroups: number, iterations: number): number {
  return 2 * rows * columns * depth * independent * subgroups * iterations * workgroups;
}

/** sums_i += left · right, as often as the parameter says; every workgroup writes what its subgroups have come to. */
export function matrixKernel(product: SubgroupProduct, subgroupSize: number): ThreadKernel {
  const { rows, columns, depth } = product;
  const workgroupSize = subgroups * subgroupSize;
  const names = Array.from({ length: independent }, (_, at) => `sums${at}`);
  const leftWords = (rows * depth) / 2;
  const words = leftWords + (columns * depth) / 2;
  /** Vectors of one matrix of sums. */
  const each = (rows * columns) / 4;
  const invocation = add(multiply(builtin('workgroup_x'), integer(workgroupSize)), builtin('local_index'));
  const own = multiply(builtin('subgroup_index'), integer(each * independent));
  const fills = Array.from({ length: Math.ceil(words / workgroupSize) }, (_, round): Statement => {
    const index = add(builtin('local_index'), integer(round * workgroupSize));
    return {
      kind: 'if',
      condition: binary('less', index, integer(words)),
      then: [
        { kind: 'store_shared', array: 'factors', index, value: { kind: 'load', buffer: 'values', index, type: u32 } },
      ],
    };
  });
  const body: Statement[] = [
    ...fills,
    { kind: 'barrier' },
    {
      kind: 'load_factor',
      name: 'left',
      side: 'left',
      array: 'factors',
      index: integer(0),
      pitch: depth / 2,
      byDepth: true,
    },
    {
      kind: 'load_factor',
      name: 'right',
      side: 'right',
      array: 'factors',
      index: integer(leftWords),
      pitch: depth / 2,
      byDepth: true,
    },
    ...names.map((name): Statement => ({ kind: 'declare_sums', name })),
    {
      kind: 'for',
      variable: 'i',
      start: integer(0),
      end: parameter('iterations'),
      step: 1,
      body: names.map((sums): Statement => ({ kind: 'multiply_factors', sums, left: 'left', right: 'right' })),
    },
    ...names.map((sums, at): Statement => {
      const index = add(own, integer(at * each));
      return { kind: 'store_sums', sums, array: 'slab', index, pitch: columns / 4 };
    }),
    { kind: 'barrier' },
    { kind: 'let', name: 'first', type: i32, value: add(own, binary('mod', builtin('subgroup_lane'), integer(each))) },
    { kind: 'store', buffer: 'output', index: invocation, value: totalOf(each) },
  ];
  return {
    phase: 'thread',
    name: 'calibrate_matrices',
    buffers: [
      { name: 'values', storage: 'u32', lanes: 1, access: 'read' },
      { name: 'output', storage: 'f32', lanes: 4, access: 'write' },
    ],
    parameters: ['iterations'],
    workgroupSize,
    subgroupSize,
    subgroupProduct: product,
    shared: [
      { name: 'factors', type: u32, length: words },
      { name: 'slab', type: vector, length: subgroups * independent * each },
    ],
    body,
  };
}

/** A vector of each of the subgroup's sums, added up. */
function totalOf(each: number): Expression {
  const first: Expression = { kind: 'register', name: 'first', type: i32 };
  return Array.from({ length: independent }, (_, at): Expression => {
    return { kind: 'load_shared', array: 'slab', index: add(first, integer(at * each)), type: vector };
  }).reduce((sum, one) => add(sum, one));
}

/** Bytes of the kernel's factors: f16 numbers, the left one's rows · depth and then the right one's columns · depth. */
export function matrixInputs({ rows, columns, depth }: SubgroupProduct): Uint8Array {
  // All are 2^-10, so that sums stay finite for as long as anyone waits.
  return new Uint8Array(new Uint16Array((rows + columns) * depth).fill(0x1400).buffer);
}

import { Dim } from '../ir/dim.js';
import {
  add,
  binary,
  both,
  builtin,
  divide,
  float,
  i32,
  integer,
  lessThan,
  modulo,
  multiply,
  parameter,
  register,
  subtract,
  vectorOf,
} from '../ir/kernel/expressions.js';
import { numbersOfWord } from '../ir/kernel/matrix-types.js';
import type { Expression, MatrixType, RegisterType, Statement, ThreadKernel } from '../ir/kernel/thread.js';
import { buffer, letIn, store } from './device-cases.js';

/** A tile of 128 rows: 64 of each of two warpgroups. */
export const tileRows = 128;

export interface PipelinedProductOptions {
  readonly name: string;
  /** Columns of a tile: 64, 128 or 256. */
  readonly tileColumns: number;
  readonly stages: number;
  readonly operands?: MatrixType;
}

const f32x2: RegisterType = vectorOf('f32', 2);
const local = (name: string): Expression => register(name, i32);
const p = parameter;
const place = (array: string, index: Expression) => ({ array, index });

/**
 * y (rows x columns, f32) = x (rows x depth) wᵀ (columns x depth) by workgroups that walk over tiles: a warp of the last
 * warpgroup copies chunks of both into a ring of stages, two warpgroups multiply from there. 16 bytes divide a row of `depth` numbers,
 * and `columns` is even. A launch has `tiles_x` tiles of rows by `tiles_y` of columns.
 */
export function pipelinedProduct({
  name,
  tileColumns,
  stages,
  operands = 'bf16',
}: PipelinedProductOptions): ThreadKernel {
  // Numbers of the contracted axis in a stage: 128 bytes, or 8 elements.
  const chunk = 32 * numbersOfWord[operands];
  const [rowElements, columnElements] = [tileRows * 8, tileColumns * 8];
  const sums = Array.from({ length: tileColumns / 4 }, (_, at) => `sum_${at}`);
  const stage = local('stage');
  const onTiles = (body: readonly Statement[]): Statement => ({
    kind: 'for',
    variable: 'round',
    start: integer(0),
    end: divide(
      subtract(add(subtract(local('tiles'), builtin('group_index')), builtin('group_count')), integer(1)),
      builtin('group_count'),
    ),
    step: 1,
    body: [
      letIn('tile', add(builtin('group_index'), multiply(local('round'), builtin('group_count')))),
      letIn('row_base', multiply(modulo(local('tile'), p('tiles_x')), integer(tileRows))),
      letIn('column_base', multiply(divide(local('tile'), p('tiles_x')), integer(tileColumns))),
      ...body,
    ],
  });
  const onChunks = (body: readonly Statement[]): Statement => ({
    kind: 'for',
    variable: 'k',
    start: integer(0),
    end: p('depth'),
    step: chunk,
    body: [
      letIn('it', add(multiply(local('round'), local('chunks')), divide(local('k'), integer(chunk)))),
      letIn('stage', modulo(local('it'), integer(stages))),
      ...body,
    ],
  });
  const phase = (it: Expression): Expression => modulo(divide(it, integer(stages)), integer(2));
  const arriveBefore = (it: Expression, condition: Expression): Statement => ({
    kind: 'if',
    condition: both(binary('equal', builtin('subgroup_lane'), integer(0)), condition),
    then: [{ kind: 'arrive', barrier: place('emptied', modulo(subtract(it, integer(1)), integer(stages))) }],
  });
  const products = [0, 1, 2, 3].map((step): Statement => ({
    kind: 'multiply_shared',
    accumulators: sums,
    operands,
    a: {
      kind: 'shared_matrix',
      array: 'stage_0',
      index: add(
        add(multiply(stage, integer(rowElements)), multiply(local('warpgroup'), integer(512))),
        integer(2 * step),
      ),
      byDepth: true,
      blockLength: rowElements,
    },
    b: {
      kind: 'shared_matrix',
      array: 'stage_1',
      index: add(multiply(stage, integer(columnElements)), integer(2 * step)),
      byDepth: true,
      blockLength: columnElements,
    },
    columns: tileColumns,
  }));
  const stores = sums.map((sum, at): Statement => {
    const row = add(local('row'), integer(8 * (at % 2)));
    const column = add(local('column'), integer(8 * Math.floor(at / 2)));
    return {
      kind: 'if',
      condition: both(lessThan(row, p('rows')), lessThan(column, p('columns'))),
      then: [store('y', divide(add(multiply(row, p('columns')), column), integer(2)), register(sum, f32x2))],
    };
  });
  const multiplyBody: readonly Statement[] = [
    letIn('warpgroup', divide(builtin('local_index'), integer(128))),
    onTiles([
      ...sums.map((sum): Statement => ({ kind: 'var', name: sum, type: f32x2, value: float(0, 2) })),
      onChunks([
        { kind: 'wait_barrier', barrier: place('filled', stage), parity: phase(local('it')) },
        { kind: 'begin_products' },
        ...products,
        { kind: 'commit_products' },
        { kind: 'wait_products', pending: 1 },
        arriveBefore(local('it'), lessThan(integer(0), local('k'))),
      ]),
      { kind: 'wait_products', pending: 0 },
      arriveBefore(multiply(add(local('round'), integer(1)), local('chunks')), lessThan(integer(0), local('chunks'))),
      letIn(
        'row',
        add(
          add(local('row_base'), multiply(divide(builtin('local_index'), integer(32)), integer(16))),
          divide(builtin('subgroup_lane'), integer(4)),
        ),
      ),
      letIn('column', add(local('column_base'), multiply(modulo(builtin('subgroup_lane'), integer(4)), integer(2)))),
      ...stores,
    ]),
  ];
  const copies: readonly Statement[] = [
    {
      kind: 'wait_barrier',
      barrier: place('emptied', stage),
      parity: modulo(add(divide(local('it'), integer(stages)), integer(1)), integer(2)),
    },
    { kind: 'expect_copies', barrier: place('filled', stage), bytes: 16 * (rowElements + columnElements) },
    {
      kind: 'copy_tensor',
      array: 'stage_0',
      index: multiply(stage, integer(rowElements)),
      map: 'x_map',
      at: [local('k'), local('row_base')],
      barrier: place('filled', stage),
    },
    {
      kind: 'copy_tensor',
      array: 'stage_1',
      index: multiply(stage, integer(columnElements)),
      map: 'w_map',
      at: [local('k'), local('column_base')],
      barrier: place('filled', stage),
    },
  ];
  const depth = Dim.symbol('depth');
  const matrix = (name: string, extent: string, box: number) => ({
    name: `${name}_map`,
    buffer: name,
    offset: Dim.of(0),
    dimensions: [
      { extent: depth, stride: Dim.of(1), box: chunk },
      { extent: Dim.symbol(extent), stride: depth, box },
    ],
  });
  return {
    phase: 'thread',
    name,
    buffers: [buffer('x', operands, 4), buffer('w', operands, 4), buffer('y', 'f32', 2, 'write')],
    parameters: ['tiles_x', 'tiles_y', 'tiles_z', 'rows', 'columns', 'depth'],
    tensorMaps: [matrix('x', 'rows', tileRows), matrix('w', 'columns', tileColumns)],
    barriers: [
      { name: 'filled', length: stages, arrivals: 1 },
      { name: 'emptied', length: stages, arrivals: 8 },
    ],
    walksTiles: true,
    workgroupSize: 384,
    subgroupSize: 32,
    shared: [
      { name: 'stage_0', type: vectorOf('u32', 4), length: stages * rowElements },
      { name: 'stage_1', type: vectorOf('u32', 4), length: stages * columnElements },
    ],
    body: [
      letIn('chunks', divide(add(p('depth'), integer(chunk - 1)), integer(chunk))),
      letIn('tiles', multiply(multiply(p('tiles_x'), p('tiles_y')), p('tiles_z'))),
      {
        kind: 'roles',
        roles: [
          { name: 'multiply', invocations: 256, registers: 232, body: multiplyBody },
          {
            name: 'copy',
            invocations: 128,
            registers: 40,
            body: [
              {
                kind: 'if',
                condition: binary('equal', builtin('local_index'), integer(256)),
                then: [onTiles([onChunks(copies)])],
              },
            ],
          },
        ],
      },
    ],
  };
}

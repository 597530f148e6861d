import { Dim } from '../../dim.js';
import type { TensorType } from '../graph.js';
import type { OpDefinition } from '../op-table.js';
import {
  expectDim,
  expectDType,
  expectFloat,
  expectOperands,
  expectPositiveInteger,
  expectPositiveNumber,
  expectRank,
  expectShape,
  rejectOperation,
} from './checks.js';
import { costOfFlop, countElementsOf } from './cost.js';

/** The tables are f32 as a rule and do not widen the result: a bf16 query stays bf16. */
const rope: OpDefinition<'rope'> = {
  kind: 'rope',
  category: 'injective',
  infer(operands) {
    const [x, cos, sin] = expectOperands('rope', operands, ['x', 'cos', 'sin']);
    expectRank('rope', 'x', x, 'B, S, H, D');
    for (const [name, type] of Object.entries({ x, cos, sin })) expectFloat('rope', name, type);
    const [, positions, , size] = x.shape as [Dim, Dim, Dim, Dim];
    const half = size.divideExactly(2);
    if (half === undefined) {
      rejectOperation('F2C116', 'rope', "the last axis of 'x' does not split into pairs", {
        expected: 'a multiple of 2',
        found: size.text,
      });
    }
    expectShape('rope', 'cos', cos, [positions, half]);
    expectShape('rope', 'sin', sin, [positions, half]);
    return [x];
  },
  /** Per pair: 4 products and 2 sums. */
  cost: (operands, _, results) => costOfFlop(countElementsOf(operands[0] as TensorType).mul(3), operands, results),
};

const ropeTable: OpDefinition<'rope_table'> = {
  kind: 'rope_table',
  category: 'host',
  infer(operands, { theta, axisSizes }) {
    const [ids] = expectOperands('rope_table', operands, ['ids']);
    expectRank('rope_table', 'ids', ids, 'S, axes');
    expectDType('rope_table', 'ids', ids, 'i32');
    expectPositiveNumber('rope_table', 'theta', theta);
    if (axisSizes.length === 0 || axisSizes.some((size) => !Number.isSafeInteger(size) || size < 2 || size % 2 !== 0)) {
      rejectOperation('F2C114', 'rope_table', "attribute 'axisSizes' must be even numbers of at least 2", {
        found: `[${axisSizes.join(', ')}]`,
      });
    }
    const [positions, axes] = ids.shape as [Dim, Dim];
    expectDim('rope_table', "the axes of 'ids' (last axis)", axes, axisSizes.length);
    const columns = axisSizes.reduce((sum, size) => sum + size / 2, 0);
    const table: TensorType = { dtype: 'f32', shape: [positions, Dim.of(columns)] };
    return [table, table];
  },
  cost: (operands, _, results) => costOfFlop(countElementsOf(results[0] as TensorType).mul(4), operands, results),
};

const timestepEmbedding: OpDefinition<'timestep_embedding'> = {
  kind: 'timestep_embedding',
  category: 'host',
  infer(operands, { size, maxPeriod, scale }) {
    const [t] = expectOperands('timestep_embedding', operands, ['t']);
    expectRank('timestep_embedding', 't', t, 'N');
    expectDType('timestep_embedding', 't', t, 'f32');
    expectPositiveInteger('timestep_embedding', 'size', size);
    if (size % 2 !== 0) {
      rejectOperation('F2C114', 'timestep_embedding', "attribute 'size' must be even", { found: `${size}` });
    }
    expectPositiveNumber('timestep_embedding', 'maxPeriod', maxPeriod);
    expectPositiveNumber('timestep_embedding', 'scale', scale);
    return [{ dtype: 'f32', shape: [t.shape[0] as Dim, Dim.of(size)] }];
  },
  cost: (operands, _, results) => costOfFlop(countElementsOf(results[0] as TensorType).mul(3), operands, results),
};

export const positionOps = { rope, rope_table: ropeTable, timestep_embedding: timestepEmbedding };

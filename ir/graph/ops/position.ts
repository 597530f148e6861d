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
import { allocateResult, roundResult } from './rounding.js';

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
  evaluate(operands, { style }, results, context) {
    const [x, cos, sin] = expectOperands('rope', operands, ['x', 'cos', 'sin']);
    const result = allocateResult(results[0], context);
    const [, positions, heads, size] = x.shape as [number, number, number, number];
    const half = size / 2;
    const [pairStart, pairStep] = style === 'interleaved' ? [2, 1] : [1, half];
    for (let row = 0; row * size < x.data.length; row++) {
      const table = (Math.floor(row / heads) % positions) * half;
      for (let i = 0; i < half; i++) {
        const first = row * size + i * pairStart;
        const second = first + pairStep;
        const [a, b] = [x.data[first] as number, x.data[second] as number];
        const [c, s] = [cos.data[table + i] as number, sin.data[table + i] as number];
        result.data[first] = a * c - b * s;
        result.data[second] = a * s + b * c;
      }
    }
    return [roundResult(result, context.precision)];
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
  /** Angles, cosines and sines in f64; the tables hold f32 in both precisions, as those of diffusers do. */
  evaluate(operands, { theta, axisSizes }, results, context) {
    const [ids] = expectOperands('rope_table', operands, ['ids']);
    const cos = allocateResult(results[0], context);
    const sin = allocateResult(results[1], context);
    const [positions, columns] = cos.shape as [number, number];
    for (let position = 0; position < positions; position++) {
      let at = position * columns;
      axisSizes.forEach((size, axis) => {
        const id = ids.data[position * axisSizes.length + axis] as number;
        for (let i = 0; i < size; i += 2) {
          const angle = id * (1 / theta ** (i / size));
          cos.data[at] = Math.fround(Math.cos(angle));
          sin.data[at] = Math.fround(Math.sin(angle));
          at++;
        }
      });
    }
    return [cos, sin];
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
  /**
   * Every step in f32, in both precisions: `get_timestep_embedding` of diffusers with flip_sin_to_cos and
   * downscale_freq_shift 0, after the model has multiplied t by `scale`. At arguments near 1000 the roundings move the
   * cosines by 1e-4, so they are part of the function.
   */
  evaluate(operands, { size, maxPeriod, scale }, results, context) {
    const [t] = expectOperands('timestep_embedding', operands, ['t']);
    const result = allocateResult(results[0], context);
    const half = size / 2;
    const negativeLog = Math.fround(-Math.log(maxPeriod));
    t.data.forEach((timestep, row) => {
      const scaled = Math.fround(Math.fround(timestep) * Math.fround(scale));
      for (let i = 0; i < half; i++) {
        const exponent = Math.fround(Math.fround(negativeLog * i) / half);
        const argument = Math.fround(scaled * Math.fround(Math.exp(exponent)));
        result.data[row * size + i] = Math.fround(Math.cos(argument));
        result.data[row * size + half + i] = Math.fround(Math.sin(argument));
      }
    });
    return [result];
  },
  cost: (operands, _, results) => costOfFlop(countElementsOf(results[0] as TensorType).mul(3), operands, results),
};

export const positionOps = { rope, rope_table: ropeTable, timestep_embedding: timestepEmbedding };

import type { Dim } from '../../dim.js';
import type { TensorType } from '../graph.js';
import type { OpDefinition } from '../op-table.js';
import {
  expectDType,
  expectFloat,
  expectOperands,
  expectRank,
  expectShape,
  rejectOperation,
  productType,
} from './checks.js';
import { costOfFlop, countElementsOf } from './cost.js';
import { allocateResult, roundFactors, roundResult, roundToDType } from './rounding.js';
import { multiplyRows } from './row-products.js';

/** Softmax of the first `length` scores; false when all of them are -infinity, so that no key is left to attend to. */
function softmaxInPlace(scores: Float64Array, length: number): boolean {
  let largest = -Infinity;
  for (let i = 0; i < length; i++) largest = Math.max(largest, scores[i] as number);
  if (largest === -Infinity) return false;
  let sum = 0;
  for (let i = 0; i < length; i++) {
    const value = Math.exp((scores[i] as number) - largest);
    scores[i] = value;
    sum += value;
  }
  for (let i = 0; i < length; i++) scores[i] = (scores[i] as number) / sum;
  return true;
}

/** out[outStart..] += sum over i of weights[i] · row i of `rows`, rows of `size` from `rowsStart`. */
function addWeightedRows(
  weights: Float64Array,
  count: number,
  rows: Float64Array,
  rowsStart: number,
  out: Float64Array,
  outStart: number,
  size: number,
): void {
  for (let i = 0; i < count; i++) {
    const weight = weights[i] as number;
    if (weight === 0) continue;
    const from = rowsStart + i * size;
    for (let d = 0; d < size; d++)
      out[outStart + d] = (out[outStart + d] as number) + weight * (rows[from + d] as number);
  }
}

const attention: OpDefinition<'attention'> = {
  kind: 'attention',
  category: 'attention',
  infer(operands, { scale }) {
    if (operands.length !== 3 && operands.length !== 4) {
      rejectOperation('F2C110', 'attention', 'wrong number of operands', {
        expected: '3 (q, k, v) or 4 (q, k, v, key mask)',
        found: `${operands.length}`,
      });
    }
    const [q, k, v] = expectOperands('attention', operands.slice(0, 3), ['q', 'k', 'v']);
    expectRank('attention', 'q', q, 'B, Hq, S, D');
    expectRank('attention', 'k', k, 'B, Hk, T, D');
    for (const [name, type] of Object.entries({ q, k, v })) expectFloat('attention', name, type);
    const [batch, queryHeads, , size] = q.shape as [Dim, Dim, Dim, Dim];
    const [, keyHeads, keys] = k.shape as [Dim, Dim, Dim, Dim];
    expectShape('attention', 'k', k, [batch, keyHeads, keys, size]);
    expectShape('attention', 'v', v, [batch, keyHeads, keys, size]);
    if (queryHeads.divideExactly(keyHeads) === undefined) {
      rejectOperation('F2C116', 'attention', 'the query heads must be a multiple of the key heads', {
        expected: `a multiple of ${keyHeads.text}`,
        found: queryHeads.text,
        hint: "Heads are axis 1: transpose [B, S, H, D] to [B, H, S, D] before 'attention'.",
      });
    }
    const mask = operands[3];
    if (mask !== undefined) {
      expectDType('attention', 'mask', mask, 'bool');
      expectShape('attention', 'mask', mask, [batch, keys]);
    }
    if (!Number.isFinite(scale)) {
      rejectOperation('F2C114', 'attention', "attribute 'scale' must be finite", { found: `${scale}` });
    }
    return [{ dtype: productType(productType(q.dtype, k.dtype), v.dtype), shape: q.shape }];
  },
  evaluate(operands, { scale, causal, factors }, results, context) {
    const [q, k, v] = roundFactors(expectOperands('attention', operands.slice(0, 3), ['q', 'k', 'v']), factors);
    const mask = operands[3];
    const result = allocateResult(results[0], context);
    const [batch, queryHeads, queries, size] = q.shape as [number, number, number, number];
    const [, keyHeads, keys] = k.shape as [number, number, number];
    const probabilities = new Float64Array(keys);
    for (let b = 0; b < batch; b++) {
      for (let head = 0; head < queryHeads; head++) {
        const keyHead = Math.floor((head * keyHeads) / queryHeads);
        const keyStart = (b * keyHeads + keyHead) * keys * size;
        for (let query = 0; query < queries; query++) {
          const start = ((b * queryHeads + head) * queries + query) * size;
          const visible = causal ? Math.min(keys, query + 1) : keys;
          const row = { data: probabilities, offset: 0 };
          multiplyRows({ data: q.data, offset: start }, { data: k.data, offset: keyStart }, row, 1, visible, size);
          for (let key = 0; key < visible; key++) {
            const allowed = mask === undefined || mask.data[b * keys + key] !== 0;
            probabilities[key] = allowed ? (probabilities[key] as number) * scale : -Infinity;
          }
          if (!softmaxInPlace(probabilities, visible)) continue;
          if (factors !== undefined) {
            for (let key = 0; key < visible; key++)
              probabilities[key] = roundToDType(factors, probabilities[key] as number);
          }
          addWeightedRows(probabilities, visible, v.data, keyStart, result.data, start, size);
        }
      }
    }
    return [roundResult(result, context.precision)];
  },
  /** Two products of 2·D a query and key; causal attention is counted in full. */
  cost(operands, _, results) {
    const [q, k] = operands as [TensorType, TensorType];
    return costOfFlop(
      countElementsOf(q)
        .mul(k.shape[2] as Dim)
        .mul(4),
      operands,
      results,
    );
  },
};

export const attentionOps = { attention };

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
  widerFloat,
} from './checks.js';
import { costOfFlop, countElementsOf } from './cost.js';

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
    return [{ dtype: widerFloat(widerFloat(q.dtype, k.dtype), v.dtype), shape: q.shape }];
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

import { Dim } from '../../../ir/dim.js';
import type { Value } from '../../../ir/graph/graph.js';
import type { IndexCondition, TileExpression, TileStatement } from '../../../ir/kernel/tile.js';
import { anchorOf } from './facts.js';
import { addressOf } from './group.js';
import type { KernelGroup } from './group.js';
import type { IndexSpace } from './index-space.js';
import type { Scalarizer } from './scalarize.js';
import { binary, number, roundFactor, roundTo, tile, unary } from './tile-expressions.js';

/**
 * Below any score, and far below what the running maximum starts from: 2 to the power of their difference is nothing, so that what is
 * masked adds nothing even to a query that sees no key.
 */
const masked = -1e30;
const lowest = -1e20;

/**
 * Attention with an online softmax (Milakov and Gimelshein 2018; FlashAttention): keys in chunks, a running maximum and sum a
 * query, the output rescaled when the maximum rises. No score leaves the registers.
 */
export function buildAttention(group: KernelGroup, pull: Scalarizer, space: IndexSpace): TileStatement[] {
  const anchor = anchorOf(group, ['attention']);
  const [query, key, value, mask] = anchor.operands as readonly [Value, Value, Value, Value | undefined];
  const result = anchor.results[0] as Value;
  const layout = group.results[0];
  if (layout === undefined || group.body.results[0] !== result)
    throw new Error('internal: an attention kernel stores its anchor only');
  const { scale, causal, factors } = anchor.attributes;
  const [m, head, batch, d, j] = ['m', 'h', 'z', 'd', 'j'].map((name) => Dim.symbol(name)) as [Dim, Dim, Dim, Dim, Dim];
  const heads = query.type.shape[1] as Dim;
  const keyHeads = key.type.shape[1] as Dim;
  const keys = key.type.shape[2] as Dim;
  const grouped = heads.divideExactly(keyHeads);
  if (grouped === undefined) throw new Error('internal: query heads are not a multiple of key heads');
  const keyHead = space.floor(head, grouped);
  const conditions: IndexCondition[] = [{ kind: 'less', left: j, right: keys }];
  if (causal) conditions.push({ kind: 'less', left: j, right: m.add(1) });
  const scores = (value: TileExpression): TileStatement => ({ kind: 'assign', name: 's', value });
  const masking: readonly TileStatement[] =
    mask === undefined
      ? []
      : [scores({ kind: 'select', condition: pull.elementOf(mask, [batch, j]), yes: tile('s'), no: number(masked) })];
  const exp2 = (operand: TileExpression): TileExpression => unary('exp2', operand);
  const factor = (operand: TileExpression): TileExpression => roundFactor(factors, operand);
  return [
    {
      kind: 'tile',
      name: 'q',
      axes: ['m', 'd'],
      // Scores are logarithms to the base of 2, which hardware has the exponential of.
      value: factor(binary('mul', pull.elementOf(query, [batch, head, m, d]), number(scale * Math.LOG2E))),
    },
    { kind: 'tile', name: 'out', axes: ['m', 'd'], value: number(0) },
    { kind: 'tile', name: 'largest', axes: ['m'], value: number(lowest) },
    { kind: 'tile', name: 'sum', axes: ['m'], value: number(0) },
    {
      kind: 'for',
      axis: 'j',
      body: [
        { kind: 'tile', name: 's', axes: ['m', 'j'], value: number(0) },
        {
          kind: 'contract',
          name: 's',
          over: 'd',
          a: tile('q'),
          b: factor(pull.elementOf(key, [batch, keyHead, j, d])),
        },
        ...masking,
        scores({ kind: 'when', conditions, yes: tile('s'), no: number(masked) }),
        { kind: 'tile', name: 'next', axes: ['m'], value: tile('largest') },
        { kind: 'reduce', name: 'next', over: 'j', operator: 'max', padded: true, value: tile('s') },
        { kind: 'tile', name: 'shrink', axes: ['m'], value: exp2(binary('sub', tile('largest'), tile('next'))) },
        { kind: 'assign', name: 'largest', value: tile('next') },
        scores(exp2(binary('sub', tile('s'), tile('next')))),
        { kind: 'assign', name: 'sum', value: binary('mul', tile('sum'), tile('shrink')) },
        { kind: 'reduce', name: 'sum', over: 'j', operator: 'add', padded: true, value: tile('s') },
        { kind: 'assign', name: 'out', value: binary('mul', tile('out'), tile('shrink')) },
        {
          kind: 'contract',
          name: 'out',
          over: 'j',
          a: factor(tile('s')),
          b: factor(pull.elementOf(value, [batch, keyHead, j, d])),
        },
      ],
    },
    {
      kind: 'tile',
      name: 'inverse',
      axes: ['m'],
      value: {
        kind: 'select',
        // The largest score of a query adds 1.
        condition: binary('less', number(0.5), tile('sum')),
        yes: binary('div', number(1), tile('sum')),
        no: number(0),
      },
    },
    {
      kind: 'store',
      buffer: 'r0',
      axes: ['m', 'd'],
      index: addressOf(space, layout, result.type.shape, [batch, head, m, d]),
      conditions: [],
      value: roundTo(result.type.dtype, binary('mul', tile('out'), tile('inverse'))),
    },
  ];
}

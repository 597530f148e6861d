import { expect, it } from 'vitest';
import { hostTensor, inferError, inferTypes, patternTensor, runOperation } from '../../../test/run-operation.js';
import { compareTensors } from '../../host-tensor.js';
import type { HostTensor } from '../../host-tensor.js';
import { roundToDType } from './rounding.js';

interface Case {
  readonly q: HostTensor;
  readonly k: HostTensor;
  readonly v: HostTensor;
  readonly mask?: HostTensor;
}

/** The same from other operations: key heads repeated, forbidden scores lowered by 1e30, softmax, product. */
function attendByParts({ q, k, v, mask }: Case, scale: number, causal: boolean): HostTensor {
  const [batch, heads, queries, size] = q.shape as [number, number, number, number];
  const [, keyHeads, keys] = k.shape as [number, number, number];
  const repeat = (tensor: HostTensor): HostTensor => {
    const of = [batch, keyHeads, 1, keys * size];
    const [repeated] = runOperation(
      'concat',
      Array.from({ length: heads / keyHeads }, () => ({ ...tensor, shape: of })),
      { axis: 2 },
    );
    return { ...(repeated as HostTensor), shape: [batch, heads, keys, size] };
  };
  const [scores] = runOperation('matmul', [q, repeat(k)], { transposeB: true }) as [HostTensor];
  const masked = scores.data.map((score, index) => {
    const key = index % keys;
    const query = Math.floor(index / keys) % queries;
    const b = Math.floor(index / keys / queries / heads);
    const allowed = (!causal || key <= query) && (mask === undefined || mask.data[b * keys + key] !== 0);
    return score * scale - (allowed ? 0 : 1e30);
  });
  const [weights] = runOperation('softmax', [{ ...scores, data: masked }], {}) as [HostTensor];
  return runOperation('matmul', [weights, repeat(v)], { transposeB: false })[0] as HostTensor;
}

function makeCase(queryHeads: number, keyHeads: number, queries: number, keys: number): Case {
  const mask = hostTensor(
    'bool',
    [2, keys],
    Array.from({ length: 2 * keys }, (_, i) => (i % 3 === 1 ? 0 : 1)),
  );
  return {
    q: patternTensor('f32', [2, queryHeads, queries, 6], 1),
    k: patternTensor('f32', [2, keyHeads, keys, 6], 2),
    v: patternTensor('f32', [2, keyHeads, keys, 6], 3),
    mask,
  };
}

it.each([
  ['plain', 3, 3, 5, 7, false],
  ['grouped queries', 6, 2, 4, 5, false],
  ['causal', 2, 2, 6, 6, true],
  ['causal with more keys than queries', 2, 1, 3, 6, true],
  ['causal with fewer keys than queries', 2, 1, 6, 3, true],
] as const)('%s, with and without a mask, equals its parts', (_, queryHeads, keyHeads, queries, keys, causal) => {
  const { mask, ...open } = makeCase(queryHeads, keyHeads, queries, keys);
  for (const tested of [open, { ...open, mask: mask as HostTensor }]) {
    const [got] = runOperation('attention', Object.values(tested), { scale: 0.7, causal });
    expect(compareTensors(got as HostTensor, attendByParts(tested, 0.7, causal)).maxAbs).toBeLessThan(1e-14);
  }
});

it('rounds queries, keys, values and probabilities, and not what it adds up', () => {
  const round = (tensor: HostTensor): HostTensor => {
    return { ...tensor, data: tensor.data.map((value) => roundToDType('f16', value)) };
  };
  const open = {
    q: patternTensor('f32', [1, 2, 5, 6], 1),
    k: patternTensor('f32', [1, 2, 7, 6], 2),
    v: patternTensor('f32', [1, 2, 7, 6], 3),
  };
  const third = (tensor: HostTensor): HostTensor => ({ ...tensor, data: tensor.data.map((value) => value / 3) });
  const [q, k, v] = [third(open.q), third(open.k), third(open.v)] as const;
  const [scores] = runOperation('matmul', [round(q), round(k)], { transposeB: true }) as [HostTensor];
  const [probabilities] = runOperation('softmax', [{ ...scores, data: scores.data.map((score) => score * 0.7) }], {});
  const [want] = runOperation('matmul', [round(probabilities!), round(v)], { transposeB: false });
  const attributes = { scale: 0.7, causal: false };
  const [got] = runOperation('attention', [q, k, v], { ...attributes, factors: 'f16' });
  expect(compareTensors(got!, want!).maxAbs).toBeLessThan(1e-14);
  const [wide] = runOperation('attention', [q, k, v], attributes);
  expect(compareTensors(wide!, want!).maxAbs).toBeGreaterThan(1e-5);
});

it('gives 0 to a query without a key', () => {
  const x = hostTensor('f32', [1, 1, 3, 1], [1, 2, 3]);
  // Left padding: the first query sees only key 0, which is masked.
  const mask = hostTensor('bool', [1, 3], [0, 1, 1]);
  const [got] = runOperation('attention', [x, x, x, mask], { scale: 0, causal: true });
  expect([...(got as HostTensor).data]).toEqual([0, 2, 2.5]);
});

it('keeps large scores finite and takes no keys at all', () => {
  const x = hostTensor('f32', [1, 1, 2, 1], [100, 200]);
  const [got] = runOperation('attention', [x, x, x], { scale: 1, causal: false });
  expect([...(got as HostTensor).data]).toEqual([200, 200]);
  const none = hostTensor('f32', [1, 1, 0, 1], []);
  expect([...(runOperation('attention', [x, none, none], { scale: 1, causal: false })[0] as HostTensor).data]).toEqual([
    0, 0,
  ]);
});

it('infers the shape of q and refuses what does not fit', () => {
  const attributes = { scale: 1, causal: false };
  const q = ['bf16', ['b', 24, 'img+txt', 128]] as const;
  const k = ['bf16', ['b', 8, 'img+txt', 128]] as const;
  expect(inferTypes('attention', [q, k, k, ['bool', ['b', 'img+txt']]], attributes)).toEqual([
    'bf16[b, 24, img+txt, 128]',
  ]);
  expect(inferTypes('attention', [q, k, ['f32', k[1]]], attributes)).toEqual(['f32[b, 24, img+txt, 128]']);
  expect(inferError('attention', [q, k], attributes).code).toBe('F2C110');
  expect(inferError('attention', [k, q, q], attributes)).toMatchObject({
    code: 'F2C116',
    detail: { expected: 'a multiple of 24', found: '8' },
  });
  expect(inferError('attention', [q, k, ['bf16', ['b', 8, 'img', 128]]], attributes)).toMatchObject({
    code: 'F2C113',
    detail: { where: ['attention', 'v'] },
  });
  expect(inferError('attention', [q, k, k, ['f32', ['b', 'img+txt']]], attributes).code).toBe('F2C112');
  expect(inferError('attention', [q, k, k, ['bool', ['b', 'img']]], attributes).code).toBe('F2C113');
  expect(inferError('attention', [['bf16', [24, 'img', 128]], k, k], attributes).code).toBe('F2C111');
  expect(inferError('attention', [q, k, k], { scale: NaN, causal: false }).code).toBe('F2C114');
});

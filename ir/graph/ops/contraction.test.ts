import { describe, expect, it } from 'vitest';
import { hostTensor, inferError, inferTypes, patternTensor, runOperation } from '../../../test/run-operation.js';
import { Dim } from '../../dim.js';
import type { HostTensor } from '../../host-tensor.js';
import { opTable } from './index.js';
import { roundToDType } from './rounding.js';
import { tensorType } from '../types.js';

function at(tensor: HostTensor, ...index: readonly number[]): number {
  const offset = index.reduce((sum, i, axis) => sum * (tensor.shape[axis] as number) + i, 0);
  return tensor.data[offset] as number;
}

describe('matmul', () => {
  it('multiplies a small pair by hand', () => {
    const a = hostTensor('f32', [2, 3], [1, 2, 3, 4, 5, 6]);
    const b = hostTensor('f32', [3, 2], [7, 8, 9, 10, 11, 12]);
    const want = [58, 64, 139, 154];
    expect([...(runOperation('matmul', [a, b], { transposeB: false })[0] as HostTensor).data]).toEqual(want);
    const transposed = hostTensor('f32', [2, 3], [7, 9, 11, 8, 10, 12]);
    expect([...(runOperation('matmul', [a, transposed], { transposeB: true })[0] as HostTensor).data]).toEqual(want);
  });

  it('broadcasts leading axes, at sizes that are no multiple of four', () => {
    const a = patternTensor('f32', [2, 1, 5, 7], 1);
    const b = patternTensor('f32', [3, 7, 6], 2);
    const [y] = runOperation('matmul', [a, b], { transposeB: false }) as [HostTensor];
    expect(y.shape).toEqual([2, 3, 5, 6]);
    for (const [i, j, m, n] of [
      [0, 0, 0, 0],
      [1, 2, 4, 5],
      [0, 1, 3, 4],
      [1, 0, 2, 1],
    ] as const) {
      let sum = 0;
      for (let k = 0; k < 7; k++) sum += at(a, i, 0, m, k) * at(b, j, k, n);
      expect(at(y, i, j, m, n)).toBeCloseTo(sum, 14);
    }
  });

  it('rounds once in f32', () => {
    const a = hostTensor('f32', [1, 3], [1, 1, 1]);
    const b = hostTensor('f32', [3, 1], [1, 2 ** -24, 2 ** -24]);
    const [y] = runOperation('matmul', [a, b], { transposeB: false }, { precision: 'f32' }) as [HostTensor];
    expect(y.data[0]).toBe(1 + 2 ** -23);
  });

  it('takes empty sizes', () => {
    const empty = runOperation('matmul', [hostTensor('f32', [0, 3], []), hostTensor('f32', [3, 2], 1)], {
      transposeB: false,
    });
    expect(empty[0]?.shape).toEqual([0, 2]);
    const zeros = runOperation('matmul', [hostTensor('f32', [2, 0], []), hostTensor('f32', [0, 2], [])], {
      transposeB: false,
    });
    expect([...(zeros[0] as HostTensor).data]).toEqual([0, 0, 0, 0]);
  });

  it('infers widths, types and symbols', () => {
    expect(
      inferTypes(
        'matmul',
        [
          ['f32', ['b', 'img+txt', 128]],
          ['bf16', [384, 128]],
        ],
        { transposeB: true },
      ),
    ).toEqual(['f32[b, img+txt, 384]']);
    expect(
      inferTypes(
        'matmul',
        [
          ['bf16', ['b', 4, 'img', 32]],
          ['bf16', [4, 32, 'img']],
        ],
        { transposeB: false },
      ),
    ).toEqual(['bf16[b, 4, img, img]']);
  });

  it('sums products of f8e4m3 in f32', () => {
    const pair = [['f8e4m3', ['img', 128]], ['f8e4m3', [384, 128]]] as const; // prettier-ignore
    expect(inferTypes('matmul', pair, { transposeB: true })).toEqual(['f32[img, 384]']);
    const a = hostTensor('f8e4m3', [1, 3], [448, 18, 1]);
    expect([...(runOperation('matmul', [a, a], { transposeB: true })[0] as HostTensor).data]).toEqual([448 ** 2 + 325]);
  });

  it('refuses what does not fit and says how it might', () => {
    expect(
      inferError(
        'matmul',
        [
          ['f32', ['img', 128]],
          ['f32', [384, 128]],
        ],
        { transposeB: false },
      ),
    ).toMatchObject({
      code: 'F2C113',
      detail: { hint: 'Set transposeB to true.', found: 'f32[img, 128] with f32[384, 128]' },
    });
    expect(
      inferError(
        'matmul',
        [
          ['f32', [128]],
          ['f32', [128, 4]],
        ],
        { transposeB: false },
      ).code,
    ).toBe('F2C111');
    expect(
      inferError(
        'matmul',
        [
          ['i32', [4, 4]],
          ['f32', [4, 4]],
        ],
        { transposeB: false },
      ).code,
    ).toBe('F2C112');
    expect(
      inferError(
        'matmul',
        [
          ['f32', ['b', 4, 4]],
          ['f32', ['c', 4, 4]],
        ],
        { transposeB: false },
      ).code,
    ).toBe('F2C113');
    expect(inferError('matmul', [['f32', [4, 4]]], { transposeB: false }).code).toBe('F2C110');
  });

  it('costs 2·M·N·K', () => {
    const a = tensorType('bf16', ['img', 128]);
    const b = tensorType('bf16', [384, 128]);
    const cost = opTable.matmul.cost([a, b], { transposeB: true }, [tensorType('bf16', ['img', 384])]);
    expect(cost.flop.text).toBe(Dim.of('img').mul(2 * 128 * 384).text);
    expect(cost.bytes.text).toBe(
      Dim.of('img')
        .mul(2 * (128 + 384))
        .add(2 * 384 * 128).text,
    );
  });
});

describe('conv2d', () => {
  /** The definition, one output at a time. */
  function convolve(
    x: HostTensor,
    w: HostTensor,
    stride: number,
    padding: readonly number[],
    index: readonly number[],
  ): number {
    const [b, outY, outX, o] = index as [number, number, number, number];
    const [, height, width, channels] = x.shape as [number, number, number, number];
    const [, kh, kw] = w.shape as [number, number, number];
    let sum = 0;
    for (let ky = 0; ky < kh; ky++) {
      for (let kx = 0; kx < kw; kx++) {
        const y = outY * stride + ky - (padding[0] as number);
        const column = outX * stride + kx - (padding[1] as number);
        if (y < 0 || column < 0 || y >= height || column >= width) continue;
        for (let c = 0; c < channels; c++) sum += at(x, b, y, column, c) * at(w, o, ky, kx, c);
      }
    }
    return sum;
  }

  it.each([
    ['same padding', 1, [1, 1, 1, 1], [3, 3], [2, 5, 7, 3], [5, 7]],
    ['stride 2, padded below and right as the encoder does', 2, [0, 0, 1, 1], [3, 3], [1, 6, 8, 3], [3, 4]],
    ['stride 2 of odd sizes', 2, [0, 0, 1, 1], [3, 3], [1, 5, 7, 3], [2, 3]],
    ['1×1', 1, [0, 0, 0, 0], [1, 1], [1, 3, 2, 5], [3, 2]],
    ['a wide kernel and uneven padding', 3, [2, 0, 1, 4], [2, 5], [1, 4, 6, 2], [2, 2]],
  ] as const)('%s', (_, stride, padding, [kh, kw], shape, [outHeight, outWidth]) => {
    const x = patternTensor('f32', shape, 1);
    const w = patternTensor('f32', [5, kh, kw, shape[3]], 2);
    const [y] = runOperation('conv2d', [x, w], { stride, padding }) as [HostTensor];
    expect(y.shape).toEqual([shape[0], outHeight, outWidth, 5]);
    y.data.forEach((value, flat) => {
      const o = flat % 5;
      const outX = Math.floor(flat / 5) % outWidth;
      const outY = Math.floor(flat / 5 / outWidth) % outHeight;
      const b = Math.floor(flat / 5 / outWidth / outHeight);
      expect(value).toBeCloseTo(convolve(x, w, stride, padding, [b, outY, outX, o]), 13);
    });
  });

  it('rounds its factors, and not their sums', () => {
    const attributes = { stride: 1, padding: [1, 1, 1, 1] } as const;
    const [x, w] = [patternTensor('f32', [1, 4, 5, 3], 1), patternTensor('f32', [2, 3, 3, 3], 2)];
    const rounded = [x, w].map((tensor) => ({
      ...tensor,
      data: tensor.data.map((value) => roundToDType('bf16', value / 3)),
    }));
    const wide = [x, w].map((tensor) => ({ ...tensor, data: tensor.data.map((value) => value / 3) }));
    const [want] = runOperation('conv2d', rounded, attributes);
    expect(runOperation('conv2d', wide, { ...attributes, factors: 'bf16' })).toEqual([want]);
    expect(runOperation('conv2d', wide, attributes)).not.toEqual([want]);
  });

  const kernel = ['bf16', [64, 3, 3, 32]] as const;

  it('infers symbolic sizes', () => {
    const one = { stride: 1, padding: [1, 1, 1, 1] } as const;
    expect(inferTypes('conv2d', [['f32', [1, '8*h', '8*w', 32]], kernel], one)).toEqual(['f32[1, 8*h, 8*w, 64]']);
    const two = { stride: 2, padding: [0, 0, 1, 1] } as const;
    expect(inferTypes('conv2d', [['bf16', [1, '8*h', '2*w+1', 32]], kernel], two)).toEqual(['bf16[1, 4*h, w, 64]']);
  });

  it('says which size must be a multiple', () => {
    const two = { stride: 2, padding: [0, 0, 1, 1] } as const;
    expect(inferError('conv2d', [['f32', [1, '2*h', 'w', 32]], kernel], two)).toMatchObject({
      code: 'F2C116',
      detail: { expected: 'the width w to be a multiple of the stride 2, except for a constant' },
    });
  });

  it('refuses what does not fit', () => {
    const attributes = { stride: 1, padding: [0, 0, 0, 0] } as const;
    expect(inferError('conv2d', [['f32', [1, 8, 8, 16]], kernel], attributes).code).toBe('F2C113');
    expect(inferError('conv2d', [['f32', [1, 2, 8, 32]], kernel], attributes).code).toBe('F2C114');
    expect(inferError('conv2d', [['f32', [8, 8, 32]], kernel], attributes).code).toBe('F2C111');
    expect(
      inferError(
        'conv2d',
        [
          ['f32', [1, 8, 8, 32]],
          ['f32', [64, 'k', 3, 32]],
        ],
        attributes,
      ).code,
    ).toBe('F2C114');
    expect(inferError('conv2d', [['f32', [1, 8, 8, 32]], kernel], { ...attributes, stride: 0 }).code).toBe('F2C114');
    expect(inferError('conv2d', [['f32', [1, 8, 8, 32]], kernel], { stride: 1, padding: [-1, 0, 0, 0] }).code).toBe(
      'F2C114',
    );
    expect(inferError('conv2d', [['i32', [1, 8, 8, 32]], kernel], attributes).code).toBe('F2C112');
  });
});

import { expect, it } from 'vitest';
import type { DimBinding, DimLike } from '../dim.js';
import { bindSizes } from './bind-sizes.js';
import { tensorType } from './types.js';

function bind(
  inputs: Readonly<Record<string, readonly [readonly DimLike[], readonly number[]]>>,
  known: DimBinding = {},
): DimBinding {
  const parameters = Object.entries(inputs).map(([name, [shape]]) => ({ name, type: tensorType('f32', shape) }));
  const shapes = new Map(Object.entries(inputs).map(([name, [, shape]]) => [name, shape]));
  return bindSizes(parameters, shapes, known);
}

function errorOf(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  return undefined;
}

it('solves symbols, multiples and sums whatever the order', () => {
  expect(
    bind({
      x: [
        ['img', 128],
        [48, 128],
      ],
    }),
  ).toEqual({ img: 48 });
  expect(bind({ x: [['img+txt'], [64]], y: [['txt'], [16]] })).toEqual({ img: 48, txt: 16 });
  expect(
    bind({
      x: [['4*h*w'], [48]],
      y: [
        ['2*h', 'w+1'],
        [6, 5],
      ],
    }),
  ).toEqual({ h: 3, w: 4 });
  expect(
    bind({
      x: [
        ['c', 'a+b+c', 'a+c'],
        [1, 7, 3],
      ],
    }),
  ).toEqual({ a: 2, b: 4, c: 1 });
  expect(bind({ x: [['n'], [0]] })).toEqual({ n: 0 });
});

it('uses and checks sizes given from outside', () => {
  expect(bind({ x: [['h*w'], [12]] }, { h: 3, steps: 4 })).toEqual({ h: 3, w: 4, steps: 4 });
  expect(errorOf(() => bind({ x: [['n'], [3]] }, { n: 4 }))).toMatchObject({
    code: 'F2C162',
    detail: { expected: 'n = 4 with n = 4' },
  });
});

it('names the input, the dimension and both values of a conflict', () => {
  expect(
    errorOf(() =>
      bind({
        img: [['n'], [3]],
        ids: [
          [4, 'n'],
          [4, 5],
        ],
      }),
    ),
  ).toMatchObject({
    code: 'F2C162',
    message: "axis 1 of the input 'ids' does not fit the other sizes",
    detail: { where: ['ids'], expected: 'n = 3 with n = 3', found: '5' },
  });
  expect(errorOf(() => bind({ x: [['2*n'], [5]] }))).toMatchObject({ code: 'F2C162', detail: { found: '5' } });
  expect(
    errorOf(() =>
      bind({
        x: [
          ['a', 'a+b'],
          [5, 3],
        ],
      }),
    ),
  ).toMatchObject({ code: 'F2C162' });
  expect(errorOf(() => bind({ x: [[128], [64]] }))).toMatchObject({
    code: 'F2C162',
    detail: { expected: '128', found: '64' },
  });
});

it('reports missing inputs, ranks and symbols that nothing determines', () => {
  expect(errorOf(() => bindSizes([{ name: 'x', type: tensorType('f32', [1]) }], new Map()))).toMatchObject({
    code: 'F2C160',
  });
  expect(errorOf(() => bind({ x: [['n', 2], [4]] }))).toMatchObject({
    code: 'F2C161',
    detail: { expected: 'f32[n, 2]', found: '[4]' },
  });
  expect(errorOf(() => bind({ x: [['h*w'], [12]], y: [['h+w'], [7]] }))).toMatchObject({
    code: 'F2C163',
    message: "the inputs do not determine the size 'h', 'w'",
  });
});

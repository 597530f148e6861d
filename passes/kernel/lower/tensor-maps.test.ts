import { describe, expect, it } from 'vitest';
import { parseTileKernel } from '../../../ir/kernel/tile-parse.js';
import type { TileKernel } from '../../../ir/kernel/tile.js';
import type { TileLoad } from '../../../ir/kernel/tile.js';
import { asRectangle } from './tensor-maps.js';

/** A product that reads `w` at an address, and what its axes are: m and k of a tile each, h and z alone, floor(h / 4) a term. */
function kernelReading(address: string): TileKernel {
  return parseTileKernel(`kernel @product params(heads, rows, depth)
  buffer w: read bf16 align 8
  buffer y: write f32 align 8
  axis m = grid x, extent rows, tile 64
  axis h = grid y, extent 24, tile 1
  axis z = grid z, extent heads, tile 1
  axis d = whole, extent 128, tile 128
  axis k = loop, extent depth, tile 64
  term group = floor(h, 4)
  term turned = modulo(m, 16)
{
  tile acc[m, d] = 0
  contract acc over k: w[k+m] * w[${address}]
  store y[d+128*m] for [m, d] = acc
}
`);
}

function rectangleOf(address: string, rowLength = 8): unknown {
  const kernel = kernelReading(address);
  const contract = kernel.body.find((statement) => statement.kind === 'contract');
  const rectangle = asRectangle(contract?.b as TileLoad, kernel, 'd', 'k', rowLength);
  if (rectangle === undefined) return undefined;
  const { offset, dimensions } = rectangle;
  return [
    offset.text,
    ...dimensions.map(({ symbol, extent, stride }) => `${symbol} of ${extent.text} by ${stride.text}`),
  ];
}

describe('what an operand reads, as a rectangle', () => {
  it.each([
    ['rows of a matrix', 'k+512*d', ['0', 'k of depth by 1', 'd of 128 by 512']],
    ['from somewhere on', 'k+512*d+8*rows+64', ['8*rows+64', 'k of depth by 1', 'd of 128 by 512']],
    ['a matrix of several', 'k+64*d+8192*h', ['0', 'k of depth by 1', 'd of 128 by 64', 'h of 24 by 8192']],
    ['near dimensions first', 'k+3072*d+128*h', ['0', 'k of depth by 1', 'h of 24 by 128', 'd of 128 by 3072']],
    ['heads that share one', 'k+64*d+8192*group', ['0', 'k of depth by 1', 'd of 128 by 64', 'group of 6 by 8192']],
    [
      'strides of any size',
      'k+8*depth*d+8*rows*z',
      ['0', 'k of depth by 1', 'd of 128 by 8*depth', 'z of heads by 8*rows'],
    ],
  ])('is one: %s', (_, address, found) => {
    expect(rectangleOf(address)).toEqual(found);
  });

  it.each([
    ['rows that no 16 bytes part', 'k+516*d', 8],
    ['rows of numbers of 8 bits that no 16 bytes part', 'k+520*d', 16],
    ['a beginning inside of 16 bytes', 'k+512*d+4', 8],
    ['guarded', 'k+512*d if d < 100', 8],
    ['rows by a product of coordinates', 'k+512*d+8*d*h', 8],
    ['numbers that lie apart', '2*k+512*d', 8],
    ['no row of its own', 'k+512*h', 8],
    ['coordinates that come again', 'k+512*d+8*turned', 8],
    ['several coordinates of another axis', 'k+512*d+65536*m', 8],
  ])('is none: %s', (_, address, rowLength) => {
    expect(rectangleOf(address, rowLength)).toBeUndefined();
  });
});

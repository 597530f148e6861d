/** A kernel with tensor maps that walks over tiles, without a body: what launching needs. */
import { Dim } from '../../ir/dim.js';
import type { ThreadKernel } from '../../ir/kernel/thread.js';

/** y = x · wᵀ in bf16, x p0 rows of p1, w p2 rows of p1; 128 by 256 elements a tile. */
export const mappedProduct: ThreadKernel = {
  phase: 'thread',
  name: 'mapped_product',
  buffers: [
    { name: 'x', storage: 'bf16', lanes: 4, access: 'read' },
    { name: 'w', storage: 'bf16', lanes: 4, access: 'read' },
    { name: 'y', storage: 'bf16', lanes: 2, access: 'write' },
  ],
  parameters: [
    ...['origin_x', 'origin_y', 'origin_z', 'tiles_x', 'tiles_y', 'tiles_z', 'x_base', 'w_base', 'y_base'],
    ...['p0', 'p1', 'p2'],
  ],
  tensorMaps: [
    {
      name: 'x_map',
      buffer: 'x',
      offset: Dim.of(0),
      dimensions: [
        { extent: Dim.of('p1'), stride: Dim.of(1), box: 64 },
        { extent: Dim.of('p0'), stride: Dim.of('p1'), box: 128 },
      ],
    },
    {
      name: 'w_map',
      buffer: 'w',
      offset: Dim.of('8*p1'),
      dimensions: [
        { extent: Dim.of('p1'), stride: Dim.of(1), box: 64 },
        { extent: Dim.of('p2'), stride: Dim.of('p1'), box: 256 },
      ],
    },
  ],
  walksTiles: true,
  workgroupSize: 384,
  shared: [],
  body: [],
};

/** Values of the product's parameters by name; what is left out is 0. */
export function productParameters(values: Readonly<Record<string, number>>): Int32Array {
  return Int32Array.from(mappedProduct.parameters, (name) => values[name] ?? 0);
}

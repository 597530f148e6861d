import type { Operation, OperationOf } from './graph.js';

/** What multiplies and adds up two factors; attention does so twice. */
export type Product = OperationOf<'matmul'> | OperationOf<'conv2d'> | OperationOf<'attention'>;

export function isProduct(operation: Operation): operation is Operation & Product {
  return operation.kind === 'matmul' || operation.kind === 'conv2d' || operation.kind === 'attention';
}

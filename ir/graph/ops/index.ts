import type { OpTable } from '../op-table.js';
import { attentionOps } from './attention.js';
import { contractionOps } from './contraction.js';
import { encodedOps } from './encoded.js';
import { elementwiseOps } from './elementwise.js';
import { groupNormOps } from './group-norm.js';
import { movementOps } from './movement.js';
import { normalizeOps } from './normalize.js';
import { positionOps } from './position.js';
import { reduceOps } from './reduce.js';
import { sourceAndControlOps } from './sources-and-control.js';

/** Every operation of the Graph IR: its types, fusion category, reference semantics and cost. */
export const opTable: OpTable = {
  ...sourceAndControlOps,
  ...elementwiseOps,
  ...reduceOps,
  ...contractionOps,
  ...attentionOps,
  ...normalizeOps,
  ...groupNormOps,
  ...encodedOps,
  ...positionOps,
  ...movementOps,
};

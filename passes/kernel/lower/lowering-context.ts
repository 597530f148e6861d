import type { Elements } from './elements.js';
import type { Emitter } from './emitter.js';
import type { Coordinates } from './positions.js';
import type { TileLoops } from './tile-loops.js';

/** What the parts of a kernel's lowering share. */
export interface LoweringContext {
  readonly at: Coordinates;
  readonly elements: Elements;
  readonly emitter: Emitter;
  readonly loops: TileLoops;
}

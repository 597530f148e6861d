import type { Target } from '../../backends/target.js';
import type { Dim } from '../../ir/dim.js';
import type { AxisSpread, Schedule } from '../../ir/kernel/tile.js';
import { alone } from './axis-spreads.js';
import type { KernelFacts } from './from-group/facts.js';
import { stagedPitch } from './lower/staged-factors.js';

/** Coordinates of the contracted axis that are in workgroup memory at once. */
const chunk = 16;
const perInvocation = 8;

/**
 * A GPU's products in f32: 8 by 8 sums an invocation, whose factors all invocations bring into workgroup memory together. So a number is read from
 * memory once for 64 or 128 rows, and from workgroup memory once for 8. Neighbouring invocations have neighbouring columns.
 */
export function scheduleStaged(facts: KernelFacts, target: Target): readonly Schedule[] {
  if (facts.family !== 'contraction' || !target.stagingPays || facts.encoding !== undefined) return [];
  // CUDA's products in f32 are few and small.
  if (target.matrix === 'mma' || target.matrix === 'wgmma') return [];
  const extents = new Map(facts.axes.map((axis) => [axis.name, axis.extent]));
  const [rows, columns] = [extents.get('m') as Dim, extents.get('n') as Dim];
  const products = facts.products ?? 1;
  // Of pictures there are rows for many workgroups; of tokens large tiles of few columns would be few.
  const leastColumns = (wide: number): number => (facts.section !== undefined ? wide : wide > 32 ? 8 * wide : 2 * wide);
  return [128, 64, 32].flatMap((size): readonly Schedule[] => {
    const wide = size / products;
    if ((rows.constant ?? Infinity) <= size / 2 || (columns.constant ?? Infinity) < leastColumns(wide)) return [];
    const threads = size / perInvocation;
    const bytes = 16 * stagedPitch(chunk) * (size + products * wide);
    if (threads * threads > target.maxWorkgroupInvocations || bytes > target.workgroupMemory) return [];
    const spread = (registers: number): AxisSpread => ({ threads, registers, vector: 1 });
    return [
      {
        spread: {
          m: spread(perInvocation),
          n: spread(perInvocation / products),
          k: { threads: 1, registers: chunk / 4, vector: 4 },
          ...(extents.has('z') && { z: alone }),
        },
        threadOrder: ['n', 'm'],
        unroll: 1,
        dots: true,
        staged: true,
      },
    ];
  });
}

/** How much memory traffic is more than products and attentions need. */
import type { DimBinding } from '../../ir/dim.js';
import { forEachExpression, forEachStatement } from '../../ir/kernel/statements.js';
import { storageBytes } from '../../ir/kernel/thread-interpret-memory.js';
import type { ThreadKernel } from '../../ir/kernel/thread.js';
import type { LaunchStep, Plan } from '../../ir/plan.js';
import type { LoadableKernel } from '../../runtime/plan/bound-plan.js';

/**
 * A lower bound of the bytes that a step of a plan's loop moves, or a plan without a loop: each weight once, and of every kernel around
 * a product, a convolution or an attention, which sum over what no other kernel could hold in its registers, what goes in and what
 * comes out. Norms, elementwise work and copies count nothing, as if all of them were done where their operands are made or read.
 */
export function leastTraffic(plan: Plan, sizes: DimBinding, kernels: ReadonlyMap<string, LoadableKernel>): number {
  const loop = plan.steps.find((step) => step.kind === 'loop');
  const launches = (loop?.steps ?? plan.steps).filter((step): step is LaunchStep => step.kind === 'launch');
  const binding = loop === undefined ? sizes : { ...sizes, [loop.symbol]: 0 };
  const read = new Set<string>();
  let bytes = 0;
  for (const launch of launches) {
    const kernel = kernels.get(launch.kernel);
    if (kernel === undefined || !multiplies(kernel.thread)) continue;
    bytes += launch.bytes.evaluate(binding);
    for (const { storage: id, offset, span } of launch.bindings) {
      const { kind, storage } = plan.storages[id] ?? {};
      if (kind !== 'weight' || storage === undefined) continue;
      const window = `${id} ${offset.text} ${span.text}`;
      if (read.has(window)) bytes -= span.evaluate(binding) * storageBytes(storage);
      read.add(window);
    }
  }
  return bytes;
}

/** Only products of kernels are sums of products, in one or another form. */
function multiplies({ body }: ThreadKernel): boolean {
  let found = false;
  forEachStatement(body, ({ kind }) => {
    found ||= kind === 'multiply_matrices' || kind === 'multiply_shared' || kind === 'multiply_factors';
  });
  forEachExpression(body, ({ kind }) => {
    found ||= kind === 'fma' || kind === 'dot';
  });
  return found;
}

/** Looks for schedules that are faster than the chosen ones, for a function's kernels on a device. */
import type { CompiledKernel, CompiledModule } from '../../passes/compiled.js';
import { instantiatePlan } from '../instantiate.js';
import type { PlannedLaunch } from '../plan/bound-plan.js';
import { type KernelLaunches, KernelTuner, repeated } from './tune-kernel.js';
import type { KernelTuning, TuneRequest } from './tuning.js';

export type { KernelTuning, TuneRequest };

/**
 * Takes the kernels by their share of the time, each with its share of the time left. Every kernel is run on buffers of its own with
 * made-up contents, so neither weights nor inputs are needed. Errors of the device and of sizes that do not fit it; a schedule that does
 * not compile is left out.
 */
export async function tuneFunction(request: TuneRequest): Promise<readonly KernelTuning[]> {
  const { device, milliseconds, signal, now = () => performance.now() } = request;
  const end = now() + milliseconds;
  const module = request.make();
  const used = launchesByKernel(module, request);
  const kernels: { tuner: KernelTuner; share: number }[] = [];
  const done: KernelTuning[] = [];
  for (const launches of used) {
    if (signal?.aborted === true || now() > end) break;
    if (request.known?.has(launches.kernel.key()) === true) continue;
    const tuner = new KernelTuner(request, launches, now);
    const time = await tuner.begin();
    kernels.push({ tuner, share: time * launches.count });
    tuner.leave();
  }
  kernels.sort((a, b) => b.share - a.share);
  let rest = kernels.reduce((sum, { share }) => sum + share, 0);
  for (const { tuner, share } of kernels) {
    const left = end - now();
    if (signal?.aborted === true || left <= 0) break;
    const report = await tuner.search(now() + (left * share) / rest);
    rest -= share;
    done.push(report);
    request.onKernel?.(report);
  }
  await device.finish();
  return done;
}

function launchesByKernel(
  { plans, kernels, target }: CompiledModule,
  { name, sizes }: TuneRequest,
): readonly KernelLaunches[] {
  const plan = plans.get(name);
  if (plan === undefined) throw new Error(`internal: no function ${name}`);
  const launches = repeated(instantiatePlan(plan, sizes, target, kernels).steps);
  const byKey = new Map<string, { kernel: CompiledKernel; largest: PlannedLaunch; labels: Set<string> }>();
  for (const launch of launches) {
    const kernel = kernels.get(launch.kernel) as CompiledKernel;
    const known = byKey.get(kernel.key());
    if (known === undefined) byKey.set(kernel.key(), { kernel, largest: launch, labels: new Set([launch.label]) });
    else {
      known.labels.add(launch.label);
      if (launch.flop + launch.bytes > known.largest.flop + known.largest.bytes) known.largest = launch;
    }
  }
  return [...byKey.values()].map(({ kernel, largest, labels }) => ({
    kernel,
    label: largest.label,
    count: labels.size,
  }));
}

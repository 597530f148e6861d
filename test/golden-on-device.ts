/** Runs the golden cases of single networks on a device, compiled for it. */
import { describe, expect, it } from 'vitest';
import { kernelPrinter } from '../backends/print-kernel.js';
import { compareTensors } from '../ir/host-tensor.js';
import { compileModule, type CompileOptions } from '../passes/compile.js';
import type { CompiledModule } from '../passes/compiled.js';
import type { Device } from '../runtime/device.js';
import { toHostTensor } from '../runtime/host-array.js';
import { Session } from '../runtime/session.js';
import type { WeightProvider } from '../runtime/weight-provider.js';
import { WeightStore } from '../runtime/weight-store.js';
import { createWebgpuDevice, type WebgpuDeviceOptions } from '../runtime/webgpu/webgpu-device.js';
import { openDawn } from '../runtime/webgpu/node/dawn.js';
import type { GoldenCase, GoldenNetwork, Tolerance } from './golden-cases.js';

/** Drivers that compute on the processor compile a network's kernels for tens of seconds when their cache is cold. */
export const compilingTimeoutMs = 300_000;

/** Difference of one result from the golden one. */
export interface Difference extends Tolerance {
  readonly result: string;
}

/** A golden network on a device: compiled once, sessions and weights shared by its cases. */
export class RunningNetwork {
  private readonly sessions = new Map<string, Promise<Session>>();
  private readonly store: WeightStore;

  private constructor(
    readonly compiled: CompiledModule,
    private readonly device: Device,
    private readonly weights: WeightProvider,
  ) {
    this.store = new WeightStore(device);
  }

  static async open(
    network: GoldenNetwork,
    device: Device,
    options: Pick<CompileOptions, 'operands' | 'mayQuantize'> = {},
  ): Promise<RunningNetwork> {
    const { module, weights } = await network.load();
    const compiled = compileModule(module, device.target, { ...options, print: kernelPrinter(device.target) });
    return new RunningNetwork(compiled, device, weights);
  }

  async run(golden: GoldenCase): Promise<readonly Difference[]> {
    const session = await this.session(golden.function);
    const { inputs, expected } = golden.read();
    const results = await session.run(new Map(Object.entries(inputs)));
    expect([...results.keys()].sort()).toEqual(expect.arrayContaining(expected.map(({ result }) => result).sort()));
    return expected.map(({ result, want }) => ({
      result,
      ...compareTensors(toHostTensor(results.get(result)!), want),
    }));
  }

  session(name: string): Promise<Session> {
    let session = this.sessions.get(name);
    if (session === undefined) {
      const { plans, kernels } = this.compiled;
      const { device, weights, store } = this;
      session = Session.create({ plan: plans.get(name)!, kernels, device, weights, store });
      this.sessions.set(name, session);
    }
    return session;
  }

  async close(): Promise<void> {
    for (const session of this.sessions.values()) await (await session).destroy();
  }
}

/** One test a case. `tolerance` replaces the networks' own, `options` are the compiler's. */
export function describeGoldenCases(
  device: () => Device,
  networks: readonly GoldenNetwork[],
  tolerance?: Tolerance,
  options: Pick<CompileOptions, 'operands' | 'mayQuantize'> = {},
): void {
  describe.each(networks)('$name', { timeout: compilingTimeoutMs }, (network) => {
    let running: Promise<RunningNetwork> | undefined;
    it.each(network.cases)('$function $name', async (golden) => {
      running ??= RunningNetwork.open(network, device(), options);
      const allowed = tolerance ?? network.tolerance;
      const differences = await (await running).run(golden);
      expect(differences.length).toBeGreaterThan(0);
      for (const { result, maxAbs, relativeL2 } of differences) {
        expect(maxAbs, `${result}: largest difference`).toBeLessThanOrEqual(allowed.maxAbs);
        expect(relativeL2, `${result}: relative L2`).toBeLessThanOrEqual(allowed.relativeL2);
      }
    });
    it('frees what it took', async () => {
      await (await running)?.close();
      expect(device().usage.bytes).toBe(0);
    });
  });
}

/** A device on a software driver, or the reason why there is none; the skipped test has the reason in its name. */
export async function openTestDevice(
  driver: 'lavapipe' | 'swiftshader',
  what: string,
  options: WebgpuDeviceOptions = {},
): Promise<Device | undefined> {
  const outcome = await openDawn({ adapter: driver });
  if (outcome.adapter !== undefined)
    return createWebgpuDevice(outcome.adapter, { ...options, languageFeatures: outcome.languageFeatures });
  process.stderr.write(`SKIPPED: ${what} on ${driver}: ${outcome.reason}\n`);
  it.skip(`${what} on ${driver}: ${outcome.reason}`, () => undefined);
  return undefined;
}

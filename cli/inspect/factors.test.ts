/** What `inspect` says of the factors of products: of kernels, of a function's work, and in its graph. */
import { describe, expect, it } from 'vitest';
import { cpuTarget, type Target } from '../../backends/target.js';
import { cudaTarget } from '../../backends/cuda/cuda-target.js';
import { printModule } from '../../ir/graph/print.js';
import type { NetworkName } from '../../models/flux2/networks.js';
import { hopperWebgpu } from '../../test/webgpu-targets.js';
import { bindSizesOf, resolveSizes } from './sizes.js';
import { reportFunction } from './report.js';
import { type InspectSubject, withSubject } from './subject.js';
import { formatReport } from './summary.js';
import type { Operands } from '../../passes/compile.js';

/** The report of a function of klein-4b at 512², and its graph behind all passes. */
async function inspect(
  name: NetworkName,
  target: Target,
  operands?: Operands,
): Promise<{ readonly text: string; readonly graph: string }> {
  const options = { width: 512, height: 512 };
  const request = {
    config: 'klein-4b',
    targets: [{ target, architectures: [] }],
    ...(operands && { operands }),
  } as const;
  return withSubject(request, async (subject: InspectSubject) => {
    const sizes = resolveSizes(options, subject.defaults);
    const choice = { schedules: new Map(), origin: 'tuned' } as const;
    const { report } = reportFunction(subject.compile(name, []), bindSizesOf(name, sizes), target, choice);
    const { source, buildName, builds } = subject;
    const whole = { name, source, target, build: buildName, builds, components: [], functions: [report], misfits: [] };
    return { text: formatReport(whole, sizes), graph: printModule(subject.runPasses!(name, [])) };
  });
}

const products = (text: string): string | undefined => / {2}products (.*)\n/.exec(text)?.[1];

describe('inspect on factors of products', () => {
  it('says which of a decoder are f16', async () => {
    const wide = await inspect('vae_decoder', hopperWebgpu);
    expect(products(wide.text)).toBe('99.8 % of the work with factors in f32');
    expect(wide.text).not.toContain('factors in f16');
    const half = await inspect('vae_decoder', hopperWebgpu, 'f16');
    expect(products(half.text)).toBe('81.9 % of the work with factors in f16, 17.9 % of the work with factors in f32');
    expect(half.text).toMatch(/contraction over k = 4608 of f16 and bf16, factors in f16/);
    expect(half.graph.match(/conv2d\(.*factors = f16\}/g)).toHaveLength(29);
    expect(half.graph.match(/phases = 2/g)).toHaveLength(3);
    expect(half.graph).not.toMatch(/phases = 2, factors/);
    expect(half.graph).not.toMatch(/attention\(.*factors/);
  });

  it('says what a GPU takes for what is stored, and 8 bits', async () => {
    const stored = await inspect('vae_decoder', cudaTarget(['sm_80']));
    expect(products(stored.text)).toBe('99.8 % of the work with factors in bf16');
    expect(stored.graph).toContain('factors = bf16');
    const eight = await inspect('denoise', cudaTarget(['sm_90a']), 'fp8');
    expect(products(eight.text)).toMatch(
      /^9\d\.\d % of the work with factors in f8e4m3, \d\.\d % of the work with factors in bf16$/,
    );
    const integers = await inspect('denoise', cpuTarget, 'int8');
    expect(products(integers.text)).toMatch(
      /^9\d\.\d % of the work with factors in i8, \d\.\d % of the work with factors in f32$/,
    );
  });
});

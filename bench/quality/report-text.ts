/** A measured quality as tables for terminals. */
import { formatBytes, formatNumber, formatTable } from '../../cli/inspect/format.js';
import type { BlockQuality, QualityResult, WeightGroup } from './result.js';

const left = (title: string): { title: string; align: 'left' } => ({ title, align: 'left' });
const right = (title: string): { title: string; align: 'right' } => ({ title, align: 'right' });

/** The report as a terminal shows it. */
export function formatQuality(result: QualityResult): string {
  const { original, other, device, weights, prompts, blocks, pictures } = result;
  const lines = [`${other} against ${original}, on ${device}`];
  if (weights !== null) {
    lines.push('', `weights: ${formatBytes(weights.originalBytes)} become ${formatBytes(weights.otherBytes)}`);
    const rows = [...weights.byKind, weights.compared].map(formatGroup);
    lines.push(...formatTable([left('layers'), right('weights'), right('before'), right('after'), right('bits a weight'), right('relative L2')], rows)); // prettier-ignore
  }
  lines.push('', 'prompt embeddings');
  lines.push(...formatTable([right('relative L2'), left('prompt')], prompts.map(({ prompt, relativeL2 }) => [formatError(relativeL2), prompt]))); // prettier-ignore
  if (blocks !== null) {
    const { steps, rows } = tabulateBlocks(blocks);
    lines.push('', 'residual streams after blocks, relative L2');
    const columns = [left('block'), left('stream'), ...steps.map((step) => right(`step ${step + 1}`))];
    const cells = rows.map(({ block, stream, errors }) => [block, stream, ...errors.map(formatError)]);
    lines.push(...formatTable(columns, cells));
  }
  lines.push('', describeSettings(result));
  const cells = pictures.map(({ prompt, seed, psnr, latents }) => [
    formatPsnr(psnr),
    formatError(latents),
    seed,
    prompt,
  ]);
  lines.push(...formatTable([right('PSNR'), right('latents'), right('seed'), left('prompt')], cells));
  lines.push('', `all pictures: ${describeSummary(result)}`);
  return `${lines.join('\n')}\n`;
}

function formatGroup({ name, weights, originalBytes, otherBytes, bitsPerWeight, relativeL2 }: WeightGroup): string[] {
  return [
    name,
    String(weights),
    formatBytes(originalBytes),
    formatBytes(otherBytes),
    bitsPerWeight.toFixed(2),
    formatError(relativeL2),
  ];
}

function describeSummary({ summary: { psnr, worstPsnr, latents } }: QualityResult): string {
  return `PSNR ${formatPsnr(psnr)}, worst ${formatPsnr(worstPsnr)}, latents ${formatError(latents)}`;
}

/** What was made: `8 pictures, 256 × 256, 20 steps, guidance 4`. */
export function describeSettings({ settings, pictures }: QualityResult): string {
  const { width, height, steps, guidance, cfgScale } = settings;
  const scales = [
    ...(guidance === null ? [] : [`guidance ${guidance}`]),
    ...(cfgScale === null ? [] : [`classifier-free guidance ${cfgScale}`]),
  ];
  return [`${pictures.length} pictures, ${width} × ${height}`, `${steps} steps`, ...scales].join(', ');
}

/** `31.2 dB`; null: nothing differs. */
export function formatPsnr(decibels: number | null): string {
  return decibels === null ? 'equal' : `${decibels.toFixed(1)} dB`;
}

/** A relative error, unitless. */
export function formatError(relative: number): string {
  return relative !== 0 && relative < 1e-3 ? relative.toExponential(2) : formatNumber(relative);
}

/** Errors of blocks: a row for each stream of a block, a column for each step. */
export function tabulateBlocks(blocks: readonly BlockQuality[]): {
  readonly steps: readonly number[];
  readonly rows: readonly { readonly block: string; readonly stream: string; readonly errors: readonly number[] }[];
} {
  const steps = [...new Set(blocks.map(({ step }) => step))];
  const first = blocks.filter(({ step }) => step === steps[0]);
  const errorOf = (block: string, stream: string, step: number): number =>
    blocks.find((one) => one.block === block && one.stream === stream && one.step === step)!.relativeL2;
  const rows = first.map(({ block, stream }) => {
    return { block, stream, errors: steps.map((step) => errorOf(block, stream, step)) };
  });
  return { steps, rows };
}

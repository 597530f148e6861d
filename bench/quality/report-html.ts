/** A measured quality as a page: pictures side by side, plots and tables. */
import { formatBytes, formatInteger } from '../../cli/inspect/format.js';
import { type Content, markup } from '../../cli/page/markup.js';
import { renderFigure, renderPage, renderTable, type TableColumn } from '../../cli/page/page.js';
import type { MeasuredQuality } from './measure.js';
import { chooseAmplification, makeCells, type PictureCells } from './picture-cells.js';
import { renderBlocks } from './plot-blocks.js';
import { renderWeightBars } from './plot-weights.js';
import { describeSettings, formatError, formatPsnr, tabulateBlocks } from './report-text.js';
import type { QualityResult, WeightGroup, WeightsQuality } from './result.js';

/** One page without other files: figures, pictures beside each other, errors of blocks and weights. */
export async function renderQualityPage({ result, pictures }: MeasuredQuality, compiler: string): Promise<string> {
  const amplification = chooseAmplification(result.pictures.map(({ meanSquaredError }) => meanSquaredError));
  const cells: PictureCells[] = [];
  for (const pair of pictures) cells.push(await makeCells(pair, amplification));
  const { original, other, device, blocks, weights } = result;
  return renderPage({
    title: `${other} against ${original}`,
    subtitle: `${device} · ${describeSettings(result)}`,
    tabs: [
      { title: 'pictures', body: [renderFigures(result), renderPictures(result, cells, amplification)] },
      ...(blocks === null ? [] : [{ title: 'blocks', body: renderBlockErrors(blocks) }]),
      ...(weights === null ? [] : [{ title: 'weights', body: renderWeights(weights) }]),
    ],
    footer: `flux2c ${compiler}. Relative L2 is √(Σ(b − a)² / Σa²); PSNR is of 8-bit pictures, of all together of the mean squared error.`,
  });
}

function renderFigures({ summary, weights, prompts }: QualityResult): Content {
  const worst = Math.max(...prompts.map(({ relativeL2 }) => relativeL2));
  const figures = [
    renderFigure('PSNR', formatPsnr(summary.psnr), 'of all pictures together'),
    renderFigure('worst picture', formatPsnr(summary.worstPsnr), 'PSNR'),
    renderFigure('latents', formatError(summary.latents), 'relative L2 at the end'),
    renderFigure('prompt embeddings', formatError(worst), 'worst relative L2'),
  ];
  if (weights !== null) {
    figures.push(
      renderFigure('compared weights', formatError(weights.compared.relativeL2), 'relative L2'),
      renderFigure('all weights', formatBytes(weights.otherBytes), `of ${formatBytes(weights.originalBytes)}`),
    );
  }
  return markup`<div class="figures">${figures}</div>`;
}

function renderPictures(result: QualityResult, cells: readonly PictureCells[], amplification: number): Content {
  const embeddings = new Map(result.prompts.map(({ prompt, relativeL2 }) => [prompt, relativeL2]));
  const width = Math.min(256, Math.max(192, result.settings.width));
  const image = (address: string): Content =>
    markup`<td><img src="${address}" width="${width}" style="image-rendering:${result.settings.width < width ? 'pixelated' : 'auto'};display:block" alt=""/></td>`;
  const rows = result.pictures.map(
    ({ prompt, seed, psnr, latents }, at) =>
      markup`<tr>${image(cells[at]!.original)}${image(cells[at]!.other)}${image(cells[at]!.difference)}<td style="white-space:normal;vertical-align:top"><p><b>${prompt}</b></p><p>seed ${seed}</p><p>PSNR <b>${formatPsnr(psnr)}</b></p><p>latents ${formatError(latents)}</p><p>prompt embeddings ${formatError(embeddings.get(prompt)!)}</p></td></tr>`,
  );
  return markup`<div class="scroll"><table><thead><tr><th>${result.original}</th><th>${result.other}</th><th>difference × ${amplification}</th><th></th></tr></thead><tbody>${rows}</tbody></table></div>`;
}

function renderBlockErrors(blocks: NonNullable<QualityResult['blocks']>): Content {
  const { steps, rows } = tabulateBlocks(blocks);
  const columns: TableColumn[] = [
    { title: 'block', numeric: false },
    { title: 'stream', numeric: false },
    ...steps.map((step) => ({ title: `step ${step + 1}`, numeric: true })),
  ];
  return [
    markup`<h2>residual streams after each block <span class="muted">both models with the first model's latents and prompt</span></h2>`,
    markup`<div class="chart">${renderBlocks(blocks)}</div>`,
    renderTable(
      columns,
      rows.map(({ block, stream, errors }) => ({
        cells: [{ text: block }, { text: stream }, ...errors.map((error) => ({ text: formatError(error), sort: error }))], // prettier-ignore
      })),
    ),
  ];
}

function renderWeights({ byKind, byBlock, each }: WeightsQuality): Content {
  return [
    markup`<h2>by kind of layer <span class="muted">relative L2</span></h2>`,
    markup`<div class="chart">${renderWeightBars(byKind)}</div>`,
    markup`<h2>by block</h2>`,
    markup`<div class="chart">${renderWeightBars(byBlock)}</div>`,
    renderGroups([...byKind, ...byBlock]),
    markup`<h2>every weight</h2>`,
    renderTable(
      [
        { title: 'weight', numeric: false },
        { title: 'shape', numeric: false },
        { title: 'encoding', numeric: false },
        ...['before', 'after', 'relative L2'].map((title) => ({ title, numeric: true })),
      ],
      each.map(({ component, name, shape, encoding, originalBytes, otherBytes, relativeL2 }) => ({
        cells: [
          { text: markup`<code>${component}.${name}</code>` },
          { text: shape.join(' × ') },
          { text: encoding ?? 'none' },
          { text: formatBytes(originalBytes), sort: originalBytes },
          { text: formatBytes(otherBytes), sort: otherBytes },
          { text: formatError(relativeL2), sort: relativeL2 },
        ],
      })),
    ),
  ];
}

function renderGroups(groups: readonly WeightGroup[]): Content {
  const titles = ['weights', 'numbers', 'before', 'after', 'bits a weight', 'relative L2'];
  return renderTable(
    [{ title: 'layers', numeric: false }, ...titles.map((title) => ({ title, numeric: true }))],
    groups.map(({ name, weights, numbers, originalBytes, otherBytes, bitsPerWeight, relativeL2 }) => ({
      cells: [
        { text: name },
        { text: formatInteger(weights), sort: weights },
        { text: formatInteger(numbers), sort: numbers },
        { text: formatBytes(originalBytes), sort: originalBytes },
        { text: formatBytes(otherBytes), sort: otherBytes },
        { text: bitsPerWeight.toFixed(2), sort: bitsPerWeight },
        { text: formatError(relativeL2), sort: relativeL2 },
      ],
    })),
  );
}

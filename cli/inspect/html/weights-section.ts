/** Weights by size: areas, and a list. */
import { byteSize } from '../../../ir/dtype.js';
import type { WeightDeclaration } from '../../../ir/graph/graph.js';
import { printType } from '../../../ir/graph/types.js';
import type { Plan } from '../../../ir/plan.js';
import { type Content, markup, type Markup } from '../../page/markup.js';
import { renderTable } from '../../page/page.js';
import { formatBytes } from '../format.js';
import { blockLabel, blockOf } from '../label-block.js';
import { countElementsOf, weightsOf } from '../stored-weights.js';
import { placeAreas, type Area, type Rectangle } from './treemap.js';
import { toneOf } from './tones.js';

const WIDTH = 1320;
const HEIGHT = 460;

interface SizedWeight {
  readonly name: string;
  readonly type: string;
  readonly source: string;
  readonly bytes: number;
  readonly block: string;
  readonly family: string;
}

export function renderWeights(plan: Plan): Content {
  const weights = weightsOf(plan)
    .map(describe)
    .sort((a, b) => b.bytes - a.bytes);
  const total = weights.reduce((sum, { bytes }) => sum + bytes, 0);
  if (weights.length === 0) return markup`<p class="muted">This function has no weights.</p>`;
  return [
    markup`<p class="muted">
      ${weights.length} weights as the kernels take them (packed), ${formatBytes(total)}. Areas are bytes, together by
      block.
    </p>`,
    markup`<div class="chart">${renderAreas(weights)}</div>`,
    renderTable(
      [
        { title: 'weight', numeric: false },
        { title: 'bytes', numeric: true },
        { title: 'share', numeric: true },
        { title: 'type', numeric: false },
        { title: 'block', numeric: false },
        { title: 'made from', numeric: false },
      ],
      weights.map(({ name, bytes, type, block, source }) => ({
        cells: [
          { text: markup`<code class="wrap">${name}</code>` },
          { text: formatBytes(bytes), sort: bytes },
          { text: `${((100 * bytes) / total).toFixed(2)} %`, sort: bytes },
          { text: type },
          { text: block },
          { text: source },
        ],
      })),
    ),
  ];
}

function describe(weight: WeightDeclaration): SizedWeight {
  const { name, type, source } = weight;
  const block = blockOf(name);
  const from = 'of' in source ? source.of.source : source;
  const parts = 'parts' in from ? `${from.parts.length} tensors` : 'one tensor';
  const kind = source.kind === 'encoded_rows' ? `${source.field} (${source.encoding})` : source.kind;
  return {
    name,
    type: printType(type),
    source: source.kind === 'tensor' ? 'as stored' : `${kind} of ${parts}`,
    bytes: countElementsOf(weight) * byteSize(type.dtype),
    block: blockLabel(block),
    family: block?.family ?? 'other',
  };
}

function renderAreas(weights: readonly SizedWeight[]): Markup {
  const blocks = new Map<string, SizedWeight[]>();
  for (const weight of weights) blocks.set(weight.block, [...(blocks.get(weight.block) ?? []), weight]);
  const groups = [...blocks].map(([label, members]): Area<readonly SizedWeight[]> & { readonly label: string } => ({
    label,
    size: members.reduce((sum, { bytes }) => sum + bytes, 0),
    item: members,
  }));
  const placed = placeAreas(groups, { x: 0, y: 0, width: WIDTH, height: HEIGHT });
  return markup`<svg viewBox="0 0 ${WIDTH} ${HEIGHT}">
    ${placed.map(({ area, rectangle }) => renderGroup(area.item, rectangle))}
  </svg>`;
}

function renderGroup(members: readonly SizedWeight[], rectangle: Rectangle): Markup {
  const [first] = members;
  const areas = members.map((item) => ({ size: item.bytes, item }));
  const rects = placeAreas(areas, rectangle).map(({ area: { item }, rectangle: { x, y, width, height } }) => {
    const tip = `${item.name}\n${item.type}\n${formatBytes(item.bytes)}`;
    return markup`<rect
      class="span tone${toneOf(item.family)}"
      x="${x.toFixed(1)}"
      y="${y.toFixed(1)}"
      width="${width.toFixed(1)}"
      height="${height.toFixed(1)}"
      data-tip="${tip}"
    />`;
  });
  const label = first?.block ?? '';
  const fits = rectangle.width > 7 * label.length + 8 && rectangle.height > 18;
  const text = fits
    ? markup`<text class="on" x="${(rectangle.x + 5).toFixed(1)}" y="${(rectangle.y + 14).toFixed(1)}">${label}</text>`
    : '';
  return markup`<g
    >${rects}<rect
      x="${rectangle.x.toFixed(1)}"
      y="${rectangle.y.toFixed(1)}"
      width="${rectangle.width.toFixed(1)}"
      height="${rectangle.height.toFixed(1)}"
      fill="none"
      stroke="var(--card)"
      stroke-width="2"
      pointer-events="none"
    />${text}</g
  >`;
}

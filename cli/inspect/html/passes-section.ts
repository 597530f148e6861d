/** What every pass did: numbers, time, and the lines it changed. */
import { type Content, markup } from '../../page/markup.js';
import { renderTable, type TableRow } from '../../page/page.js';
import { diffLines, groupHunks, type Hunk } from '../diff-lines.js';
import { formatInteger } from '../format.js';
import type { PassRecorder } from '../pass-recorder.js';

const CONTEXT_LINES = 2;
/** Blocks repeat, so the first lines of a long difference say what the rest does. */
const MOST_LINES = 1500;

export function renderPasses({ initial, passes }: PassRecorder): Content {
  let before = initial;
  const rows = passes.map((pass, at): TableRow => {
    const { name, description, milliseconds, operationsBefore, operationsAfter, lines } = pass;
    const hunks = before === lines ? [] : groupHunks(diffLines(before, lines), CONTEXT_LINES);
    before = lines;
    const changes = countChanges(hunks);
    return {
      cells: [
        { text: at + 1 },
        { text: markup`<b>${name}</b>` },
        { text: milliseconds.toFixed(1), sort: milliseconds },
        { text: formatInteger(operationsBefore), sort: operationsBefore },
        { text: formatInteger(operationsAfter), sort: operationsAfter },
        { text: changes.removed === 0 ? '' : `−${formatInteger(changes.removed)}`, sort: changes.removed },
        { text: changes.added === 0 ? '' : `+${formatInteger(changes.added)}`, sort: changes.added },
        { text: markup`<span class="muted">${description}</span>` },
      ],
      ...(hunks.length > 0 && { more: renderHunks(hunks) }),
    };
  });
  return [
    markup`<p class="muted">A click on a pass shows the lines of the graph that it changed.</p>`,
    renderTable(
      [
        { title: '#', numeric: true },
        { title: 'pass', numeric: false },
        { title: 'ms', numeric: true },
        { title: 'operations before', numeric: true },
        { title: 'after', numeric: true },
        { title: 'lines removed', numeric: true },
        { title: 'added', numeric: true },
        { title: 'what it does', numeric: false },
      ],
      rows,
    ),
  ];
}

function countChanges(hunks: readonly Hunk[]): { readonly removed: number; readonly added: number } {
  const lines = hunks.flatMap((hunk) => hunk.lines);
  const count = (wanted: string): number => lines.filter(({ kind }) => kind === wanted).length;
  return { removed: count('removed'), added: count('added') };
}

function renderHunks(hunks: readonly Hunk[]): Content {
  const shown: Content[] = [];
  let lines = 0;
  for (const hunk of hunks) {
    if (lines >= MOST_LINES) break;
    shown.push(markup`<span class="at">line ${hunk.before} → ${hunk.after}</span>`);
    const rest = hunk.lines.slice(0, MOST_LINES - lines);
    lines += rest.length;
    for (const { kind, text } of rest) {
      shown.push(
        markup`<span class="${kind}">${kind === 'added' ? '+ ' : kind === 'removed' ? '- ' : '  '}${text}</span>`,
      );
    }
  }
  const total = hunks.reduce((sum, hunk) => sum + hunk.lines.length, 0);
  if (lines < total) {
    shown.push(markup`<span class="at">${formatInteger(total - lines)} more lines: --print-after shows all</span>`);
  }
  return markup`<pre class="diff">${shown}</pre>`;
}

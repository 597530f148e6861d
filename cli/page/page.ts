/** A page that needs nothing but itself: no network, styles and script inside, light and dark. */
import { type Content, markup, Markup } from './markup.js';
import { pageScript } from './script.js';
import { pageStyle } from './style.js';

export interface Page {
  readonly title: string;
  readonly subtitle: Content;
  readonly tabs: readonly Tab[];
  readonly footer: Content;
}

export interface Tab {
  readonly title: string;
  readonly body: Content;
}

/** The text of a page. Its tabs are shown one at a time. */
export function renderPage({ title, subtitle, tabs, footer }: Page): string {
  return markup`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${title}</title>
        <style>
          ${new Markup(pageStyle)}
        </style>
      </head>
      <body>
        <header>
          <div>
            <h1>${title}</h1>
            <p class="muted">${subtitle}</p>
          </div>
          <button id="theme" title="light or dark">◐</button>
        </header>
        ${renderTabs(tabs, 'main')}
        <footer class="muted">${footer}</footer>
        <div id="tip" hidden></div>
        <script>
          (${new Markup(pageScript.toString())})();
        </script>
      </body>
    </html> `.text;
}

/** Buttons and panels; the first is open. One tab needs no button. */
export function renderTabs(tabs: readonly Tab[], kind: 'main' | 'sub' | 'text'): Markup {
  if (tabs.length === 1) return markup`<div>${tabs[0]?.body}</div>`;
  const buttons = tabs.map(
    ({ title }, at) => markup`<button data-tab="${at}" ${new Markup(at === 0 ? ' class="on"' : '')}>${title}</button>`,
  );
  const panels = tabs.map(
    ({ body }, at) => markup`<div class="panel" ${new Markup(at === 0 ? '' : ' hidden')}>${body}</div>`,
  );
  return markup`<div class="tabs ${kind}">
    <nav>${buttons}</nav>
    ${panels}
  </div>`;
}

/** Content that is put into the page when it is first opened: pages of a thousand operations stay quick. */
export function renderLazyDetails(summary: Content, body: Content, className: string): Markup {
  return markup`<details class="${className}">
    <summary>${summary}</summary>
    <template>${body}</template>
  </details>`;
}

/** A figure with a name: one of the tiles at the top. */
export function renderFigure(name: string, value: string, note = ''): Markup {
  return markup`<div class="figure"><span>${name}</span><b>${value}</b><small data-tip="${note}">${note}</small></div>`;
}

export interface TableColumn {
  readonly title: string;
  readonly numeric: boolean;
}

export interface TableRow {
  readonly cells: readonly { readonly text: Content; readonly sort?: number | string }[];
  /** Shown below the row when it is clicked. */
  readonly more?: Content;
}

/** A table that is sorted by a click on a title. */
export function renderTable(columns: readonly TableColumn[], rows: readonly TableRow[]): Markup {
  const classOf = (at: number): string => (columns[at]?.numeric === true ? 'number' : '');
  const head = columns.map(({ title }, at) => markup`<th class="${classOf(at)}">${title}</th>`);
  const body = rows.map(({ cells, more }) => {
    const tds = cells.map(
      ({ text, sort }, at) =>
        markup`<td class="${classOf(at)}" ${sort === undefined ? '' : markup` data-sort="${sort}"`}>${text}</td>`,
    );
    const row = markup`<tr class="${more === undefined ? '' : 'opens'}">
      ${tds}
    </tr>`;
    if (more === undefined) return row;
    return [
      row,
      markup`<tr class="more" hidden>
        <td colspan="${columns.length}"><template>${more}</template></td>
      </tr>`,
    ];
  });
  return markup`<div class="scroll">
    <table class="sortable">
      <thead>
        <tr>
          ${head}
        </tr>
      </thead>
      <tbody>
        ${body}
      </tbody>
    </table>
  </div>`;
}

/** Shares of a whole as one bar with a legend. `tone` is one of the page's colours, 0 to 9. */
export function renderShares(
  shares: readonly { readonly name: string; readonly value: number; readonly note: string; readonly tone: number }[],
): Markup {
  const total = shares.reduce((sum, { value }) => sum + value, 0);
  const share = (value: number): number => (total === 0 ? 0 : (100 * value) / total);
  const parts = shares.map(
    ({ name, value, note, tone }) =>
      markup`<i
        class="tone${tone}"
        style="width:${share(value).toFixed(3)}%"
        data-tip="${`${name}\n${note}\n${share(value).toFixed(1)} %`}"
      ></i>`,
  );
  const legend = shares.map(
    ({ name, value, note, tone }) =>
      markup`<li>
        <i class="tone${tone}"></i>${name} <b>${share(value).toFixed(1)} %</b> <span class="muted">${note}</span>
      </li>`,
  );
  return markup`<div class="shares">
    <div class="bar">${parts}</div>
    <ul>
      ${legend}
    </ul>
  </div>`;
}

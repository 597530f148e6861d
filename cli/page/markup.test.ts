import { describe, expect, it } from 'vitest';
import { markup } from './markup.js';
import { renderPage, renderTable } from './page.js';
import { pageScript } from './script.js';

describe('markup', () => {
  it('escapes text, joins lists and leaves markup alone', () => {
    const inner = markup`<b>${'a<b'}</b>`;
    expect(markup`<p title="${'"x" & \'y\''}">${[inner, 1, undefined, 'z']}</p>`.text).toBe(
      '<p title="&#34;x&#34; &#38; &#39;y&#39;"><b>a&#60;b</b>1z</p>',
    );
  });
});

describe('renderPage', () => {
  const page = renderPage({
    title: '<page>',
    subtitle: '</script>',
    tabs: [
      {
        title: 'one',
        body: renderTable([{ title: 'n', numeric: true }], [{ cells: [{ text: '7 k', sort: 7000 }], more: 'deep' }]),
      },
      { title: 'two', body: 'second' },
    ],
    footer: '',
  });

  it('needs nothing from outside', () => {
    expect(page).not.toMatch(/\b(src|href)=|url\(|@import|https?:/);
  });

  it('shows one tab at a time and keeps what is below a row out of the page', () => {
    expect(page).toContain('<title>&#60;page&#62;</title>');
    expect(page).toContain('data-sort="7000">7 k</td>');
    expect(page).toContain('<td colspan="1"><template>deep</template></td>');
    expect(page).toMatch(/<div class="panel" +hidden> *second *<\/div>/);
    expect(page.match(/<\/script>/g)).toHaveLength(1);
  });

  it('brings a script that stands alone', () => {
    // Syntax only: it runs in browsers.
    expect(() => new Function(`return ${pageScript.toString()}`)).not.toThrow();
    expect(pageScript.toString()).not.toMatch(/__vi|import/);
  });
});

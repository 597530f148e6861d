/** What a page does when it is used. */

/** Runs in the browser: its text is written into the page, so it uses nothing from outside of itself. */
export function pageScript(): void {
  const fill = (holder: Element | null): void => {
    const template = holder?.querySelector(':scope > template');
    if (template instanceof HTMLTemplateElement) template.replaceWith(template.content);
  };

  document.addEventListener('toggle', (event) => fill(event.target instanceof Element ? event.target : null), true);

  const openTab = (button: HTMLElement): void => {
    const tabs = button.closest('.tabs');
    if (tabs === null) return;
    const at = Number(button.dataset['tab']);
    tabs.querySelectorAll(':scope > nav > button').forEach((other) => other.classList.toggle('on', other === button));
    tabs.querySelectorAll(':scope > .panel').forEach((panel, index) => panel.toggleAttribute('hidden', index !== at));
  };

  const toggleRow = (row: Element): void => {
    const more = row.nextElementSibling;
    if (more === null || !more.classList.contains('more')) return;
    fill(more.querySelector('td'));
    more.toggleAttribute('hidden');
    row.classList.toggle('open');
  };

  const sortBy = (head: HTMLTableCellElement): void => {
    const body = head.closest('table')?.tBodies[0];
    if (body === undefined) return;
    const at = head.cellIndex;
    const rising = head.dataset['order'] === 'falling';
    head
      .closest('tr')
      ?.querySelectorAll('th')
      .forEach((other) => delete other.dataset['order']);
    head.dataset['order'] = rising ? 'rising' : 'falling';
    const valueOf = (row: HTMLTableRowElement): string => {
      const cell = row.cells[at];
      return cell?.dataset['sort'] ?? cell?.textContent ?? '';
    };
    const rows = Array.from(body.rows).filter((row) => !row.classList.contains('more'));
    const followers = new Map(rows.map((row) => [row, row.nextElementSibling]));
    rows.sort((one, other) => {
      const [a, b] = [valueOf(one), valueOf(other)];
      const order = Number.isNaN(Number(a)) || Number.isNaN(Number(b)) ? a.localeCompare(b) : Number(a) - Number(b);
      return rising ? order : -order;
    });
    for (const row of rows) {
      const follower = followers.get(row);
      body.append(row);
      if (follower?.classList.contains('more') === true) body.append(follower);
    }
  };

  document.addEventListener('click', (event) => {
    if (!(event.target instanceof Element)) return;
    const tab = event.target.closest('[data-tab]');
    if (tab instanceof HTMLElement) openTab(tab);
    const head = event.target.closest('table.sortable th');
    if (head instanceof HTMLTableCellElement) sortBy(head);
    const row = event.target.closest('tr.opens');
    if (row !== null && getSelection()?.toString() === '') toggleRow(row);
    if (event.target.closest('#theme') !== null) {
      const dark = matchMedia('(prefers-color-scheme: dark)').matches;
      const now = document.documentElement.dataset['theme'] ?? (dark ? 'dark' : 'light');
      document.documentElement.dataset['theme'] = now === 'dark' ? 'light' : 'dark';
    }
  });

  // `#denoise/memory` opens those tabs.
  for (const title of decodeURIComponent(location.hash.slice(1)).split('/')) {
    const buttons = Array.from(document.querySelectorAll<HTMLElement>('.tabs > nav > button'));
    const button = buttons.find((one) => one.textContent === title && one.offsetParent !== null);
    if (button !== undefined) openTab(button);
  }

  const tip = document.getElementById('tip');
  document.addEventListener('mousemove', (event) => {
    if (tip === null) return;
    const marked = event.target instanceof Element ? event.target.closest('[data-tip]') : null;
    tip.hidden = marked === null;
    if (marked === null) return;
    tip.textContent = marked.getAttribute('data-tip');
    const { clientX: x, clientY: y } = event;
    tip.style.left = `${Math.min(x + 14, innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${y + 18 + tip.offsetHeight > innerHeight ? y - tip.offsetHeight - 10 : y + 18}px`;
  });
}

/** HTML text that is escaped unless it was made here. */

/** Text that is HTML already. */
export class Markup {
  constructor(readonly text: string) {}

  toString(): string {
    return this.text;
  }
}

/** What can stand in a template: text is escaped, lists are joined, undefined is nothing. */
export type Content = string | number | Markup | undefined | readonly Content[];

/** A template whose values are escaped: markup`<b>${name}</b>`. Line breaks of the template itself become spaces. */
export function markup(strings: TemplateStringsArray, ...values: readonly Content[]): Markup {
  return new Markup(
    strings.reduce(
      (text, part, at) => text + (at === 0 ? '' : contentText(values[at - 1])) + part.replace(/\s*\n\s*/g, ' '),
      '',
    ),
  );
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

function contentText(content: Content): string {
  if (content === undefined) return '';
  if (content instanceof Markup) return content.text;
  if (typeof content === 'string') return escapeHtml(content);
  if (typeof content === 'number') return String(content);
  return content.map(contentText).join('');
}

import type { DiagnosticCode } from '../diagnostics.js';
import { Flux2cError } from '../diagnostics.js';

interface Token {
  readonly kind: 'name' | 'number' | 'sign' | 'end';
  readonly text: string;
  readonly offset: number;
}

const pattern =
  /\s+|([A-Za-z_][A-Za-z0-9_]*)|(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(<=|>=|==|<<|>>|[-+*/%^&|!<>=(){}[\],.:@])/gy;

/** Words of the kernel text forms, with errors that name line and column. */
export class TextScanner {
  private readonly tokens: Token[] = [];
  private position = 0;

  /** `code`: of the syntax errors this text raises. */
  constructor(
    private readonly text: string,
    private readonly code: DiagnosticCode,
  ) {
    pattern.lastIndex = 0;
    let offset = 0;
    for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
      const kind = match[1] !== undefined ? 'name' : match[2] !== undefined ? 'number' : 'sign';
      if (match[1] !== undefined || match[2] !== undefined || match[3] !== undefined) {
        this.tokens.push({ kind, text: match[0], offset });
      }
      offset = pattern.lastIndex;
    }
    this.tokens.push({ kind: 'end', text: '', offset });
    if (offset !== text.length) {
      this.position = this.tokens.length - 1;
      this.fail('a word of the text form', JSON.stringify(text[offset]));
    }
  }

  private get token(): Token {
    return this.tokens[this.position] as Token;
  }

  /** Whether the next words are these. */
  sees(...texts: readonly string[]): boolean {
    return texts.every((text, at) => this.tokens[this.position + at]?.text === text);
  }

  get seesName(): boolean {
    return this.token.kind === 'name';
  }

  get seesNumber(): boolean {
    return this.token.kind === 'number';
  }

  /** Steps over the word when it is next. */
  accept(text: string): boolean {
    if (this.token.text !== text || this.token.kind === 'end') return false;
    this.position++;
    return true;
  }

  expect(text: string): void {
    if (!this.accept(text)) this.fail(`'${text}'`);
  }

  /** The next word, which must be a name; `what` says for what. */
  name(what: string): string {
    if (this.token.kind !== 'name') this.fail(what);
    const { text } = this.token;
    this.position++;
    return text;
  }

  /** `@name`, possibly with dots and digits: `@single.0.linear1`. */
  label(): string {
    this.expect('@');
    const match = /^[A-Za-z0-9_.]+/.exec(this.text.slice(this.token.offset));
    if (match === null) return this.fail('a name behind @');
    const end = this.token.offset + match[0].length;
    while (this.token.kind !== 'end' && this.token.offset < end) this.position++;
    return match[0];
  }

  /** An unsigned number as it is written. */
  numberText(what: string): string {
    if (this.token.kind !== 'number') this.fail(what);
    const { text } = this.token;
    this.position++;
    return text;
  }

  /** An unsigned integer. */
  integer(what: string): number {
    const text = this.numberText(what);
    if (!/^\d+$/.test(text)) {
      this.position--;
      this.fail(what);
    }
    return Number(text);
  }

  /** `(8)`: an unsigned integer. */
  inParentheses(what: string): number {
    this.expect('(');
    const value = this.integer(what);
    this.expect(')');
    return value;
  }

  /** One of the words. */
  oneOf<T extends string>(words: readonly T[], what: string): T {
    const found = words.find((word) => word === this.token.text);
    if (found === undefined) return this.fail(`${what}: ${words.join(', ')}`);
    this.position++;
    return found;
  }

  /** `( item, item )`; an empty list is `()`. */
  list<T>(open: string, close: string, item: () => T): T[] {
    this.expect(open);
    const items: T[] = [];
    while (!this.accept(close)) {
      if (items.length > 0) this.expect(',');
      items.push(item());
    }
    return items;
  }

  expectEnd(): void {
    if (this.token.kind !== 'end') this.fail('the end of the text');
  }

  /** Throws the syntax error at the next word. */
  fail(expected: string, found?: string): never {
    const before = this.text.slice(0, this.token.offset).split('\n');
    const shown = this.token.kind === 'end' ? 'the end of the text' : `'${this.token.text}'`;
    throw new Flux2cError(this.code, 'the text of a kernel cannot be read', {
      where: [`line ${before.length}, column ${(before[before.length - 1] as string).length + 1}`],
      expected,
      found: found ?? shown,
    });
  }
}

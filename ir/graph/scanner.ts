import { Dim } from '../dim.js';
import { type DiagnosticCode, type DiagnosticDetail, Flux2cError } from '../diagnostics.js';
import { type DType, isDType } from '../dtype.js';
import type { TensorType } from './graph.js';

const numberPattern = /-?(?:nan|inf|[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)(?![A-Za-z0-9_])/y;
const bareNamePattern = /[A-Za-z0-9_.]+/y;
const wordPattern = /[A-Za-z_][A-Za-z0-9_]*/y;
const stringPattern = /"(?:[^"\\\n]|\\.)*"/y;
const dimPattern = /[A-Za-z0-9_*+\- ]+/y;
const spacePattern = /(?:\s|\/\/[^\n]*)*/y;

/** Reads the text of a graph piece by piece; spaces, newlines and `//` comments count for nothing. */
export class Scanner {
  private position = 0;
  private start = 0;

  constructor(
    private readonly text: string,
    private readonly file: string,
  ) {
    this.skipSpace();
  }

  get atEnd(): boolean {
    return this.position === this.text.length;
  }

  /** True when the text goes on with `literal`; does not move. */
  sees(literal: string): boolean {
    return this.text.startsWith(literal, this.position);
  }

  /** Moves past `literal` if the text goes on with it. */
  take(literal: string): boolean {
    if (!this.sees(literal)) return false;
    this.move(this.position + literal.length);
    return true;
  }

  expect(literal: string): void {
    if (!this.take(literal)) this.failHere(`'${literal}'`);
  }

  word(what: string): string {
    return this.match(wordPattern) ?? this.failHere(what);
  }

  /** A word only if it is the given one. */
  takeWord(word: string): boolean {
    wordPattern.lastIndex = this.position;
    return wordPattern.exec(this.text)?.[0] === word && this.take(word);
  }

  /** A name, bare or in quotes, behind `mark`: `%x`, `@"odd name"`. */
  name(mark: '%' | '@' | ''): string {
    if (!this.sees(mark)) this.failHere(`'${mark}' and a name`);
    const begin = this.position;
    this.position += mark.length;
    const name = this.sees('"') ? this.string() : (this.match(bareNamePattern) ?? this.failHere('a name'));
    this.start = begin;
    return name;
  }

  string(): string {
    const text = this.match(stringPattern) ?? this.failHere('a text in quotes');
    try {
      return JSON.parse(text) as string;
    } catch {
      return this.fail('F2C130', 'the text in quotes is no JSON string', { found: text });
    }
  }

  /** The number that comes next, if one does. */
  takeNumber(): number | undefined {
    const text = this.match(numberPattern);
    if (text === undefined) return undefined;
    if (text.endsWith('nan')) return NaN;
    if (text.endsWith('inf')) return text.startsWith('-') ? -Infinity : Infinity;
    return Number(text);
  }

  number(): number {
    return this.takeNumber() ?? this.failHere('a number');
  }

  integer(): number {
    const value = this.number();
    return Number.isSafeInteger(value)
      ? value
      : this.fail('F2C130', 'an integer is needed here', { found: `${value}` });
  }

  dim(): Dim {
    const text = this.match(dimPattern) ?? this.failHere('a dimension');
    return this.at(() => Dim.of(text));
  }

  dtype(): DType {
    const text = this.word('an element type');
    return isDType(text) ? text : this.fail('F2C130', `there is no element type '${text}'`);
  }

  /** `f32[img, 128]` */
  type(): TensorType {
    return { dtype: this.dtype(), shape: this.list('[', ']', () => this.dim()) };
  }

  list<T>(open: string, close: string, item: () => T): readonly T[] {
    this.expect(open);
    const items: T[] = [];
    if (this.take(close)) return items;
    do items.push(item());
    while (this.take(','));
    this.expect(close);
    return items;
  }

  /** Where the piece read last begins, for errors that are found later. */
  get mark(): number {
    return this.start;
  }

  /** Runs `action`; its errors point to `mark`, by default to the piece read last. */
  at<T>(action: () => T, mark: number = this.start): T {
    try {
      return action();
    } catch (error) {
      if (!(error instanceof Flux2cError)) throw error;
      const where = [this.place(mark), ...(error.detail.where ?? [])];
      throw new Flux2cError(error.code, error.message, { ...error.detail, where, cause: error });
    }
  }

  /** An error about the piece at `mark`, by default the one read last. */
  fail(code: DiagnosticCode, message: string, detail: DiagnosticDetail = {}, mark: number = this.start): never {
    throw new Flux2cError(code, message, { where: [this.place(mark)], ...detail });
  }

  /** An error about what comes next. */
  failHere(expected: string): never {
    this.start = this.position;
    const next = /\S+/.exec(this.text.slice(this.position, this.position + 40))?.[0] ?? 'the end';
    this.fail('F2C130', 'the text is no graph', { expected, found: next });
  }

  private place(position: number): string {
    const before = this.text.slice(0, position).split('\n');
    return `${this.file}:${before.length}:${(before.at(-1) as string).length + 1}`;
  }

  private match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.position;
    const text = pattern.exec(this.text)?.[0];
    if (text !== undefined) this.move(this.position + text.length);
    return text;
  }

  private move(position: number): void {
    this.start = this.position;
    this.position = position;
    this.skipSpace();
  }

  private skipSpace(): void {
    spacePattern.lastIndex = this.position;
    this.position += spacePattern.exec(this.text)?.[0].length ?? 0;
  }
}

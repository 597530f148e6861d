import { Flux2cError, type DiagnosticCode } from '../../ir/diagnostics.js';
import { quoteName } from './quote.js';

/** JSON with objects as maps: a key such as `__proto__` is a key like any other. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;
export type JsonObject = ReadonlyMap<string, JsonValue>;

export interface JsonLimits {
  /** Deepest nesting of arrays and objects; the parser recurses that far. */
  readonly depth: number;
  /** Most values of all kinds in the text, so that a text of nothing but `[],[],…` cannot fill the memory. */
  readonly values: number;
}

/**
 * Parses UTF-8 JSON of a file that is not trusted. Unlike `JSON.parse` it refuses duplicate keys (two readers could
 * take different ones), invalid UTF-8, nesting beyond `limits.depth` and more values than `limits.values`.
 * @param name of the file, for errors
 * @throws Flux2cError with `code`
 */
export function parseStrictJson(bytes: Uint8Array, name: string, code: DiagnosticCode, limits: JsonLimits): JsonValue {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new Flux2cError(code, 'the JSON text is not valid UTF-8', { where: [name], hint: DAMAGED, cause });
  }
  const parser = new Parser(text, name, code, limits);
  const value = parser.parseValue(0);
  parser.expectEnd();
  return value;
}

const DAMAGED = 'The file is damaged or is not of the kind its name says: fetch it again.';
const WHITE_SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
// Everything up to the closing quote that needs no decoding; control characters are not allowed inside strings.

const PLAIN_CHARACTERS = /[^"\\\u0000-\u001f]*/y;

class Parser {
  private position = 0;
  private values = 0;

  constructor(
    private readonly text: string,
    private readonly name: string,
    private readonly code: DiagnosticCode,
    private readonly limits: JsonLimits,
  ) {}

  parseValue(depth: number): JsonValue {
    this.values += 1;
    if (this.values > this.limits.values) this.fail(`at most ${this.limits.values} values`, 'more');
    this.skipWhiteSpace();
    switch (this.text[this.position]) {
      case '{':
        return this.parseObject(depth + 1);
      case '[':
        return this.parseArray(depth + 1);
      case '"':
        return this.parseString();
      case 't':
        return this.parseWord('true', true);
      case 'f':
        return this.parseWord('false', false);
      case 'n':
        return this.parseWord('null', null);
      default:
        return this.parseNumber();
    }
  }

  expectEnd(): void {
    this.skipWhiteSpace();
    if (this.position < this.text.length) this.fail('the end of the text');
  }

  private parseObject(depth: number): JsonObject {
    this.checkDepth(depth);
    const object = new Map<string, JsonValue>();
    this.position += 1;
    if (this.takes('}')) return object;
    for (;;) {
      this.skipWhiteSpace();
      if (this.text[this.position] !== '"') this.fail('a key in double quotes');
      const key = this.parseString();
      if (object.has(key)) this.fail('each key once', `the key "${quoteName(key)}" twice`);
      if (!this.takes(':')) this.fail('":"');
      object.set(key, this.parseValue(depth));
      if (this.takes('}')) return object;
      if (!this.takes(',')) this.fail('"," or "}"');
    }
  }

  private parseArray(depth: number): readonly JsonValue[] {
    this.checkDepth(depth);
    const array: JsonValue[] = [];
    this.position += 1;
    if (this.takes(']')) return array;
    for (;;) {
      array.push(this.parseValue(depth));
      if (this.takes(']')) return array;
      if (!this.takes(',')) this.fail('"," or "]"');
    }
  }

  private parseString(): string {
    const start = this.position;
    this.position += 1;
    for (;;) {
      this.skip(PLAIN_CHARACTERS);
      const character = this.text[this.position];
      if (character === '"') break;
      if (character !== '\\') this.fail('the end of a string');
      // The character after a backslash cannot end the string, whatever it is.
      this.position += 2;
    }
    this.position += 1;
    const quoted = this.text.slice(start, this.position);
    if (!quoted.includes('\\')) return quoted.slice(1, -1);
    try {
      return JSON.parse(quoted) as string;
    } catch {
      this.position = start;
      return this.fail('a string with valid escapes');
    }
  }

  private parseNumber(): number {
    NUMBER.lastIndex = this.position;
    const match = NUMBER.exec(this.text);
    if (match === null) return this.fail('a value');
    this.position += match[0].length;
    return Number(match[0]);
  }

  private parseWord<T>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.position)) this.fail('a value');
    this.position += word.length;
    return value;
  }

  private takes(character: string): boolean {
    this.skipWhiteSpace();
    if (this.text[this.position] !== character) return false;
    this.position += 1;
    return true;
  }

  private skipWhiteSpace(): void {
    this.skip(WHITE_SPACE);
  }

  private skip(pattern: RegExp): void {
    pattern.lastIndex = this.position;
    this.position += pattern.exec(this.text)?.[0].length ?? 0;
  }

  private checkDepth(depth: number): void {
    if (depth > this.limits.depth) this.fail(`nesting of at most ${this.limits.depth} levels`, 'deeper nesting');
  }

  private fail(expected: string, found = this.describeNext()): never {
    throw new Flux2cError(this.code, `the JSON text is malformed at character ${this.position}`, {
      where: [this.name],
      expected,
      found,
      hint: DAMAGED,
    });
  }

  private describeNext(): string {
    const rest = this.text.slice(this.position, this.position + 20);
    return rest === '' ? 'the end of the text' : `"${quoteName(rest)}"`;
  }
}

/** Reads fields of a JSON configuration with errors that name the file, the key, what was expected and what was found. */
import { Flux2cError } from '../../ir/diagnostics.js';

type JsonObject = Readonly<Record<string, unknown>>;

/** One JSON object of a configuration file; `path` names the keys that lead to it. */
export class ConfigReader {
  private constructor(
    readonly file: string,
    private readonly fields: JsonObject,
    private readonly path: readonly string[],
  ) {}

  /** Parses `text`, the content of `file`. F2C610 when it is not JSON or not an object. */
  static parse(text: string, file: string): ConfigReader {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (cause) {
      throw new Flux2cError('F2C610', 'the configuration is not valid JSON', {
        where: [file],
        found: cause instanceof Error ? cause.message : String(cause),
        hint: 'Download the file again; it may be cut off or be an error page.',
        cause,
      });
    }
    if (!isObject(value)) {
      throw new Flux2cError('F2C610', 'the configuration is not a JSON object', { where: [file], found: show(value) });
    }
    return new ConfigReader(file, value, []);
  }

  /** Whether `key` is there with a value other than null, which the reference writes for "not set". */
  has(key: string): boolean {
    return this.fields[key] !== undefined && this.fields[key] !== null;
  }

  /** Whether `key` is there, be it null. */
  mentions(key: string): boolean {
    return this.fields[key] !== undefined;
  }

  /** The value under `key` as it is, for fields of several forms. */
  value(key: string): unknown {
    return this.fields[key];
  }

  /** The object under `key`; F2C611 when missing, F2C612 when it is something else. */
  object(key: string): ConfigReader {
    const value = this.required(key, 'an object');
    if (!isObject(value)) throw this.wrong(key, 'an object');
    return new ConfigReader(this.file, value, [...this.path, key]);
  }

  positiveInteger(key: string, fallback?: number): number {
    return this.read(key, fallback, 'a positive integer', isPositiveInteger);
  }

  positiveNumber(key: string, fallback?: number): number {
    return this.read(key, fallback, 'a positive number', isPositiveNumber);
  }

  boolean(key: string, fallback?: boolean): boolean {
    return this.read(key, fallback, 'true or false', isBoolean);
  }

  string(key: string, fallback?: string): string {
    return this.read(key, fallback, 'a string', isString);
  }

  positiveIntegers(key: string, fallback?: readonly number[]): readonly number[] {
    return this.read(key, fallback, 'a list of positive integers', isPositiveIntegers);
  }

  /** F2C613 unless `key` is absent, null or one of `supported`: flux2c would compute something else than the model. */
  requireSupported(key: string, supported: readonly (string | number | boolean)[]): void {
    const value = this.fields[key];
    if (value === undefined || value === null || supported.some((choice) => choice === value)) return;
    throw this.unsupported(key, supported.map(show).join(' or '));
  }

  /** The F2C612 error of a field that has a wrong value. */
  wrong(key: string, expected: string): Flux2cError {
    return new Flux2cError('F2C612', `"${key}" has a wrong value`, this.detail(key, expected));
  }

  /** The F2C613 error of a field whose value is valid but not implemented. */
  unsupported(key: string, expected: string): Flux2cError {
    return new Flux2cError('F2C613', `this value of "${key}" is not supported`, {
      ...this.detail(key, expected),
      hint: 'The checkpoint asks for something that no FLUX.2 model uses.',
    });
  }

  private read<T>(key: string, fallback: T | undefined, expected: string, is: (value: unknown) => value is T): T {
    if (fallback !== undefined && !this.has(key)) return fallback;
    const value = this.required(key, expected);
    if (!is(value)) throw this.wrong(key, expected);
    return value;
  }

  private required(key: string, expected: string): unknown {
    if (this.has(key)) return this.fields[key];
    throw new Flux2cError('F2C611', `"${key}" is missing`, {
      where: [this.file, ...this.path, key],
      expected,
      found: this.mentions(key) ? 'null' : `only ${Object.keys(this.fields).join(', ')}`,
    });
  }

  private detail(key: string, expected: string): { where: readonly string[]; expected: string; found: string } {
    return { where: [this.file, ...this.path, key], expected, found: show(this.fields[key]) };
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isPositiveInteger(value: unknown): value is number {
  return isPositiveNumber(value) && Number.isSafeInteger(value);
}

function isPositiveNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value > 0;
}

function isBoolean(value: unknown): value is boolean {
  return typeof value === 'boolean';
}

function isString(value: unknown): value is string {
  return typeof value === 'string';
}

function isPositiveIntegers(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.length > 0 && value.every(isPositiveInteger);
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

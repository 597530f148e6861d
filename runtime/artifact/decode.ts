/** Reads JSON of files that are not trusted into typed values: what does not fit is an error that says where. */
import type { JsonObject, JsonValue } from '../../frontend/checkpoint/strict-json.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import { Dim } from '../../ir/dim.js';

/** `at` leads to the value: file, keys, indices. Throws F2C530 when the value is not what is read. */
export type Decoder<T> = (value: JsonValue | undefined, at: readonly string[]) => T;
type Decoded<D> = D extends Decoder<infer T> ? T : never;

export function malformed(at: readonly string[], expected: string, value: JsonValue | undefined): Flux2cError {
  const kind = value instanceof Map ? 'an object' : Array.isArray(value) ? 'a list' : JSON.stringify(value);
  const found = value === undefined ? 'nothing' : String(kind);
  return new Flux2cError('F2C530', 'the artifact is malformed', {
    where: at,
    expected,
    found: found.length > 60 ? `${found.slice(0, 57)}...` : found,
    hint: 'Compile it again; an artifact is written whole or not at all.',
  });
}

export const string: Decoder<string> = (value, at) => {
  if (typeof value === 'string') return value;
  throw malformed(at, 'a string', value);
};

export const boolean: Decoder<boolean> = (value, at) => {
  if (typeof value === 'boolean') return value;
  throw malformed(at, 'true or false', value);
};

/** SHA-256. */
export const digest: Decoder<string> = (value, at) => {
  if (typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)) return value;
  throw malformed(at, '64 hexadecimal digits', value);
};

const specialNumbers: ReadonlyMap<string, number> = new Map([
  ['-0', -0],
  ['Infinity', Infinity],
  ['-Infinity', -Infinity],
  ['NaN', NaN],
]);

/** A number, or the name of one that JSON cannot write. */
export const number: Decoder<number> = (value, at) => {
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  const special = typeof value === 'string' ? specialNumbers.get(value) : undefined;
  if (special !== undefined) return special;
  throw malformed(at, 'a number', value);
};

/** A non-negative integer. */
export const count: Decoder<number> = (value, at) => {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw malformed(at, 'an integer of at least 0', value);
};

/** The longest dimension of a plan is under 200 characters; multiplying out a hostile one could take for ever. */
const LONGEST_DIM = 2000;

/** A dimension's text: `4*h*w+512`. */
export const dim: Decoder<Dim> = (value, at) => {
  if (typeof value === 'number' && Number.isSafeInteger(value)) return Dim.of(value);
  if (typeof value === 'string' && value.length <= LONGEST_DIM) return parseAt(value, at);
  throw malformed(at, 'a dimension', value);
};

function parseAt(text: string, at: readonly string[]): Dim {
  try {
    return Dim.of(text);
  } catch {
    throw malformed(at, 'a dimension', text);
  }
}

export function oneOf<const T extends readonly string[]>(...choices: T): Decoder<T[number]> {
  return (value, at) => {
    const choice = choices.find((candidate) => candidate === value);
    if (choice !== undefined) return choice;
    throw malformed(at, choices.length > 12 ? `one of ${choices.length} names` : choices.join(' or '), value);
  };
}

export function list<T>(item: Decoder<T>): Decoder<readonly T[]> {
  return (value, at) => {
    if (!Array.isArray(value)) throw malformed(at, 'a list', value);
    return (value as readonly JsonValue[]).map((entry, index) => item(entry, [...at, String(index)]));
  };
}

/** A list with one decoder for each place. */
export function tuple<const D extends readonly Decoder<unknown>[]>(
  ...items: D
): Decoder<{ readonly [I in keyof D]: Decoded<D[I]> }> {
  return (value, at) => {
    if (!Array.isArray(value) || value.length !== items.length) {
      throw malformed(at, `a list of ${items.length}`, value as JsonValue | undefined);
    }
    const decoded = items.map((item, index) => item((value as readonly JsonValue[])[index], [...at, String(index)]));
    return decoded as { readonly [I in keyof D]: Decoded<D[I]> };
  };
}

export function nullable<T>(item: Decoder<T>): Decoder<T | null> {
  return (value, at) => (value === null ? null : item(value, at));
}

type Shape = Readonly<Record<string, Decoder<unknown>>>;
type Fields<S extends Shape> = { readonly [K in keyof S]: Decoded<S[K]> };

/** An object with exactly these keys. */
export function object<const S extends Shape>(shape: S): Decoder<Fields<S>> {
  return objectWith(shape, {});
}

/** An object with these keys, of which some may be missing. */
export function objectWith<const S extends Shape, const O extends Shape>(
  shape: S,
  optional: O,
): Decoder<Fields<S> & Partial<Fields<O>>> {
  const known = { ...shape, ...optional };
  return (value, at) => {
    const fields = expectObject(value, at);
    const unknown = [...fields.keys()].find((key) => !Object.hasOwn(known, key));
    if (unknown !== undefined) throw malformed(at, `only ${Object.keys(known).join(', ')}`, unknown);
    const present = Object.entries(known).filter(([key]) => Object.hasOwn(shape, key) || fields.has(key));
    const decoded = present.map(([key, item]) => [key, item(fields.get(key), [...at, key])]);
    return Object.fromEntries(decoded) as Fields<S> & Partial<Fields<O>>;
  };
}

/** An object whose keys are names. */
export function dictionary<T>(item: Decoder<T>): Decoder<ReadonlyMap<string, T>> {
  return (value, at) => {
    const entries = [...expectObject(value, at)];
    return new Map(entries.map(([key, entry]) => [key, item(entry, [...at, key])]));
  };
}

/** An object whose `kind` says which decoder reads it. */
export function byKind<T>(decoders: Readonly<Record<string, Decoder<T>>>): Decoder<T> {
  const kinds = oneOf(...Object.keys(decoders));
  return (value, at) => {
    const kind = kinds(expectObject(value, at).get('kind'), [...at, 'kind']);
    return decoders[kind]!(value, at);
  };
}

/** A decoder that may name itself. */
export function lazy<T>(make: () => Decoder<T>): Decoder<T> {
  return (value, at) => make()(value, at);
}

export function expectObject(value: JsonValue | undefined, at: readonly string[]): JsonObject {
  if (value instanceof Map) return value as JsonObject;
  throw malformed(at, 'an object', value);
}

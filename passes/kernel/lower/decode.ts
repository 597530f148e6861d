import { planeBits } from '../../../ir/decode-element.js';
import type { Encoding, Factor, FieldName } from '../../../ir/encoding.js';
import { binary, constant, splat, vectorOf } from '../../../ir/kernel/expressions.js';
import type { Expression, ScalarType } from '../../../ir/kernel/thread.js';

/** What decoding makes its expressions with. */
export interface DecodeParts {
  readonly lanes: 1 | 2 | 4;
  /** Lanes of a subgroup come here together, and tables lie best in their registers. */
  readonly isTogether: boolean;
  /** What neighbours of a row share: words of codes (u32) with the first lane's bits lowest, the group's numbers (f32, bytes i32). */
  field(name: FieldName): Expression;
  /** Gives a vector a register. */
  bind(value: Expression, scalar: ScalarType): Expression;
  /** Gives a scalar a register where what it is made of is known. */
  hoist(value: Expression, scalar: ScalarType): Expression;
}

/**
 * Neighbours of an encoded row, with the bits that `decodeRows` gives: every step is exact but the last product and sum, and none
 * relies on subnormal numbers, which GPUs take for 0. What is different for each lane is a constant, so that no lane is shifted by a
 * number of its own where a mask does.
 */
export function expandDecode(encoding: Encoding, parts: DecodeParts): Expression {
  const { lanes, bind, hoist } = parts;
  const factor = (form: Factor, [own, outer]: readonly [FieldName, FieldName]): Expression => {
    const number = parts.field(own);
    if (form.kind === 'plain') return number;
    const whole = hoist({ kind: 'convert', to: 'f32', operand: number }, 'f32');
    const moved = form.bias === 0 ? whole : hoist(binary('sub', whole, constant(form.bias, vectorOf('f32', 1))), 'f32');
    return hoist(binary('mul', parts.field(outer), moved), 'f32');
  };
  const scale = splat(factor(encoding.scale, ['scales', 'supers']), lanes);
  const product = bind(binary('mul', scale, numbersOf(encoding, parts)), 'f32');
  if (encoding.offset === undefined) return product;
  const offset = splat(factor(encoding.offset.factor, ['offsets', 'super_offsets']), lanes);
  return bind(binary(encoding.offset.sign === 1 ? 'add' : 'sub', product, offset), 'f32');
}

/** What the codes stand for, before their group's factors. */
function numbersOf(encoding: Encoding, parts: DecodeParts): Expression {
  const { code } = encoding;
  switch (code.kind) {
    case 'integer': {
      const numbers = integersOf(encoding, code.zero, parts);
      if (!encoding.hasZeros) return numbers;
      const zero = parts.hoist({ kind: 'convert', to: 'f32', operand: parts.field('zeros') }, 'f32');
      return parts.bind(binary('sub', numbers, splat(zero, parts.lanes)), 'f32');
    }
    case 'table': {
      const { bits, places } = codesOf(encoding, parts);
      const top = Math.max(...places);
      const level = binary('shift_left', bits, each(places.map((place) => top - place)));
      const index = top === 0 ? bits : binary('shift_right', parts.bind(level, 'u32'), each(places.map(() => top)));
      const kind = parts.isTogether ? 'subgroup_lookup' : 'lookup';
      return parts.bind({ kind, values: code.values, operand: parts.bind(index, 'u32') }, 'f32');
    }
    case 'float':
      return code.dtype === 'f8e4m3' ? floatsOf(4, parts) : floatsOf(5, parts);
  }
}

/** The codes in the bits of a fraction: whole numbers from 2^(23 - place) on, of which so much is taken off. */
function integersOf(encoding: Encoding, zero: number, parts: DecodeParts): Expression {
  const { bits, places } = codesOf(encoding, parts);
  // A fraction's lowest bit is worth 1 in numbers from 2^23 on, whose biased exponent is 150.
  const exponents = each(places.map((place) => (150 - place) * 2 ** 23));
  const raised = parts.bind(binary('or', bits, exponents), 'u32');
  const taken = each(
    places.map((place) => 2 ** (23 - place) + zero),
    'f32',
  );
  return parts.bind(binary('sub', { kind: 'bitcast', to: 'f32', operand: raised }, taken), 'f32');
}

interface Codes {
  readonly bits: Expression;
  /** Of each lane, the place of its code's lowest bit. */
  readonly places: readonly number[];
}

/** The codes of all lanes, every one left in its place in the lower half of its word. */
function codesOf(encoding: Encoding, { lanes, field, bind, hoist }: DecodeParts): Codes {
  const planes = planeBits(encoding);
  const all = Array.from({ length: lanes }, (_, lane) => lane);
  const word = field('codes');
  const places = all.map((lane) => (planes.codes * lane) % 16);
  const isHalved = planes.codes * lanes > 16;
  const upper = isHalved ? hoist(binary('shift_right', word, constant(16, vectorOf('u32', 1))), 'u32') : word;
  const words: Expression = isHalved ? { kind: 'vector', parts: [word, word, upper, upper] } : splat(word, lanes);
  const low = bind(binary('and', words, each(places.map((place) => (2 ** planes.codes - 1) * 2 ** place))), 'u32');
  if (planes.high === undefined) return { bits: low, places };
  const { high } = planes;
  const masks = each(all.map((lane) => (2 ** high - 1) * 2 ** (high * lane)));
  const apart = bind(binary('and', splat(field('high'), lanes), masks), 'u32');
  const above = bind(binary('shift_left', apart, each(all.map((lane) => (places[lane] as number) + 4 - high * lane))), 'u32'); // prettier-ignore
  return { bits: bind(binary('or', low, above), 'u32'), places };
}

/**
 * Floats of 8 bits with so many bits of exponent. A code without exponent is a fraction of the smallest normal number; the largest exponent
 * stands for infinity and NaN with 5 bits, with 4 only the largest code is NaN.
 */
function floatsOf(exponent: 4 | 5, { lanes, field, bind }: DecodeParts): Expression {
  const all = Array.from({ length: lanes }, (_, lane) => lane);
  const uniform = (value: number, scalar: ScalarType = 'u32'): Expression => constant(value, vectorOf(scalar, lanes));
  const apart = bind(
    binary('and', splat(field('codes'), lanes), each(all.map((lane) => 255 * 2 ** (8 * lane)))),
    'u32',
  );
  const top = bind(binary('shift_left', apart, each(all.map((lane) => 24 - 8 * lane))), 'u32');
  const magnitude = bind(binary('shift_right', binary('and', top, uniform(0x7f000000)), uniform(8 - exponent)), 'u32');
  const bias = 2 ** (exponent - 1) - 1;
  const rebias = (127 - bias) * 2 ** 23;
  const one = 2 ** 23;
  const select = (condition: Expression, yes: Expression, no: Expression): Expression =>
    bind({ kind: 'select', condition, yes, no }, 'u32');
  const raised = bind(binary('add', magnitude, uniform(rebias)), 'u32');
  const special =
    exponent === 5
      ? select(binary('less', magnitude, uniform(31 * one)), raised, binary('add', raised, uniform(rebias)))
      : select(binary('less', magnitude, uniform(15 * one + 7 * 2 ** 20)), raised, uniform(0x7fc00000));
  const smallest = 2 ** (1 - bias);
  const isSmall = binary('less', magnitude, uniform(one));
  const inFraction = bind(binary('add', raised, uniform(one)), 'u32');
  const small = bind(
    binary('sub', { kind: 'bitcast', to: 'f32', operand: inFraction }, uniform(smallest, 'f32')),
    'f32',
  );
  const bits = select(isSmall, { kind: 'bitcast', to: 'u32', operand: small }, special);
  const sign = binary('and', top, uniform(0x80000000));
  return bind({ kind: 'bitcast', to: 'f32', operand: bind(binary('or', bits, sign), 'u32') }, 'f32');
}

/** A number for each lane. */
function each(values: readonly number[], scalar: 'u32' | 'f32' = 'u32'): Expression {
  const lanes = values.length as 1 | 2 | 4;
  const [first = 0] = values;
  if (values.every((value) => value === first)) return constant(first, vectorOf(scalar, lanes));
  return { kind: 'vector', parts: values.map((value) => constant(value, vectorOf(scalar, 1))) };
}

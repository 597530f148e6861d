import { describe, expect, it } from 'vitest';
import { allNumbers } from '../numbers.js';
import { makeWorkData } from '../work-data.js';
import { buildWorkGraph } from '../work-graph.js';
import { parseWork, standardWorks, type Work } from '../works.js';
import { encodeOnnxModel } from './onnx-file.js';
import { buildOnnxWork, type OnnxWork } from './onnx-models.js';

type Field = readonly [number: number, value: bigint | Uint8Array];

/** The fields of a message, in order; what is nested stays bytes. */
function decode(bytes: Uint8Array): readonly Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = BigInt(bytes[at++]!);
      value |= (byte & 0x7fn) << shift;
      if (byte < 0x80n) return value;
    }
  };
  const take = (length: number): Uint8Array => bytes.subarray(at, (at += length));
  while (at < bytes.length) {
    const key = Number(varint());
    const type = key & 7;
    if (![0, 2, 5].includes(type)) expect.fail(`wire type ${type}`);
    fields.push([key >> 3, type === 0 ? varint() : take(type === 5 ? 4 : Number(varint()))]);
  }
  expect(at).toBe(bytes.length);
  return fields;
}

const texts = (fields: readonly Field[], number: number): readonly string[] =>
  fields.flatMap(([field, value]) => (field === number ? [new TextDecoder().decode(value as Uint8Array)] : []));
const messages = (fields: readonly Field[], number: number): readonly (readonly Field[])[] =>
  fields.flatMap(([field, value]) => (field === number ? [decode(value as Uint8Array)] : []));
const integers = (fields: readonly Field[], number: number): readonly bigint[] =>
  fields.flatMap(([field, value]) => (field === number ? [BigInt.asIntN(64, value as bigint)] : []));

describe('encodeOnnxModel', () => {
  it('writes the fields of onnx.proto', () => {
    const { model: bytes, externalData } = encodeOnnxModel(
      {
        nodes: [
          {
            operator: 'Softmax',
            inputs: ['x'],
            outputs: ['y'],
            attributes: { axis: -1, perm: [0, 300], epsilon: { float: 0.5 } },
            domain: 'com.microsoft',
          },
        ],
        constants: [
          { name: 'w', shape: [2, 1], values: Float32Array.of(1, -2) },
          { name: 'h', shape: [5], values: Uint16Array.of(1, 2, 3, 4, 5) },
        ],
        inputs: [{ name: 'x', shape: [200, 3], numbers: 'f32' }],
        outputs: [{ name: 'y', shape: [], numbers: 'f16' }],
        operatorSets: { '': 17 },
      },
      8,
    );
    const model = decode(bytes);
    expect(integers(model, 1)).toEqual([8n]);
    const [set] = messages(model, 8);
    expect([texts(set!, 1), integers(set!, 2)]).toEqual([[''], [17n]]);
    const [graph] = messages(model, 7);
    const [node] = messages(graph!, 1);
    expect([texts(node!, 1), texts(node!, 2), texts(node!, 4), texts(node!, 7)]).toEqual([['x'], ['y'], ['Softmax'], ['com.microsoft']]); // prettier-ignore
    const [axis, perm, epsilon] = messages(node!, 5);
    expect([texts(axis!, 1), integers(axis!, 3), integers(axis!, 20)]).toEqual([['axis'], [-1n], [2n]]);
    expect([integers(perm!, 8), integers(perm!, 20)]).toEqual([[0n, 300n], [7n]]);
    const [, half] = epsilon!.find(([field]) => field === 2)!;
    expect(new Float32Array((half as Uint8Array).slice().buffer)).toEqual(Float32Array.of(0.5));
    const [constant] = messages(graph!, 5);
    expect([integers(constant!, 1), integers(constant!, 2), texts(constant!, 8)]).toEqual([[2n, 1n], [1n], ['w']]);
    const [, raw] = constant!.find(([field]) => field === 9)!;
    expect(new Float32Array((raw as Uint8Array).slice().buffer)).toEqual(Float32Array.of(1, -2));
    const [input] = messages(graph!, 11);
    const [tensorType] = messages(messages(input!, 2)[0]!, 1);
    const dimensions = messages(messages(tensorType!, 2)[0]!, 1).flatMap((dimension) => integers(dimension, 1));
    expect([texts(input!, 1), integers(tensorType!, 1), dimensions]).toEqual([['x'], [1n], [200n, 3n]]);
    const [output] = messages(graph!, 12);
    expect(integers(messages(messages(output!, 2)[0]!, 1)[0]!, 1)).toEqual([10n]);
    // What is larger than 8 bytes lies beside the model.
    const [, external] = messages(graph!, 5);
    const place = messages(external!, 13).map((entry) => [texts(entry, 1)[0], texts(entry, 2)[0]]);
    expect(place).toEqual([
      ['location', 'h'],
      ['offset', '0'],
      ['length', '10'],
    ]);
    expect([integers(external!, 2), integers(external!, 14), messages(external!, 9)]).toEqual([[10n], [1n], []]);
    expect(externalData).toEqual([{ path: 'h', data: Uint8Array.of(1, 0, 2, 0, 3, 0, 4, 0, 5, 0) }]);
  });
});

describe('buildOnnxWork', () => {
  const small: readonly Work[] = standardWorks
    .map(({ kind }) => kind)
    .filter((kind, at, all) => all.indexOf(kind) === at)
    .map((kind) => {
      const shapes = { product: '3x5x7', attention: '2x6x8', convolution: '3x5@4', transformer: '2x16,2+2,6+5' };
      return parseWork(kind, shapes[kind]);
    });
  const cases = small.flatMap((work) =>
    [false, true].flatMap((fused) => allNumbers.map((numbers) => ({ work, kind: work.kind, fused, numbers }))),
  );
  const build = ({ work, fused, numbers }: (typeof cases)[number]): OnnxWork => {
    const data = makeWorkData(work, buildWorkGraph(work, numbers), { numbers, storage: numbers });
    return buildOnnxWork({ work, data, fused, numbers });
  };

  it.each(cases)('a $kind in $numbers, fused: $fused, names each value once and before its use', (given) => {
    const { work, fused, numbers } = given;
    const data = makeWorkData(work, buildWorkGraph(work));
    const { files, inputs, resultShape } = build(given);
    const [graph] = messages(decode(files.model), 7);
    const constants = messages(graph!, 5);
    const known = new Set<string>();
    const define = (name: string): void => {
      expect(known.has(name), `${name} is defined twice`).toBe(false);
      known.add(name);
    };
    for (const constant of constants) define(texts(constant, 8)[0]!);
    for (const input of messages(graph!, 11)) define(texts(input, 1)[0]!);
    expect(messages(graph!, 11).map((input) => texts(input, 1)[0])).toEqual(Object.keys(inputs));
    const used = new Set<string>();
    for (const node of messages(graph!, 1)) {
      for (const name of texts(node, 1)) {
        expect(known.has(name), `${name} is used before it is there`).toBe(true);
        used.add(name);
      }
      texts(node, 2).forEach(define);
    }
    expect(known.has('y')).toBe(true);
    // Every weight is in the model, and something reads it.
    const names = constants.map((constant) => texts(constant, 8)[0]!);
    for (const name of [...names, ...Object.keys(inputs)]) expect(used.has(name), name).toBe(true);
    if (work.kind === 'transformer') for (const name of data.weights.keys()) expect(names).toContain(name);
    // Attention itself is the one fused operator only where it is asked for.
    const operators = messages(graph!, 1).map((node) => texts(node, 4)[0]);
    expect(operators.includes('MultiHeadAttention')).toBe(fused && 'heads' in work);
    expect(resultShape.every((size) => size > 0)).toBe(true);
    // One kind of number in the whole model.
    const types = constants.flatMap((constant) => integers(constant, 2));
    expect(types).not.toContain(numbers === 'f16' ? 1n : 10n);
  });

  it('gives numbers and shapes that fit each other', () => {
    for (const given of cases) {
      for (const { shape, values } of Object.values(build(given).inputs)) {
        expect(values instanceof Uint16Array).toBe(given.numbers === 'f16');
        expect(values).toHaveLength(shape.reduce((product, size) => product * size, 1));
      }
    }
  });
});

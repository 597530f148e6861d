/**
 * Writes ONNX models: the few messages of onnx.proto (IR version 8) that a graph with weights needs, in the protocol
 * buffers' wire format (protobuf.dev/programming-guides/encoding). Field numbers are onnx.proto's.
 */
import type { Numbers } from '../numbers.js';

/** A number is an integer, an array a list of integers; `float` marks a single-precision number. */
export type OnnxAttribute = number | readonly number[] | { readonly float: number };

export interface OnnxNode {
  readonly operator: string;
  /** Names of values; an empty one leaves an optional operand out. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, OnnxAttribute>>;
  /** Empty: ONNX's own. */
  readonly domain: string;
}

export interface OnnxTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** 16-bit words are bits of f16. */
  readonly values: Float32Array | Uint16Array | Int32Array | BigInt64Array;
}

/** An input or a result of a known shape. */
export interface OnnxValue {
  readonly name: string;
  readonly shape: readonly number[];
  readonly numbers: Numbers;
}

/** A tensor's bytes outside the model file, which names them by `path`. */
export interface OnnxExternalData {
  readonly path: string;
  readonly data: Uint8Array;
}

export interface OnnxFiles {
  readonly model: Uint8Array;
  readonly externalData: readonly OnnxExternalData[];
}

export interface OnnxGraph {
  readonly nodes: readonly OnnxNode[];
  readonly constants: readonly OnnxTensor[];
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  /** Version by domain. */
  readonly operatorSets: Readonly<Record<string, number>>;
}

const irVersion = 8;
const elementTypes = { float: 1, int32: 6, int64: 7, float16: 10 } as const;
const externalLocation = 1;
const attributeTypes = { float: 1, int: 2, ints: 7 } as const;

/**
 * The bytes of a model file and of what lies beside it.
 *
 * @param largest tensors of more bytes lie in files of their own: a message has 2 GB at most, and is copied as a whole
 */
export function encodeOnnxModel(graph: OnnxGraph, largest = Infinity): OnnxFiles {
  const isExternal = ({ values }: OnnxTensor): boolean => values.byteLength > largest;
  const model = join([
    integerField(1, irVersion),
    textField(2, 'flux2c bench'),
    messageField(7, encodeGraph(graph, isExternal)),
    ...Object.entries(graph.operatorSets).map(([domain, version]) =>
      messageField(8, join([textField(1, domain), integerField(2, version)])),
    ),
  ]);
  const externalData = graph.constants
    .filter(isExternal)
    .map(({ name, values }) => ({ path: name, data: bytesOf(values) }));
  return { model, externalData };
}

function encodeGraph(
  { nodes, constants, inputs, outputs }: OnnxGraph,
  isExternal: (tensor: OnnxTensor) => boolean,
): Uint8Array {
  return join([
    ...nodes.map((node) => messageField(1, encodeNode(node))),
    textField(2, 'work'),
    ...constants.map((tensor) => messageField(5, encodeTensor(tensor, isExternal(tensor)))),
    ...inputs.map((value) => messageField(11, encodeValue(value))),
    ...outputs.map((value) => messageField(12, encodeValue(value))),
  ]);
}

function encodeNode({ operator, inputs, outputs, attributes, domain }: OnnxNode): Uint8Array {
  return join([
    ...inputs.map((name) => textField(1, name)),
    ...outputs.map((name) => textField(2, name)),
    textField(4, operator),
    ...Object.entries(attributes).map(([name, value]) => messageField(5, encodeAttribute(name, value))),
    textField(7, domain),
  ]);
}

function encodeAttribute(name: string, value: OnnxAttribute): Uint8Array {
  if (typeof value === 'number') {
    return join([textField(1, name), integerField(3, value), integerField(20, attributeTypes.int)]);
  }
  if ('float' in value) {
    const bytes = new Uint8Array(Float32Array.of(value.float).buffer);
    return join([textField(1, name), tag(2, wireTypes.fixed32), bytes, integerField(20, attributeTypes.float)]);
  }
  return join([textField(1, name), ...value.map((one) => integerField(8, one)), integerField(20, attributeTypes.ints)]);
}

function encodeTensor({ name, shape, values }: OnnxTensor, isExternal: boolean): Uint8Array {
  const place = { location: name, offset: '0', length: `${values.byteLength}` };
  return join([
    ...shape.map((size) => integerField(1, size)),
    integerField(2, elementTypes[elementTypeOf(values)]),
    textField(8, name),
    ...(isExternal
      ? [
          ...Object.entries(place).map(([key, value]) =>
            messageField(13, join([textField(1, key), textField(2, value)])),
          ),
          integerField(14, externalLocation),
        ]
      : [messageField(9, bytesOf(values))]),
  ]);
}

function elementTypeOf(values: OnnxTensor['values']): keyof typeof elementTypes {
  if (values instanceof Float32Array) return 'float';
  if (values instanceof Uint16Array) return 'float16';
  return values instanceof Int32Array ? 'int32' : 'int64';
}

function bytesOf({ buffer, byteOffset, byteLength }: OnnxTensor['values']): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function encodeValue({ name, shape, numbers }: OnnxValue): Uint8Array {
  const sizes = shape.map((size) => messageField(1, integerField(1, size)));
  const elementType = numbers === 'f32' ? elementTypes.float : elementTypes.float16;
  const tensorType = join([integerField(1, elementType), messageField(2, join(sizes))]);
  return join([textField(1, name), messageField(2, messageField(1, tensorType))]);
}

const wireTypes = { varint: 0, bytes: 2, fixed32: 5 } as const;

function tag(field: number, wireType: number): Uint8Array {
  return varint(field * 8 + wireType);
}

function integerField(field: number, value: number): Uint8Array {
  return join([tag(field, wireTypes.varint), varint(value)]);
}

function textField(field: number, text: string): Uint8Array {
  return messageField(field, new TextEncoder().encode(text));
}

function messageField(field: number, bytes: Uint8Array): Uint8Array {
  return join([tag(field, wireTypes.bytes), varint(bytes.byteLength), bytes]);
}

/** Seven bits a byte, the lowest first; negative numbers as 64 bits of two's complement. */
function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest > 0n ? low | 0x80 : low);
  } while (rest > 0n);
  return Uint8Array.from(bytes);
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.byteLength, 0));
  let end = 0;
  for (const part of parts) {
    whole.set(part, end);
    end += part.byteLength;
  }
  return whole;
}

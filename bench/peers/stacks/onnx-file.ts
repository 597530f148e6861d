/**
 * Writes ONNX models: the few messages of onnx.proto (IR version 8) that a graph with weights needs, in the protocol
 * buffers' wire format (protobuf.dev/programming-guides/encoding). Field numbers are onnx.proto's.
 */

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
  readonly values: Float32Array | Int32Array | BigInt64Array;
}

/** An input or a result: f32, of a known shape. */
export interface OnnxValue {
  readonly name: string;
  readonly shape: readonly number[];
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
const elementTypes = { float: 1, int32: 6, int64: 7 } as const;
const attributeTypes = { float: 1, int: 2, ints: 7 } as const;

/** The bytes of a model file. */
export function encodeOnnxModel(graph: OnnxGraph): Uint8Array {
  return join([
    integerField(1, irVersion),
    textField(2, 'flux2c bench'),
    messageField(7, encodeGraph(graph)),
    ...Object.entries(graph.operatorSets).map(([domain, version]) =>
      messageField(8, join([textField(1, domain), integerField(2, version)])),
    ),
  ]);
}

function encodeGraph({ nodes, constants, inputs, outputs }: OnnxGraph): Uint8Array {
  return join([
    ...nodes.map((node) => messageField(1, encodeNode(node))),
    textField(2, 'work'),
    ...constants.map((tensor) => messageField(5, encodeTensor(tensor))),
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

function encodeTensor({ name, shape, values }: OnnxTensor): Uint8Array {
  const type = values instanceof Float32Array ? 'float' : values instanceof Int32Array ? 'int32' : 'int64';
  return join([
    ...shape.map((size) => integerField(1, size)),
    integerField(2, elementTypes[type]),
    textField(8, name),
    messageField(9, new Uint8Array(values.buffer, values.byteOffset, values.byteLength)),
  ]);
}

function encodeValue({ name, shape }: OnnxValue): Uint8Array {
  const sizes = shape.map((size) => messageField(1, integerField(1, size)));
  const tensorType = join([integerField(1, elementTypes.float), messageField(2, join(sizes))]);
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

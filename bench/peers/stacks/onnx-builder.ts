/** Puts an ONNX graph together, value by value. */
import { encodeOnnxModel, type OnnxAttribute, type OnnxNode, type OnnxTensor, type OnnxValue } from './onnx-file.js';

/** ONNX has LayerNormalization from 17 on. */
const operatorSets = { '': 17, 'com.microsoft': 1 };

/** Name of a value of the graph. */
export type OnnxName = string;

export interface NodeOptions {
  readonly attributes?: Readonly<Record<string, OnnxAttribute>>;
  /** onnxruntime's own operators. */
  readonly contributed?: boolean;
}

export class OnnxBuilder {
  private readonly nodes: OnnxNode[] = [];
  private readonly constants: OnnxTensor[] = [];
  private readonly inputs: OnnxValue[] = [];
  private readonly integers = new Map<string, OnnxName>();

  input(name: string, shape: readonly number[]): OnnxName {
    this.inputs.push({ name, shape });
    return name;
  }

  constant(name: string, shape: readonly number[], values: OnnxTensor['values']): OnnxName {
    this.constants.push({ name, shape, values });
    return name;
  }

  /** A list of 64-bit integers, as shapes and axes are given. */
  list(values: readonly number[]): OnnxName {
    const key = values.join('_');
    const known = this.integers.get(key);
    if (known !== undefined) return known;
    const name = this.constant(`list_${key}`, [values.length], BigInt64Array.from(values, BigInt));
    this.integers.set(key, name);
    return name;
  }

  scalar(value: number): OnnxName {
    return this.constant(`scalar_${this.constants.length}`, [], Float32Array.of(value));
  }

  /** Adds an operation with one result. */
  node(operator: string, inputs: readonly OnnxName[], options: NodeOptions = {}): OnnxName {
    return this.several(operator, inputs, 1, options)[0]!;
  }

  /** Adds an operation with several results. */
  several(operator: string, inputs: readonly OnnxName[], results: number, options: NodeOptions = {}): OnnxName[] {
    const { attributes = {}, contributed = false } = options;
    const outputs = Array.from({ length: results }, (_, at) => `v${this.nodes.length}_${at}`);
    this.nodes.push({ operator, inputs, outputs, attributes, domain: contributed ? 'com.microsoft' : '' });
    return outputs;
  }

  reshape(x: OnnxName, shape: readonly number[]): OnnxName {
    return this.node('Reshape', [x, this.list(shape)]);
  }

  transpose(x: OnnxName, perm: readonly number[]): OnnxName {
    return this.node('Transpose', [x], { attributes: { perm } });
  }

  split(x: OnnxName, sizes: readonly number[], axis: number): OnnxName[] {
    return this.several('Split', [x, this.list(sizes)], sizes.length, { attributes: { axis } });
  }

  /** The model file whose only result, named `y`, is `result`. */
  encode(result: OnnxName, shape: readonly number[]): Uint8Array {
    const last = { operator: 'Identity', inputs: [result], outputs: ['y'], attributes: {}, domain: '' };
    return encodeOnnxModel({
      nodes: [...this.nodes, last],
      constants: this.constants,
      inputs: this.inputs,
      outputs: [{ name: 'y', shape }],
      operatorSets,
    });
  }
}

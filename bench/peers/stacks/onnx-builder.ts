/** Puts an ONNX graph together, value by value. */
import { encodeHalves } from '../half-floats.js';
import type { Numbers } from '../numbers.js';
import {
  encodeOnnxModel,
  type OnnxAttribute,
  type OnnxFiles,
  type OnnxNode,
  type OnnxTensor,
  type OnnxValue,
} from './onnx-file.js';

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

  /**
   * @param numbers of inputs, constants and the result
   * @param largest constants of more bytes lie beside the model
   */
  constructor(
    readonly numbers: Numbers,
    private readonly largest?: number,
  ) {}

  input(name: string, shape: readonly number[]): OnnxName {
    this.inputs.push({ name, shape, numbers: this.numbers });
    return name;
  }

  /** Numbers become f16 where the graph computes in it. */
  constant(name: string, shape: readonly number[], values: OnnxTensor['values']): OnnxName {
    this.constants.push({ name, shape, values: values instanceof Float32Array ? this.toNumbers(values) : values });
    return name;
  }

  /** As inputs of the graph are given. */
  toNumbers(values: Float32Array): Float32Array | Uint16Array {
    return this.numbers === 'f32' ? values : encodeHalves(values);
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

  /** The model whose only result, named `y`, is `result`. */
  encode(result: OnnxName, shape: readonly number[]): OnnxFiles {
    const last = { operator: 'Identity', inputs: [result], outputs: ['y'], attributes: {}, domain: '' };
    const graph = {
      nodes: [...this.nodes, last],
      constants: this.constants,
      inputs: this.inputs,
      outputs: [{ name: 'y', shape, numbers: this.numbers }],
      operatorSets,
    };
    return encodeOnnxModel(graph, this.largest);
  }
}

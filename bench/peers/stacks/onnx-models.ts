/** The works as ONNX models. */
import { configOf } from '../work-graph.js';
import { permute } from '../permute.js';
import { makeTransformerTables, type WorkData } from '../work-data.js';
import type { Task } from '../stack.js';
import { OnnxBuilder, type OnnxName } from './onnx-builder.js';
import { attendFused, attendPlainly } from './onnx-attention.js';
import type { OnnxFiles } from './onnx-file.js';
import { OnnxTransformer } from './onnx-transformer.js';

export interface OnnxWork {
  readonly files: OnnxFiles;
  readonly inputs: Readonly<Record<string, OnnxInput>>;
  readonly resultShape: readonly number[];
  /** From the model's layout of the result to that of the work's graph. */
  readonly arrange: (result: Float32Array) => Float32Array;
}

export interface OnnxInput {
  readonly shape: readonly number[];
  /** 16-bit words are bits of f16. */
  readonly values: Float32Array | Uint16Array;
}

const asItIs = (result: Float32Array): Float32Array => result;

/**
 * Each in the layout that ONNX likes: products with weights [k, n], pictures with channels first.
 * Attention is onnxruntime's operator MultiHeadAttention, or products and a softmax. In f16 all numbers are f16.
 *
 * @param largest constants of more bytes lie beside the model
 */
export function buildOnnxWork({ work, data, fused, numbers }: Omit<Task, 'graph'>, largest?: number): OnnxWork {
  const builder = new OnnxBuilder(numbers, largest);
  const given = (name: string): Float32Array => data.inputs[name]?.data as Float32Array;
  const input = (name: string): Float32Array | Uint16Array => builder.toNumbers(given(name));
  const weight = weightOf(data);
  switch (work.kind) {
    case 'product': {
      const { m, k, n } = work;
      const x = builder.input('x', [m, k]);
      const w = builder.constant('w', [k, n], permute(weight, [n, k], [1, 0]));
      const files = builder.encode(builder.node('MatMul', [x, w]), [m, n]);
      return { files, inputs: { x: { shape: [m, k], values: input('x') } }, resultShape: [m, n], arrange: asItIs };
    }
    case 'attention': {
      const { heads, tokens, headDim } = work;
      const own = [1, heads, tokens, headDim];
      const shape = fused ? [1, tokens, heads * headDim] : own;
      const place = (values: OnnxInput['values']): OnnxInput['values'] =>
        fused ? permute(values, own, [0, 2, 1, 3]) : values;
      const names = ['q', 'k', 'v'].map((name) => builder.input(name, shape)) as [OnnxName, OnnxName, OnnxName];
      const attended = fused ? attendFused(builder, names, heads) : attendPlainly(builder, names, headDim);
      return {
        files: builder.encode(attended, shape),
        inputs: Object.fromEntries(names.map((name) => [name, { shape, values: place(input(name)) }])),
        resultShape: shape,
        arrange: (result) => (fused ? permute(result, [1, tokens, heads, headDim], [0, 2, 1, 3]) : result),
      };
    }
    case 'convolution': {
      const { inputs, outputs, side } = work;
      const shape = [1, inputs, side, side];
      const x = builder.input('x', shape);
      const w = builder.constant('w', [outputs, inputs, 3, 3], permute(weight, [outputs, 3, 3, inputs], [0, 3, 1, 2]));
      const attributes = { kernel_shape: [3, 3], pads: [1, 1, 1, 1] };
      const resultShape = [1, outputs, side, side];
      return {
        files: builder.encode(builder.node('Conv', [x, w], { attributes }), resultShape),
        inputs: { x: { shape, values: permute(input('x'), [1, side, side, inputs], [0, 3, 1, 2]) } },
        resultShape,
        arrange: (result) => permute(result, resultShape, [0, 2, 3, 1]),
      };
    }
    case 'transformer': {
      const config = configOf(work);
      const tables = makeTransformerTables(work);
      const resultShape = [1, work.imageTokens, config.outChannels];
      return {
        files: builder.encode(new OnnxTransformer(builder, work, config, data, tables, fused).build(), resultShape),
        inputs: {
          latents: { shape: [1, work.imageTokens, config.inChannels], values: input('hidden_states') },
          prompt: { shape: [1, work.textTokens, config.textWidth], values: input('encoder_hidden_states') },
          wave: { shape: [1, config.timestepChannels], values: builder.toNumbers(tables.wave) },
        },
        resultShape,
        arrange: asItIs,
      };
    }
  }
}

/** The only weight of single kernels. */
function weightOf({ weights }: WorkData): Float32Array | Uint16Array {
  return (weights.get('weight')?.data ?? new Float32Array(0)) as Float32Array | Uint16Array;
}

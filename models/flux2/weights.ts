import { Flux2cError } from '../../ir/diagnostics.js';
import type { DType } from '../../ir/dtype.js';
import type { FunctionGraph, Tensor } from '../../frontend/index.js';

/** The networks of a pipeline; a weight's name in a module begins with its network's. */
export type Component = 'transformer' | 'vae' | 'text_encoder';

/**
 * The element type a weight is stored in, by its name in the module (`transformer.x_embedder.weight`): from the
 * checkpoint's table, or one type for all when a model is compiled without its weights.
 */
export type WeightDTypes = (name: string) => DType;

/** Element types that weights come in: beside f32 activations they all compute in f32. */
export type StoredFloat = 'f32' | 'f16' | 'bf16';

/** The weights of one network as tensors of one function. */
export class ComponentWeights {
  constructor(
    readonly graph: FunctionGraph,
    private readonly component: Component,
    private readonly dtypes: WeightDTypes,
  ) {}

  /**
   * The weight that diffusers' checkpoint of the network calls `tensor`; in the module it is `component.tensor`.
   * F2C650 when the caller's element type for it is none of f32, f16 and bf16.
   */
  get<const S extends readonly number[]>(tensor: string, shape: S): Tensor<StoredFloat, S['length']> {
    const name = `${this.component}.${tensor}`;
    const dtype = this.dtypes(name);
    if (dtype !== 'f32' && dtype !== 'f16' && dtype !== 'bf16') {
      throw new Flux2cError('F2C650', 'a weight of the model must be stored as f32, f16 or bf16', {
        where: [`weight @${name}`],
        expected: 'f32, f16 or bf16',
        found: dtype,
        hint: 'Quantised weights are declared by the quantisation pass, not by the model.',
      });
    }
    return this.graph.weight<StoredFloat, S>(name, dtype, shape, { kind: 'tensor', tensor });
  }

  /** The `[outputs, inputs]` matrix `layer.weight` of a linear layer without bias. */
  matrix(layer: string, outputs: number, inputs: number): Tensor<StoredFloat, 2> {
    return this.get(`${layer}.weight`, [outputs, inputs]);
  }
}

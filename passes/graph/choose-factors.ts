import { type DType, quantizedDTypes } from '../../ir/dtype.js';
import type { FactorType } from '../../ir/graph/attributes.js';
import type { Value } from '../../ir/graph/graph.js';
import { isProduct, type Product } from '../../ir/graph/products.js';
import type { GraphPass } from '../pass.js';
import { hasHalvedWeight } from './halve-weights.js';
import { Magnitudes } from './magnitudes.js';
import { rewriteModule, type RewriteContext } from './rewriter.js';

/** What factors are rounded to, and of which products. */
export interface FactorChoice {
  readonly type: FactorType;
  /** `bounded`: where all factors are weights or values that a norm bounds, so that f16 holds them whatever comes in. */
  readonly of: 'all' | 'bounded';
}

const quantized: ReadonlySet<DType> = new Set<DType>(quantizedDTypes);

/**
 * Says of every product what its factors are rounded to, in its attribute `factors`: what halves weights, keeps values in 16 bits and
 * builds kernels goes by that. Factors of 8 bits are multiplied as they are, and a product that says it already keeps what it says.
 *
 * Needs divide-products, encode-weights and quantize-products before it: they make products. Cost: linear.
 *
 * @param choice none: all products multiply f32
 */
export function chooseFactors(choice: FactorChoice | undefined): GraphPass {
  return {
    name: 'choose-factors',
    description: 'say what factors of products are rounded to',
    run: (module) => {
      if (choice === undefined) return module;
      const { type, of } = choice;
      return rewriteModule(module, () => {
        let magnitudes: Magnitudes | undefined;
        return (operation, context) => {
          if (!isProduct(operation) || operation.attributes.factors !== undefined) return undefined;
          if (operation.operands.slice(0, 3).every(({ type }) => quantized.has(type.dtype))) return undefined;
          magnitudes ??= new Magnitudes((value) => context.definition(value));
          if (of === 'bounded' && !areBounded(operation, magnitudes, context)) return undefined;
          return setFactors(operation, type, context);
        };
      });
    },
  };
}

/** Weights are looked at while they are loaded, where halve-weights keeps them in f16. */
function areBounded(product: Product, magnitudes: Magnitudes, context: RewriteContext): boolean {
  const isBounded = (value: Value): boolean => magnitudes.of(value) !== undefined;
  if (product.kind === 'attention') return product.operands.slice(0, 3).every(isBounded);
  const [left, right] = product.operands as readonly [Value, Value];
  return isBounded(left) && (isBounded(right) || hasHalvedWeight(product, (value) => context.definition(value)));
}

function setFactors(product: Product, factors: FactorType, context: RewriteContext): readonly Value[] {
  const { operands } = product;
  switch (product.kind) {
    case 'matmul':
      return context.become(product, 'matmul', operands, { ...product.attributes, factors });
    case 'conv2d':
      return context.become(product, 'conv2d', operands, { ...product.attributes, factors });
    case 'attention':
      return context.become(product, 'attention', operands, { ...product.attributes, factors });
  }
}

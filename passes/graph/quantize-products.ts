import type { OperationOf, Value, WeightDeclaration } from '../../ir/graph/graph.js';
import { tensorsOf } from '../../ir/graph/weight-ingredients.js';
import type { Dim } from '../../ir/dim.js';
import type { DType, QuantizedDType } from '../../ir/dtype.js';
import { bytesOfVector, mostProductsOfBytes } from '../../ir/kernel/bytes.js';
import type { GraphPass } from '../pass.js';
import { rewriteModule, type RewriteContext } from './rewriter.js';
import { weightPart } from './weight-table.js';

/** Whether what is stored under a name may be rounded to 8 bits. */
export type MayQuantize = (tensor: string) => boolean;

/**
 * Linear layers with weights of the module multiply numbers of 8 bits: x·wᵀ becomes (x' · w'ᵀ) · s · t, where x' are the rows
 * of x divided by their scales s as they come (`quantize_rows`), w' and t those of the weight, made once while it is loaded.
 * The scales are elementwise, so whatever a product's kernel does with its sums it still does: gates, residuals, SwiGLU, norms
 * of heads.
 *
 * Unlike other passes it changes numbers: in f8e4m3 by what 3 bits of fraction say, a few percent of a product; in i8 by half a
 * 127th of a row's largest. A weight is quantised when every tensor in it may be; to i8, when its rows are whole vectors of
 * bytes and no more than a sum of 32 bits holds. A piece of a weight's rows, as `divide-products` makes them, is a piece of the
 * quantised one.
 *
 * Needs divide-products before it, which looks for products; eliminate-common-subexpressions behind it makes one quantisation
 * of an input that several products read, eliminate-dead-code removes the weights as they were. Cost: linear.
 */
export function quantizeProducts(mayQuantize: MayQuantize, dtype: QuantizedDType): GraphPass {
  return {
    name: 'quantize-products',
    description: 'multiply numbers of 8 bits in linear layers',
    run: (module) =>
      rewriteModule(module, () => (operation, context) => {
        if (operation.kind !== 'matmul') return undefined;
        const weight = quantizeWeight(operation, context, mayQuantize, dtype);
        if (weight === undefined) return undefined;
        const [x] = operation.operands as readonly [Value];
        const [result] = operation.results as readonly [Value];
        const [values, scales] = context.emit('quantize_rows', [x], { dtype }, [`${x.name}.${suffixes[dtype]}`, `${x.name}.scales`]) as readonly [Value, Value]; // prettier-ignore
        const sums = context.emitOne('matmul', [values, weight.values], { transposeB: true }, `${result.name}.sums`);
        const byRow = context.emitOne('mul', [sums, scales], {}, `${result.name}.by_row`);
        if (result.type.dtype === 'f32') return context.become(operation, 'mul', [byRow, weight.scales], {});
        const wide = context.emitOne('mul', [byRow, weight.scales], {}, `${result.name}.f32`);
        return context.become(operation, 'cast', [wide], { dtype: result.type.dtype });
      }),
  };
}

interface QuantizedWeight {
  /** `dtype`[N, K]. */
  readonly values: Value;
  /** f32[N]. */
  readonly scales: Value;
}

/** Of names of quantised values. */
const suffixes: Readonly<Record<QuantizedDType, string>> = { f8e4m3: 'f8', i8: 'i8' };

const quantizable: ReadonlySet<DType> = new Set<DType>(['f32', 'f16', 'bf16']);

/** The right operand of x·wᵀ in 8 bits when it is a matrix of the module's weights, or some rows of one. */
function quantizeWeight(
  { operands, attributes }: OperationOf<'matmul'>,
  context: RewriteContext,
  mayQuantize: MayQuantize,
  dtype: QuantizedDType,
): QuantizedWeight | undefined {
  const [x, right] = operands as readonly [Value, Value];
  if (!attributes.transposeB || right.type.shape.length !== 2 || !quantizable.has(x.type.dtype)) return undefined;
  if (dtype === 'i8' && !areWholeVectors(right.type.shape[1] as Dim)) return undefined;
  const rows = context.definitionOf(right, 'slice');
  if (rows !== undefined && rows.attributes.axis !== 0) return undefined;
  const whole = rows === undefined ? right : (rows.operands[0] as Value);
  const name = context.definitionOf(whole, 'weight')?.attributes.name;
  const declaration = name === undefined ? undefined : context.weights.get(name);
  if (declaration === undefined || !quantizable.has(declaration.type.dtype)) return undefined;
  if (!tensorsOf(weightPart(declaration)).every(({ tensor }) => mayQuantize(tensor))) return undefined;
  const quantized = declareQuantized(declaration, context, dtype);
  if (rows === undefined) return quantized;
  const part = (value: Value, what: string): Value =>
    context.emitOne('slice', [value], rows.attributes, `${right.name}.${what}`);
  return { values: part(quantized.values, suffixes[dtype]), scales: part(quantized.scales, 'scales') };
}

/** Of a row of bytes. */
function areWholeVectors(depth: Dim): boolean {
  const { constant } = depth;
  return constant !== undefined && constant % bytesOfVector === 0 && constant <= mostProductsOfBytes;
}

function declareQuantized(
  declaration: WeightDeclaration,
  context: RewriteContext,
  dtype: QuantizedDType,
): QuantizedWeight {
  const { name, type } = declaration;
  const of = weightPart(declaration);
  const weight = (suffix: string, made: DType, kind: 'quantize_rows' | 'row_scales'): Value => {
    const shape = kind === 'quantize_rows' ? type.shape : type.shape.slice(0, 1);
    const declared = context.weights.declare(`${name}.${suffix}`, { dtype: made, shape }, { kind, of, dtype });
    return context.emitOne('weight', [], { name: declared }, declared);
  };
  return { values: weight(suffixes[dtype], dtype, 'quantize_rows'), scales: weight('scales', 'f32', 'row_scales') };
}

import { Dim } from '../../ir/dim.js';
import { encodedFields, type Encoding, fitsEncoding, parseEncoding } from '../../ir/encoding.js';
import type { OperationOf, Value, WeightDeclaration, WeightSource } from '../../ir/graph/graph.js';
import type { DType } from '../../ir/dtype.js';
import type { GraphPass } from '../pass.js';
import { rewriteModule, type RewriteContext } from './rewriter.js';
import { weightPart } from './weight-table.js';

/** How the rows of a stored tensor are encoded on the device; undefined: as numbers. */
export type EncodingOf = (tensor: string) => string | undefined;

/**
 * Linear layers with encoded weights of the module decode them as they multiply: the right side of x·wᵀ becomes `dequantize` of the arrays
 * of w's rows, which `fuse` takes into the product's kernel. Of a piece of a weight's rows, as `divide-products` makes them, the
 * arrays are pieces. A weight stays what it was where its tensors have different encodings, or rows that are no whole groups.
 *
 * Numbers are those that the encoding stands for: the pass changes nothing where a weight is encoded in its file already.
 *
 * Needs divide-products before it; eliminate-dead-code behind it removes the weights as they were. Cost: linear.
 */
export function encodeWeights(encodingOf: EncodingOf): GraphPass {
  return {
    name: 'encode-weights',
    description: 'keep the weights of linear layers encoded',
    run: (module) =>
      rewriteModule(module, () => (operation, context) => {
        if (operation.kind !== 'matmul') return undefined;
        const weight = decodeWeight(operation, context, encodingOf);
        if (weight === undefined) return undefined;
        const [x] = operation.operands as readonly [Value];
        const [result] = operation.results as readonly [Value];
        const { dtype } = result.type;
        if (dtype === 'f32') return context.become(operation, 'matmul', [x, weight], operation.attributes);
        const wide = context.emitOne('matmul', [x, weight], operation.attributes, `${result.name}.f32`);
        return context.become(operation, 'cast', [wide], { dtype });
      }),
  };
}

/** The encoding that all tensors of a matrix have, where it suits its rows. */
export function encodingOfWeight({ type, source }: WeightDeclaration, encodingOf: EncodingOf): Encoding | undefined {
  const columns = type.shape[1]?.constant;
  if (type.shape.length !== 2 || columns === undefined || !encodable.has(type.dtype)) return undefined;
  const encodings = new Set(listRowTensors(source)?.map(encodingOf) ?? []);
  const [text] = encodings;
  if (encodings.size !== 1 || text === undefined) return undefined;
  const encoding = parseEncoding(text);
  return fitsEncoding(encoding, columns) ? encoding : undefined;
}

const encodable: ReadonlySet<DType> = new Set<DType>(['f32', 'f16', 'bf16']);

/** The tensors that have the rows of a weight; undefined where its rows are not those of tensors. */
function listRowTensors(source: WeightSource): readonly string[] | undefined {
  switch (source.kind) {
    case 'tensor':
      return [source.tensor];
    case 'concat_rows':
    case 'interleave_rows': {
      const parts = source.parts.map((part) => listRowTensors(part.source));
      return parts.every((part) => part !== undefined) ? parts.flat() : undefined;
    }
    case 'slice_rows':
      return listRowTensors(source.of.source);
    default:
      return undefined;
  }
}

/** The right operand of x·wᵀ from encoded rows when it is a matrix of the module's weights, or some rows of one. */
function decodeWeight(
  { operands, attributes }: OperationOf<'matmul'>,
  context: RewriteContext,
  encodingOf: EncodingOf,
): Value | undefined {
  const right = operands[1] as Value;
  if (!attributes.transposeB || right.type.shape.length !== 2) return undefined;
  const rows = context.definitionOf(right, 'slice');
  if (rows !== undefined && rows.attributes.axis !== 0) return undefined;
  const whole = rows === undefined ? right : (rows.operands[0] as Value);
  const name = context.definitionOf(whole, 'weight')?.attributes.name;
  const declaration = name === undefined ? undefined : context.weights.get(name);
  const encoding = declaration && encodingOfWeight(declaration, encodingOf);
  if (declaration === undefined || encoding === undefined) return undefined;
  const fields = declareFields(declaration, encoding, context).map((field) =>
    rows === undefined ? field : context.emitOne('slice', [field], rows.attributes, `${field.name}.rows`),
  );
  return context.emitOne(
    'dequantize',
    fields,
    { encoding: encoding.text },
    `${rows === undefined ? declaration.name : right.name}.decoded`,
  );
}

function declareFields(declaration: WeightDeclaration, encoding: Encoding, context: RewriteContext): readonly Value[] {
  const { name, type } = declaration;
  const of = weightPart(declaration);
  return encodedFields(encoding, of.shape[1] as number).map(({ name: field, dtype, columns }) => {
    const shape = [...type.shape.slice(0, 1), Dim.of(columns)];
    const source: WeightSource = { kind: 'encoded_rows', of, encoding: encoding.text, field };
    const declared = context.weights.declare(`${name}.${field}`, { dtype, shape }, source);
    return context.emitOne('weight', [], { name: declared }, declared);
  });
}

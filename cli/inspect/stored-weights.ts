/** The tensors of networks as they are held: numbers, or in fewer bits. */
import { dtypeOfFile } from '../../frontend/checkpoint/file-dtype.js';
import { byteSize, type DType } from '../../ir/dtype.js';
import { encodedRowBytes, parseEncoding } from '../../ir/encoding.js';
import type { Module, WeightDeclaration, WeightPart } from '../../ir/graph/graph.js';
import { ingredientsOf } from '../../ir/graph/weight-ingredients.js';
import type { Plan } from '../../ir/plan.js';
import type { EncodingOf } from '../../passes/compile.js';
import { encodingOfWeight } from '../../passes/graph/encode-weights.js';
import type { WeightEntry } from '../../runtime/artifact.js';

export interface StoredWeight {
  readonly name: string;
  readonly parameters: number;
  readonly bytes: number;
  /** `bf16`, `int4:64`. */
  readonly storedAs: string;
}

/** The weights that a graph declares, with the encodings that its linear layers will have them in. */
export function weightsOfModule(module: Module, encodingOf: EncodingOf = () => undefined): readonly StoredWeight[] {
  return weightsOf(module).map((declaration) => {
    const { name, type } = declaration;
    const encoding = encodingOfWeight(declaration, encodingOf)?.text;
    return describe(name, constantShape(declaration), type.dtype, encoding);
  });
}

/** The tensors that a plan reads: as the artifact has them or, where it has no weights, as the plan wants them. */
export function weightsOfPlan(
  plan: Plan,
  entries: ReadonlyMap<string, WeightEntry> | undefined,
): readonly StoredWeight[] {
  const tensors = new Map<string, StoredWeight>();
  const collect = ({ shape, source }: WeightPart, dtype: DType, encoding?: string): void => {
    if (source.kind === 'tensor') {
      const entry = entries?.get(source.tensor);
      const stored = entry === undefined ? encoding : 'encoding' in entry ? entry.encoding : undefined;
      const type = (entry && dtypeOfFile(entry.dtype)) ?? dtype;
      tensors.set(source.tensor, describe(source.tensor, entry?.shape ?? shape, type, stored));
    } else if (source.kind === 'encoded_rows') collect(source.of, dtype, source.encoding);
    // They belong to rows that are a weight, too.
    else if (source.kind === 'row_scales') return;
    else for (const part of ingredientsOf(source)) collect(part, dtype, encoding);
  };
  for (const weight of weightsOf(plan))
    collect({ shape: constantShape(weight), source: weight.source }, weight.type.dtype);
  return [...tensors.values()];
}

/** Weights of a graph or, where there is none, of a plan: those on the device and those the host reads rows of. */
export function weightsOf(source: Module | Plan): readonly WeightDeclaration[] {
  if ('functions' in source) return [...source.weights.values()];
  const onHost = source.steps.flatMap((step) =>
    step.kind === 'host' ? step.operands.flatMap((operand) => (operand.kind === 'weight' ? [operand.weight] : [])) : [],
  );
  return [...source.weights, ...onHost];
}

/** Numbers of a weight, whose dimensions are all constant. */
export function countElementsOf({ type }: WeightDeclaration): number {
  return type.shape.reduce((product, dim) => product * dim.evaluate({}), 1);
}

function constantShape({ type }: WeightDeclaration): readonly number[] {
  return type.shape.map((dim) => dim.evaluate({}));
}

function describe(name: string, shape: readonly number[], dtype: DType, encoding: string | undefined): StoredWeight {
  const parameters = shape.reduce((product, size) => product * size, 1);
  if (encoding === undefined) return { name, parameters, bytes: parameters * byteSize(dtype), storedAs: dtype };
  const [rows, columns] = shape as readonly [number, number];
  const bytes = rows * encodedRowBytes(parseEncoding(encoding), columns);
  return { name, parameters, bytes, storedAs: encoding };
}

import type { DimBinding, DimLike } from '../ir/dim.js';
import { Flux2cError } from '../ir/diagnostics.js';
import { isFloat } from '../ir/dtype.js';
import type { DType } from '../ir/dtype.js';
import { countElements } from '../ir/host-tensor.js';
import type { HostTensor } from '../ir/host-tensor.js';
import type { OpAttributes, OpKind } from '../ir/graph/attributes.js';
import type { TensorType } from '../ir/graph/graph.js';
import type { OpDefinition } from '../ir/graph/op-table.js';
import { opTable } from '../ir/graph/ops/index.js';
import { printType, tensorType } from '../ir/graph/types.js';

/** A tensor from its numbers; a single number fills it. */
export function hostTensor(dtype: DType, shape: readonly number[], values: ArrayLike<number> | number): HostTensor {
  const count = countElements(shape);
  const data = typeof values === 'number' ? new Float64Array(count).fill(values) : Float64Array.from(values);
  if (data.length !== count) throw new Error(`${data.length} values for [${shape.join(', ')}]`);
  return { dtype, shape, data };
}

/** Numbers in -1..1 that look random and are the same in every run; integers in -8..7 for integer types. */
export function patternTensor(dtype: DType, shape: readonly number[], seed = 1): HostTensor {
  let state = seed * 2654435761;
  const data = Float64Array.from({ length: countElements(shape) }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return isFloat(dtype) ? Math.fround(state / 2 ** 31 - 1) : (state >>> 28) - 8;
  });
  return { dtype, shape, data };
}

export interface RunOptions {
  readonly precision?: 'f32' | 'f64';
  readonly sizes?: DimBinding;
}

/** Infers and evaluates one operation on its own, in f64 unless told otherwise. */
export function runOperation<K extends OpKind>(
  kind: K,
  operands: readonly HostTensor[],
  attributes: OpAttributes[K],
  { precision = 'f64', sizes = {} }: RunOptions = {},
): readonly HostTensor[] {
  const definition: OpDefinition<K> = opTable[kind];
  const types = operands.map(({ dtype, shape }) => tensorType(dtype, shape));
  const results = definition.infer(types, attributes, { weightType: () => undefined });
  const weight = (name: string): HostTensor => {
    throw new Error(`no weight ${name}`);
  };
  const tensors = definition.evaluate?.(operands, attributes, results, { sizes, precision, weight });
  if (tensors === undefined) throw new Error(`${kind} has no reference semantics`);
  return tensors;
}

/** Operand and result types as text: `f32[img, 4]`. */
export function inferTypes<K extends OpKind>(
  kind: K,
  operands: readonly (readonly [DType, readonly DimLike[]])[],
  attributes: OpAttributes[K],
): readonly string[] {
  return infer(kind, operands, attributes).map(printType);
}

/** The error `infer` throws; fails when there is none. */
export function inferError<K extends OpKind>(
  kind: K,
  operands: readonly (readonly [DType, readonly DimLike[]])[],
  attributes: OpAttributes[K],
): Flux2cError {
  try {
    infer(kind, operands, attributes);
  } catch (error) {
    if (error instanceof Flux2cError) return error;
    throw error;
  }
  throw new Error(`${kind} took operands it should refuse`);
}

function infer<K extends OpKind>(
  kind: K,
  operands: readonly (readonly [DType, readonly DimLike[]])[],
  attributes: OpAttributes[K],
): readonly TensorType[] {
  const definition: OpDefinition<K> = opTable[kind];
  const types = operands.map(([dtype, shape]) => tensorType(dtype, shape));
  return definition.infer(types, attributes, { weightType: () => undefined });
}

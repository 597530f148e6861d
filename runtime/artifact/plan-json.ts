/** Plans as JSON: dimensions are their texts, everything else is as `ir/plan.ts` has it. `docs/artifact.md` shows it. */
import type { JsonValue } from '../../frontend/checkpoint/strict-json.js';
import { Dim } from '../../ir/dim.js';
import { dtypes, type QuantizedDType, quantizedDTypes } from '../../ir/dtype.js';
import { fieldNames } from '../../ir/encoding.js';
import type { OpKind } from '../../ir/graph/attributes.js';
import type { WeightDeclaration, WeightPart, WeightSource } from '../../ir/graph/graph.js';
import { opTable } from '../../ir/graph/ops/index.js';
import type { HostOperand, HostStep, Plan, PlanStep, PlanValue, Storage } from '../../ir/plan.js';
import {
  byKind,
  count,
  type Decoder,
  dictionary,
  dim,
  expectObject,
  lazy,
  list,
  malformed,
  number,
  object,
  objectWith,
  oneOf,
  string,
  tuple,
} from './decode.js';

/** The plan's text; the same plan gives the same text. */
export function encodePlan(plan: Plan): string {
  return `${JSON.stringify(plan, markAttributes, 1)}\n`;
}

/**
 * Fields of the plan say which values are dimensions; attributes of host operations have fields of many kinds, so there
 * a dimension is an object `{"dim": text}`.
 */
function markAttributes(key: string, value: unknown): unknown {
  if (typeof value === 'number') return markNumber(value);
  if (key !== 'attributes' || typeof value !== 'object' || value === null) return value;
  return markDims(value);
}

/** JSON has no infinities, no NaN and loses the sign of zero. */
function markNumber(value: number): number | string {
  if (Object.is(value, -0)) return '-0';
  return Number.isFinite(value) ? value : String(value);
}

function markDims(value: unknown): unknown {
  if (value instanceof Dim) return { dim: value.text };
  if (Array.isArray(value)) return value.map(markDims);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, markDims(field)]));
}

const dtype = oneOf(...dtypes);
const storageType = oneOf('f32', 'f16', 'bf16', 'f8e4m3', 'i8', 'i32', 'u32', 'u8', 'bool');
const shape = list(dim);

const planValue: Decoder<PlanValue> = object({ name: string, dtype, shape, storage: count });

const storage: Decoder<Storage> = (value, at) => {
  const fields = { id: count, kind: storageKind, storage: storageType, size: dim, label: string };
  if (!expectObject(value, at).has('weight')) return object(fields)(value, at);
  return object({ ...fields, weight: string })(value, at);
};
const storageKind = oneOf('input', 'result', 'weight', 'host', 'temporary');

const weightPart: Decoder<WeightPart> = lazy(() => object({ shape: list(count), source: weightSource }));
/** Artifacts of versions that knew one element type do not say it. */
function quantizedRows<K extends 'quantize_rows' | 'row_scales'>(
  kind: K,
): Decoder<{ readonly kind: K; readonly of: WeightPart; readonly dtype: QuantizedDType }> {
  const decode = objectWith({ kind: oneOf(kind), of: weightPart }, { dtype: oneOf(...quantizedDTypes) });
  return (value, at) => ({ dtype: 'f8e4m3', ...decode(value, at) });
}
const weightSource: Decoder<WeightSource> = byKind<WeightSource>({
  tensor: object({ kind: oneOf('tensor'), tensor: string }),
  concat_rows: object({ kind: oneOf('concat_rows'), parts: list(weightPart) }),
  interleave_rows: object({ kind: oneOf('interleave_rows'), group: count, parts: list(weightPart) }),
  slice_rows: object({ kind: oneOf('slice_rows'), of: weightPart, start: count }),
  permute: object({ kind: oneOf('permute'), of: weightPart, permutation: list(count) }),
  upsampled_filters: object({ kind: oneOf('upsampled_filters'), of: weightPart }),
  quantize_rows: quantizedRows('quantize_rows'),
  row_scales: quantizedRows('row_scales'),
  encoded_rows: object({
    kind: oneOf('encoded_rows'),
    of: weightPart,
    encoding: string,
    field: oneOf(...fieldNames),
  }),
});
const weight: Decoder<WeightDeclaration> = object({
  name: string,
  type: object({ dtype, shape }),
  source: weightSource,
});

const gridAxis = object({ extent: dim, tile: count });
const binding = object({
  storage: count,
  offset: dim,
  access: oneOf('read', 'write', 'read_write'),
  span: dim,
});
const place = object({ storage: count, offset: dim });

const hostOperand: Decoder<HostOperand> = byKind<HostOperand>({
  storage: object({ kind: oneOf('storage'), storage: count, dtype, shape }),
  weight: object({ kind: oneOf('weight'), weight }),
  constant: object({ kind: oneOf('constant'), dtype, shape, values: list(number) }),
});

/** The reverse of `markDims`. */
const attributeValue: Decoder<unknown> = (value, at) => {
  if (Array.isArray(value)) return list(attributeValue)(value, at);
  if (!(value instanceof Map)) return value;
  const fields = dictionary(attributeValue)(value, at);
  const marked = fields.get('dim');
  return fields.size === 1 && marked !== undefined ? dim(marked as JsonValue, at) : Object.fromEntries(fields);
};

const hostStep: Decoder<HostStep> = (value, at) => {
  const step = object({
    kind: oneOf('host'),
    operation: oneOf(...(Object.keys(opTable) as OpKind[])),
    attributes: attributeValue,
    operands: list(hostOperand),
    results: list(object({ storage: count, dtype, shape })),
  })(value, at);
  // Which attributes an operation has is the op table's to know: its evaluation checks them.
  return step as unknown as HostStep;
};

const planStep: Decoder<PlanStep> = byKind<PlanStep>({
  launch: object({
    kind: oneOf('launch'),
    kernel: string,
    label: string,
    bindings: list(binding),
    parameters: list(object({ name: string, value: dim })),
    grid: tuple(gridAxis, gridAxis, gridAxis),
    flop: dim,
    bytes: dim,
  }),
  copy: object({ kind: oneOf('copy'), from: place, to: place, size: dim, label: string }),
  host: hostStep,
  loop: lazy(() =>
    object({
      kind: oneOf('loop'),
      count: dim,
      symbol: string,
      steps: list(planStep),
      carried: list(planValue),
    }),
  ),
});

const plan: Decoder<Plan> = object({
  name: string,
  inputs: list(planValue),
  results: list(planValue),
  storages: list(storage),
  weights: list(weight),
  steps: list(planStep),
});

/** Reads a plan's JSON value. F2C530 where it is malformed or names a storage that it does not have. */
export function decodePlan(value: JsonValue, file: string): Plan {
  const decoded = plan(value, [file]);
  decoded.storages.forEach(({ id }, index) => {
    if (id !== index) throw malformed([file, 'storages', String(index), 'id'], String(index), id);
  });
  checkStorages(decoded, decoded.steps, [file, 'steps']);
  const named = [...decoded.inputs, ...decoded.results].map((boundary) => boundary.storage);
  for (const id of named) requireStorage(decoded, id, [file]);
  return decoded;
}

function checkStorages(owner: Plan, steps: readonly PlanStep[], at: readonly string[]): void {
  steps.forEach((step, index) => {
    const where = [...at, String(index)];
    switch (step.kind) {
      case 'launch':
        for (const { storage: id } of step.bindings) requireStorage(owner, id, where);
        return;
      case 'copy':
        requireStorage(owner, step.from.storage, where);
        requireStorage(owner, step.to.storage, where);
        return;
      case 'host':
        for (const result of step.results) requireStorage(owner, result.storage, where);
        for (const operand of step.operands) {
          if (operand.kind === 'storage') requireStorage(owner, operand.storage, where);
        }
        return;
      case 'loop':
        for (const carried of step.carried) requireStorage(owner, carried.storage, where);
        checkStorages(owner, step.steps, [...where, 'steps']);
        return;
    }
  });
}

function requireStorage({ storages }: Plan, id: number, at: readonly string[]): void {
  if (id >= storages.length) throw malformed(at, `a storage below ${storages.length}`, id);
}

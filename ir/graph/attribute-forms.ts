import type { Dim } from '../dim.js';
import type { DType } from '../dtype.js';
import { factorTypes, type OpAttributes, type OpKind } from './attributes.js';

/** How an attribute is written: `64`, `[1, 0]`, `true`, `img+txt`, `[img, 64]`, `bf16`, `"text"`, a name, one of some words. */
export type AttributeForm =
  'number' | 'numbers' | 'boolean' | 'dim' | 'dims' | 'dtype' | 'text' | 'symbol' | readonly [string, ...string[]];

type FormOf<T> = [T] extends [boolean]
  ? 'boolean'
  : [T] extends [number]
    ? 'number'
    : [T] extends [Dim]
      ? 'dim'
      : [T] extends [readonly number[]]
        ? 'numbers'
        : [T] extends [readonly Dim[]]
          ? 'dims'
          : [string] extends [T]
            ? 'text' | 'symbol'
            : [DType] extends [T]
              ? 'dtype'
              : readonly [T, ...T[]];

type Forms = {
  readonly [K in OpKind]: string extends keyof OpAttributes[K]
    ? Readonly<Record<never, never>>
    : { readonly [A in keyof OpAttributes[K]]-?: FormOf<Exclude<OpAttributes[K][A], undefined>> };
};

const reduce = { axes: 'numbers', keepDims: 'boolean' } as const;

/** The attributes of every kind in the order in which they are printed. */
const forms: Forms = {
  neg: {}, abs: {}, exp: {}, log: {}, sqrt: {}, rsqrt: {}, sin: {}, cos: {}, tanh: {}, sigmoid: {}, silu: {}, gelu: {},
  erf: {}, floor: {}, add: {}, sub: {}, mul: {}, div: {}, min: {}, max: {}, pow: {}, equal: {}, less: {},
  less_equal: {}, select: {}, softmax: {}, gather: {},
  reduce_sum: reduce,
  reduce_mean: reduce,
  reduce_max: reduce,
  weight: { name: 'text' },
  constant: { dtype: 'dtype', shape: 'dims', values: 'numbers' },
  iota: { size: 'dim' },
  cast: { dtype: 'dtype' },
  matmul: { transposeB: 'boolean', factors: factorTypes },
  conv2d: { stride: 'number', padding: 'numbers', phases: 'number', factors: factorTypes },
  attention: { scale: 'number', causal: 'boolean', factors: factorTypes },
  layer_norm: { eps: 'number' },
  rms_norm: { eps: 'number' },
  quantize_rows: { dtype: ['f8e4m3', 'i8'] },
  dequantize: { encoding: 'text' },
  group_norm: { groups: 'number', eps: 'number' },
  group_moments: { groups: 'number' },
  combine_moments: { eps: 'number' },
  group_apply: { groups: 'number' },
  rope: { style: ['interleaved', 'half'] },
  rope_table: { theta: 'number', axisSizes: 'numbers' },
  timestep_embedding: { size: 'number', maxPeriod: 'number', scale: 'number' },
  reshape: { shape: 'dims' },
  transpose: { permutation: 'numbers' },
  slice: { axis: 'number', start: 'dim', size: 'dim' },
  split: { axis: 'number', sizes: 'dims' },
  concat: { axis: 'number' },
  broadcast: { shape: 'dims' },
  pad: { low: 'numbers', high: 'numbers', value: 'number' },
  upsample_nearest: { factor: 'number' },
  loop: { count: 'dim', symbol: 'symbol' },
  fused: { anchor: ['map', 'row', 'contraction', 'attention', 'statistics'] },
}; // prettier-ignore

/** [name, form] of every attribute of a kind, in the order in which they are printed. */
export function attributeForms(kind: OpKind): readonly (readonly [string, AttributeForm])[] {
  return Object.entries(forms[kind]);
}

/** Attributes that operations may do without; they are then not printed either. */
export const optionalAttributes: ReadonlySet<string> = new Set(['factors', 'phases']);

export function isOpKind(text: string): text is OpKind {
  return Object.hasOwn(forms, text);
}

export const opKinds: readonly OpKind[] = Object.keys(forms).filter(isOpKind);

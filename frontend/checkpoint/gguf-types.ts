import { findEncoding, type Encoding } from '../../ir/encoding.js';
import type { TensorFile } from './checkpoint.js';

export interface GgufFile extends TensorFile {
  /** What it says of the model, without arrays and long texts. */
  readonly properties: ReadonlyMap<string, string | number | boolean>;
}

/** An element type of GGUF files (`ggml_type` of `ggml.h`): blocks of numbers along a row, each in so many bytes. */
export interface GgufType {
  readonly name: string;
  /** Numbers of a block; 1 for plain types. */
  readonly numbers: number;
  readonly bytes: number;
  /** Of blocks; undefined for plain types. */
  readonly encoding?: Encoding;
}

const plain = (name: string, bytes: number): GgufType => ({ name, numbers: 1, bytes });
const blocks = (name: string, numbers: number, bytes: number): GgufType => ({
  name,
  numbers,
  bytes,
  encoding: findEncoding(name.toLowerCase())!,
});

const types: ReadonlyMap<number, GgufType> = new Map([
  [0, plain('F32', 4)],
  [1, plain('F16', 2)],
  [2, blocks('Q4_0', 32, 18)],
  [3, blocks('Q4_1', 32, 20)],
  [6, blocks('Q5_0', 32, 22)],
  [7, blocks('Q5_1', 32, 24)],
  [8, blocks('Q8_0', 32, 34)],
  [12, blocks('Q4_K', 256, 144)],
  [14, blocks('Q6_K', 256, 210)],
  [24, plain('I8', 1)],
  [25, plain('I16', 2)],
  [26, plain('I32', 4)],
  [27, plain('I64', 8)],
  [28, plain('F64', 8)],
  [30, plain('BF16', 2)],
]);

/** Those that errors can name. */
const others: ReadonlyMap<number, string> = new Map([
  [9, 'Q8_1'], [10, 'Q2_K'], [11, 'Q3_K'], [13, 'Q5_K'], [15, 'Q8_K'], [16, 'IQ2_XXS'], [17, 'IQ2_XS'], [18, 'IQ3_XXS'], [19, 'IQ1_S'],
  [20, 'IQ4_NL'], [21, 'IQ3_S'], [22, 'IQ2_S'], [23, 'IQ4_XS'], [29, 'IQ1_M'], [34, 'TQ1_0'], [35, 'TQ2_0'], [39, 'MXFP4'],
]); // prettier-ignore

/** Undefined for types that flux2c does not read. */
export function ggufType(number: number): GgufType | undefined {
  return types.get(number);
}

/** ggml's name of a type, also of those that are not read. */
export function nameGgufType(number: number): string {
  return types.get(number)?.name ?? others.get(number) ?? `number ${number}`;
}

export const ggufTypesThatRun: string = [...types.values()]
  .filter(({ name }) => !name.startsWith('I'))
  .map(({ name }) => name)
  .join(', ');

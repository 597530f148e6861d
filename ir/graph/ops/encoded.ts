import { codesOfWord } from '../../decode-element.js';
import { decodeRows } from '../../encoded-rows.js';
import { type EncodedField, encodedFields, findEncoding, fitsEncoding, parseEncoding } from '../../encoding.js';
import { hostTensorToBytes } from '../../host-tensor.js';
import type { Dim } from '../../dim.js';
import type { TensorType } from '../graph.js';
import type { OpDefinition } from '../op-table.js';
import { printType } from '../types.js';
import { expectDType, expectOperands, expectShape, rejectOperation } from './checks.js';
import { costOfFlop, countElementsOf } from './cost.js';
import { allocateResult } from './rounding.js';

const dequantize: OpDefinition<'dequantize'> = {
  kind: 'dequantize',
  category: 'injective',
  infer(operands, { encoding: text }) {
    const encoding = findEncoding(text);
    if (encoding === undefined)
      return rejectOperation('F2C114', 'dequantize', "attribute 'encoding' names none", { found: text });
    const [codes] = operands;
    const numbers = codes?.shape[1]?.constant;
    const columns = numbers === undefined ? 0 : numbers * codesOfWord(encoding);
    const fields = fitsEncoding(encoding, columns) ? encodedFields(encoding, columns) : undefined;
    if (codes === undefined || codes.shape.length !== 2 || fields === undefined) {
      return rejectOperation('F2C115', 'dequantize', `the codes are no rows of ${text}`, {
        expected: 'u32[N, columns] of whole groups',
        found: codes === undefined ? 'no operands' : printType(codes),
      });
    }
    checkFields(operands, fields, codes);
    return [{ dtype: 'f32', shape: [codes.shape[0] as Dim, codes.shape[1]!.mul(codesOfWord(encoding))] }];
  },
  evaluate(operands, { encoding: text }, results, context) {
    const encoding = parseEncoding(text);
    const result = allocateResult(results[0], context);
    const [rows, columns] = result.shape as readonly [number, number];
    const names = encodedFields(encoding, columns).map(({ name }) => name);
    const arrays = expectOperands('dequantize', operands, names);
    const bytes = new Map(
      names.map((name, place) => [name, hostTensorToBytes(arrays[place] as (typeof arrays)[number])]),
    );
    result.data.set(decodeRows(encoding, rows, columns, bytes));
    return [result];
  },
  cost: (operands, _, results) => costOfFlop(countElementsOf(results[0] as TensorType).mul(2), operands, results),
};

function checkFields(operands: readonly TensorType[], fields: readonly EncodedField[], codes: TensorType): void {
  const arrays = expectOperands('dequantize', operands, fields.map(({ name }) => name)); // prettier-ignore
  fields.forEach(({ name, dtype, columns }, place) => {
    const array = arrays[place] as TensorType;
    expectDType('dequantize', name, array, dtype);
    expectShape('dequantize', name, array, [codes.shape[0] as Dim, columns]);
  });
}

export const encodedOps = { dequantize };
